//! One allocation per version of an object, from which every answer is cut.
//!
//! The store keeps an object without its resourceVersion, because the version is the revision that
//! the write is about to get. Here the two come together, once, in a buffer laid out as a watch
//! frame:
//!
//! ```text
//! {"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"12","name":…}…}}\n
//!                         ^object                         ^item                                          ^end
//! ```
//!
//! - a watch sends the whole buffer,
//! - a get sends `object..end`,
//! - a list sends `{` and `item..end`, because items of a list carry no kind and apiVersion.
//!
//! To make the cuts constant, [`stored`] writes kind, apiVersion and metadata first.

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};
use store::Revision;

/// What a watch event says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventType {
    /// The object appeared (or began to match the selector).
    Added,
    /// The object changed.
    Modified,
    /// The object went away (or ceased to match the selector).
    Deleted,
}

impl EventType {
    /// The name of the type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            EventType::Added => "ADDED",
            EventType::Modified => "MODIFIED",
            EventType::Deleted => "DELETED",
        }
    }

    /// The beginning of a frame of this type.
    pub(crate) fn opening(self) -> &'static [u8] {
        match self {
            EventType::Added => b"{\"type\":\"ADDED\",\"object\":",
            EventType::Modified => b"{\"type\":\"MODIFIED\",\"object\":",
            EventType::Deleted => b"{\"type\":\"DELETED\",\"object\":",
        }
    }
}

/// What closes a frame after the object.
pub(crate) const CLOSING: &[u8] = b"}\n";

const METADATA: &[u8] = b"\"metadata\":{";
const VERSION: &[u8] = b"\"resourceVersion\":\"";

/// Encodes an object for the store: kind, apiVersion and metadata first, no resourceVersion.
///
/// Keys that are absent are left out; a value that is not a map is encoded as it is, which only
/// a caller's mistake could produce.
pub(crate) fn stored(object: &Value) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let Some(map) = object.as_object() else {
        write(&mut out, object);
        return out.into();
    };
    out.push(b'{');
    for key in ["kind", "apiVersion"] {
        if let Some(value) = map.get(key) {
            member(&mut out, key, value);
        }
    }
    if let Some(metadata) = map.get("metadata").and_then(Value::as_object) {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(b"\"metadata\":{");
        let start = out.len();
        for (key, value) in metadata {
            if key == "resourceVersion" {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            write(&mut out, key);
            out.push(b':');
            write(&mut out, value);
        }
        out.push(b'}');
    }
    for (key, value) in map {
        if !matches!(key.as_str(), "kind" | "apiVersion" | "metadata") {
            member(&mut out, key, value);
        }
    }
    out.push(b'}');
    out.into()
}

/// Appends `,"key":value` (no comma after an opening brace).
fn member(out: &mut Vec<u8>, key: &str, value: &Value) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write(out, key);
    out.push(b':');
    write(out, value);
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("values and strings always encode into memory");
}

/// One version of an object, encoded. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    frame: Bytes,
    native: EventType,
    /// Where `"metadata"` begins.
    item: u32,
    /// Length of the decimal resourceVersion after `"metadata":{"resourceVersion":"`.
    version: u8,
}

impl Encoded {
    /// Joins a stored value with its revision. `native` is the event this version came with, so
    /// that most watchers can be sent the buffer as it is.
    pub(crate) fn new(native: EventType, value: &[u8], revision: Revision) -> Encoded {
        match metadata_offset(value) {
            Some(at) => {
                let rest = &value[at + METADATA.len()..];
                Encoded::assemble(native, &value[..at], rest, revision)
            }
            None => {
                // Not laid out by `stored`: an older or foreign writer. Lay it out now.
                let value = laid_out(value);
                let at = metadata_offset(&value).expect("it has just been laid out");
                let rest = &value[at + METADATA.len()..];
                Encoded::assemble(native, &value[..at], rest, revision)
            }
        }
    }

    /// The same object under another revision and event: what a watcher is told when the object
    /// leaves (deleted, or no longer selected).
    pub(crate) fn restamped(&self, native: EventType, revision: Revision) -> Encoded {
        let opening = self.native.opening().len();
        let item = self.item as usize;
        let rest = item + METADATA.len() + VERSION.len() + usize::from(self.version) + 1;
        let mut rest = &self.frame[rest..self.end()];
        if let [b',', after @ ..] = rest {
            rest = after;
        }
        Encoded::assemble(native, &self.frame[opening..item], rest, revision)
    }

    /// `head` is everything before `"metadata"`, `rest` everything after its opening brace.
    fn assemble(native: EventType, head: &[u8], rest: &[u8], revision: Revision) -> Encoded {
        let version = revision.0.to_string();
        let opening = native.opening();
        let mut frame = BytesMut::with_capacity(
            opening.len()
                + head.len()
                + METADATA.len()
                + VERSION.len()
                + version.len()
                + 2
                + rest.len()
                + CLOSING.len(),
        );
        frame.extend_from_slice(opening);
        frame.extend_from_slice(head);
        let item = u32::try_from(frame.len()).expect("a head is a kind and an apiVersion");
        frame.extend_from_slice(METADATA);
        frame.extend_from_slice(VERSION);
        frame.extend_from_slice(version.as_bytes());
        frame.extend_from_slice(if rest.starts_with(b"}") { b"\"" } else { b"\"," });
        frame.extend_from_slice(rest);
        frame.extend_from_slice(CLOSING);
        let version = u8::try_from(version.len()).expect("a 64 bit number has at most 20 digits");
        Encoded { frame: frame.freeze(), native, item, version }
    }

    fn end(&self) -> usize {
        self.frame.len() - CLOSING.len()
    }

    /// The whole object, with kind and apiVersion.
    pub(crate) fn object(&self) -> Bytes {
        self.frame.slice(self.native.opening().len()..self.end())
    }

    /// The object's bytes without taking a reference.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.frame[self.native.opening().len()..self.end()]
    }

    /// The object without its opening brace, kind and apiVersion: a list item after a `{`.
    pub(crate) fn item(&self) -> &[u8] {
        &self.frame[self.item as usize..self.end()]
    }

    /// A watch frame of the wanted type: shared if it is the native one, else copied.
    pub(crate) fn frame(&self, wanted: EventType) -> Bytes {
        if wanted == self.native {
            return self.frame.clone();
        }
        let mut frame = BytesMut::with_capacity(self.frame.len() + 4);
        frame.extend_from_slice(wanted.opening());
        frame.extend_from_slice(self.bytes());
        frame.extend_from_slice(CLOSING);
        frame.freeze()
    }

    /// The object as a value.
    pub(crate) fn parse(&self) -> Value {
        serde_json::from_slice(self.bytes()).unwrap_or_default()
    }
}

/// Whatever the store holds under a key as an object that [`Encoded`] can cut: what is no object,
/// or has no usable kind, apiVersion or metadata, gets empty ones. Input from a disk never panics.
fn laid_out(value: &[u8]) -> Bytes {
    let mut map = match serde_json::from_slice(value) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'-'))
    };
    for name in ["kind", "apiVersion"] {
        if !map.get(name).and_then(Value::as_str).is_some_and(plain) {
            map.insert(name.to_owned(), "".into());
        }
    }
    if !map.get("metadata").is_some_and(Value::is_object) {
        map.insert("metadata".to_owned(), Value::Object(Map::new()));
    }
    stored(&Value::Object(map))
}

/// Where `"metadata":{` begins in a value laid out by [`stored`]: right after two plain strings.
fn metadata_offset(value: &[u8]) -> Option<usize> {
    let mut at = 1;
    for name in [&b"\"kind\":\""[..], &b"\"apiVersion\":\""[..]] {
        let rest = value.get(at..)?.strip_prefix(name)?;
        let quote = rest.iter().position(|byte| *byte == b'"')?;
        at += name.len() + quote + 1;
        if value.get(at) != Some(&b',') {
            return None;
        }
        at += 1;
    }
    value.get(at..)?.starts_with(METADATA).then_some(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({"apiVersion":"v1","kind":"ConfigMap","data":{"\"metadata\":{":"x"},
               "metadata":{"name":"a","resourceVersion":"1","namespace":"d"}})
    }

    #[test]
    fn stored_puts_identity_first_and_drops_the_version() {
        let bytes = stored(&sample());
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"d"},"data":{"\"metadata\":{":"x"}}"#
        );
    }

    #[test]
    fn every_cut_is_valid_json_with_the_version() {
        let encoded = Encoded::new(EventType::Added, &stored(&sample()), Revision(42));
        let mut want = sample();
        want["metadata"]["resourceVersion"] = json!("42");
        assert_eq!(encoded.parse(), want);
        let frame: Value = serde_json::from_slice(&encoded.frame(EventType::Added)).unwrap();
        assert_eq!(frame, json!({"type":"ADDED","object":want}));
        let frame: Value = serde_json::from_slice(&encoded.frame(EventType::Modified)).unwrap();
        assert_eq!(frame["type"], "MODIFIED");
        let item: Value = serde_json::from_slice(&[b"{", encoded.item()].concat()).unwrap();
        let map = want.as_object_mut().unwrap();
        map.remove("kind");
        map.remove("apiVersion");
        assert_eq!(item, want);
    }

    #[test]
    fn native_frames_are_shared_not_copied() {
        let encoded = Encoded::new(EventType::Added, &stored(&sample()), Revision(42));
        assert_eq!(encoded.frame(EventType::Added).as_ptr(), encoded.frame.as_ptr());
    }

    #[test]
    fn restamping_changes_the_version_only() {
        let encoded = Encoded::new(EventType::Added, &stored(&sample()), Revision(9));
        let gone = encoded.restamped(EventType::Deleted, Revision(1234));
        let mut want = sample();
        want["metadata"]["resourceVersion"] = json!("1234");
        assert_eq!(gone.parse(), want);
        assert!(gone.frame(EventType::Deleted).starts_with(b"{\"type\":\"DELETED\""));
    }

    #[test]
    fn foreign_layout_is_laid_out_again() {
        let raw = serde_json::to_vec(&sample()).unwrap();
        let encoded = Encoded::new(EventType::Modified, &raw, Revision(7));
        let mut want = sample();
        want["metadata"]["resourceVersion"] = json!("7");
        assert_eq!(encoded.parse(), want);
        assert!(encoded.item().starts_with(b"\"metadata\":{\"resourceVersion\":\"7\","));
    }

    #[test]
    fn whatever_the_store_holds_can_be_cut() {
        for value in [
            "",
            "null",
            "nonsense",
            "[]",
            "{}",
            r#"{"metadata":"x"}"#,
            r#"{"kind":7,"metadata":{"name":"a"}}"#,
            r#"{"kind":"a\"b","apiVersion":"v1","metadata":{},"data":{}}"#,
        ] {
            let encoded = Encoded::new(EventType::Added, value.as_bytes(), Revision(7));
            let object: Value = serde_json::from_slice(encoded.bytes()).expect(value);
            assert_eq!(object["metadata"]["resourceVersion"], "7", "{value}");
            let item = [b"{", encoded.item()].concat();
            serde_json::from_slice::<Value>(&item).expect(value);
            assert_eq!(
                encoded.restamped(EventType::Deleted, Revision(12)).parse()["metadata"]["resourceVersion"],
                "12"
            );
        }
    }
}
