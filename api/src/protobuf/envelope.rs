//! What stands around a message: the envelope of a body, lists, watch events.
//!
//! ```text
//! body         "k8s\0" Unknown{ 1: TypeMeta{ 1: apiVersion, 2: kind }, 2: message, 3: "", 4: "" }
//! list message 1: ListMeta, 2: item, 2: item, …            (items have no envelope)
//! watch event  length in 4 bytes, WatchEvent{ 1: type, 2: RawExtension{ 1: body of the object } }
//! ```

use serde_json::Value;

use super::wire::{LENGTH, Reader, Writer};
use super::{Error, encode};

/// The first bytes of every body.
const MAGIC: &[u8; 4] = b"k8s\0";

/// An opened body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `apiVersion`, "" when absent.
    pub api_version: String,
    /// `kind`, "" when absent.
    pub kind: String,
    /// The object's message.
    pub message: &'a [u8],
}

impl Envelope<'_> {
    /// The envelope, with this version and kind where it names none.
    #[must_use]
    pub fn or_of(mut self, (api_version, kind): (&str, &str)) -> Self {
        for (field, wanted) in [(&mut self.api_version, api_version), (&mut self.kind, kind)] {
            if field.is_empty() {
                wanted.clone_into(field);
            }
        }
        self
    }
}

/// Opens a body.
///
/// # Errors
/// [`Error`] for a body without the magic number, or with a malformed envelope.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, Error> {
    let unknown = body.strip_prefix(MAGIC).ok_or(Error::Prefix)?;
    let mut envelope = Envelope { api_version: String::new(), kind: String::new(), message: &[] };
    let mut reader = Reader::new(unknown);
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (1, LENGTH) => {
                let mut type_meta = Reader::new(reader.bytes()?);
                while let Some((number, wire)) = type_meta.tag()? {
                    match (number, wire) {
                        (1, LENGTH) => {
                            envelope.api_version = text("apiVersion", type_meta.bytes()?)?;
                        }
                        (2, LENGTH) => envelope.kind = text("kind", type_meta.bytes()?)?,
                        (_, wire) => type_meta.skip(wire)?,
                    }
                }
            }
            (2, LENGTH) => envelope.message = reader.bytes()?,
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(envelope)
}

fn text(field: &'static str, bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::Utf8 { field })
}

/// The body around a message.
#[must_use]
pub fn seal(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut body = opening(api_version, kind, message.len());
    body.reserve_exact(message.len() + CLOSING.len());
    body.extend_from_slice(message);
    body.extend_from_slice(CLOSING);
    body
}

/// The end of a body: neither a content encoding nor a content type.
pub const CLOSING: &[u8] = b"\x1a\0\"\0";

/// A body up to a message of that length.
fn opening(api_version: &str, kind: &str, length: usize) -> Vec<u8> {
    let mut type_meta = Writer::with_capacity(64);
    let mark = type_meta.mark();
    type_meta.bytes(2, kind.as_bytes());
    type_meta.bytes(1, api_version.as_bytes());
    type_meta.close(1, mark);
    let type_meta = type_meta.finish();
    let mut body = Vec::with_capacity(MAGIC.len() + type_meta.len() + 11);
    body.extend_from_slice(MAGIC);
    body.extend_from_slice(&type_meta);
    prefix(&mut body, 2, length);
    body
}

/// Tag and length of a field whose bytes follow.
fn prefix(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push(number << 3 | LENGTH);
    let mut rest = length;
    while rest > 0x7f {
        out.push(rest as u8 & 0x7f | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The body of a list: `metadata` is its ListMeta, `items` are messages.
#[must_use]
pub fn list(api_version: &str, kind: &str, metadata: &Value, items: &[Vec<u8>]) -> Vec<u8> {
    let length = items.iter().map(|item| item_head(item.len()).len() + item.len()).sum();
    let mut body = list_head(api_version, kind, metadata, length);
    for item in items {
        body.extend_from_slice(&item_head(item.len()));
        body.extend_from_slice(item);
    }
    body.extend_from_slice(CLOSING);
    body
}

/// The body of a list up to its items: `length` is that of all items with their heads. Behind the
/// items comes [`CLOSING`].
#[must_use]
pub fn list_head(api_version: &str, kind: &str, metadata: &Value, length: usize) -> Vec<u8> {
    let metadata = encode("meta.v1.ListMeta", metadata).unwrap_or_default();
    let mut head = Vec::new();
    prefix(&mut head, 1, metadata.len());
    head.extend_from_slice(&metadata);
    let mut body = opening(api_version, kind, head.len() + length);
    body.extend_from_slice(&head);
    body
}

/// What stands before an item of that length in a list.
#[must_use]
pub fn item_head(length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(6);
    prefix(&mut head, 2, length);
    head
}

fn varint_length(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()).max(1) as usize;
    bits.div_ceil(7)
}

/// A watch event with its length before it: `event` is its type, such as `ADDED`, `body` the body
/// of its object.
#[must_use]
pub fn watch_frame(event: &str, body: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(32);
    prefix(&mut head, 1, event.len());
    head.extend_from_slice(event.as_bytes());
    prefix(&mut head, 2, 1 + varint_length(body.len()) + body.len());
    prefix(&mut head, 1, body.len());
    let length = u32::try_from(head.len() + body.len()).expect("objects are below 4 GiB");
    let mut frame = Vec::with_capacity(4 + head.len() + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(body);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_as_kubernetes_writes_it() {
        let body = seal("v1", "Namespace", b"\x0a\0");
        assert_eq!(body, b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x02\x0a\0\x1a\0\"\0");
        let opened = open(&body).unwrap();
        assert_eq!((&*opened.api_version, &*opened.kind), ("v1", "Namespace"));
        assert_eq!(opened.message, b"\x0a\0");
        let long = vec![7; 300];
        assert_eq!(open(&seal("v1", "Pod", &long)).unwrap().message, long);
    }

    #[test]
    fn what_says_not_what_it_is_is_what_is_wanted() {
        for (version, kind, want) in [
            ("", "", ("v1", "Pod")),
            ("", "Node", ("v1", "Node")),
            ("apps/v1", "", ("apps/v1", "Pod")),
            ("apps/v1", "Scale", ("apps/v1", "Scale")),
        ] {
            let body = seal(version, kind, b"");
            let opened = open(&body).unwrap().or_of(("v1", "Pod"));
            assert_eq!((&*opened.api_version, &*opened.kind), want, "{version} {kind}");
        }
    }

    #[test]
    fn a_watch_event_has_its_length_before_it() {
        let frame = watch_frame("ADDED", b"body");
        assert_eq!(frame, b"\0\0\0\x0f\x0a\x05ADDED\x12\x06\x0a\x04body");
        let long = vec![7; 70_000];
        let frame = watch_frame("DELETED", &long);
        assert_eq!(frame[..4], ((frame.len() - 4) as u32).to_be_bytes());
        assert!(frame.ends_with(&long));
    }

    #[test]
    fn a_list_is_as_long_as_it_says() {
        for length in [0, 1, 127, 128, 20_000] {
            let item = vec![7; length];
            let items = [item.clone(), item];
            let body = list("v1", "PodList", &serde_json::json!({"resourceVersion": "1"}), &items);
            let envelope = open(&body).unwrap();
            let mut reader = Reader::new(envelope.message);
            let mut lengths = Vec::new();
            while let Some((number, _)) = reader.tag().unwrap() {
                lengths.push((number, reader.bytes().unwrap().len()));
            }
            assert_eq!(lengths[1..], [(2, length), (2, length)]);
        }
    }
}
