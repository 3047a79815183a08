//! An object as the bytes that were sent.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// An object, not parsed. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw(Bytes);

impl Raw {
    /// An object's JSON text.
    #[must_use]
    pub fn new(json: Bytes) -> Self {
        Self(json)
    }

    /// The JSON text.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The typed object, without `metadata.managedFields`: nobody who follows objects looks at
    /// them, and they are the costliest part to read.
    ///
    /// # Errors
    /// The text is no object of that type.
    pub fn parse<K: DeserializeOwned>(&self) -> serde_json::Result<K> {
        serde_json::from_slice(&without_managers(&self.0))
    }

    /// `metadata.resourceVersion`, if there is one.
    #[must_use]
    pub fn revision(&self) -> Option<String> {
        self.metadata()?.resource_version
    }

    /// `metadata.namespace` (empty at cluster scope) and `metadata.name`, without a look at the rest.
    #[must_use]
    pub fn name(&self) -> Option<(String, String)> {
        let metadata = self.metadata()?;
        Some((metadata.namespace.unwrap_or_default(), metadata.name?))
    }

    fn metadata(&self) -> Option<Metadata> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        Some(serde_json::from_slice::<Object>(&self.0).ok()?.metadata)
    }
}

/// What identifies an object and its version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

/// The text without the first list called `managedFields`. The name followed by `":[` is a key: in a
/// string the quote would be escaped. In a built-in kind only metadata has such a key.
fn without_managers(json: &[u8]) -> Cow<'_, [u8]> {
    const KEY: &[u8] = b"\"managedFields\":[";
    let Some(begin) = memmem::find(json, KEY) else { return json.into() };
    let Some(length) = list_length(&json[begin + KEY.len() - 1..]) else { return json.into() };
    let end = begin + KEY.len() - 1 + length;
    // One of the commas around it goes with it.
    let (head, tail) = match (&json[..begin], &json[end..]) {
        ([head @ .., b','], tail) | (head, [b',', tail @ ..]) => (head, tail),
        (head, tail) => (head, tail),
    };
    [head, tail].concat().into()
}

/// The length of the JSON list at the beginning of `json`, brackets included; `None` if it does not
/// end.
fn list_length(json: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 1 => return Some(at + 1),
            b']' => depth -= 1,
            b'"' => {
                at += 1;
                while *json.get(at)? != b'"' {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_are_cut_out_and_nothing_else() {
        for (json, want) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{"a":1,"managedFields":[{"x":[1,"]"]}],"b":2}"#, r#"{"a":1,"b":2}"#),
            (r#"{"managedFields":[],"b":2}"#, r#"{"b":2}"#),
            (r#"{"a":1,"managedFields":[{"m":"\\\"]"}]}"#, r#"{"a":1}"#),
            (r#"{"managedFields":[[[]]]}"#, r"{}"),
            // Text that only looks like it.
            (r#"{"a":"\"managedFields\":[1]"}"#, r#"{"a":"\"managedFields\":[1]"}"#),
            (r#"{"managedFields":{"a":[]}}"#, r#"{"managedFields":{"a":[]}}"#),
            // A text cut short is left to the parser.
            (r#"{"managedFields":[{"a":"b"#, r#"{"managedFields":[{"a":"b"#),
            (r#"{"managedFields":["\"#, r#"{"managedFields":["\"#),
        ] {
            let cut = without_managers(json.as_bytes());
            assert_eq!(std::str::from_utf8(&cut).unwrap(), want, "{json}");
        }
    }

    #[test]
    fn a_name_is_read_with_its_namespace() {
        for (json, want) in [
            (r#"{"metadata":{"name":"a","namespace":"b"}}"#, Some(("b", "a"))),
            (r#"{"spec":{"name":"x"},"metadata":{"name":"a"}}"#, Some(("", "a"))),
            (r#"{"metadata":{"namespace":"b"}}"#, None),
            ("nothing", None),
        ] {
            let want = want.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
            assert_eq!(Raw::new(Bytes::from_static(json.as_bytes())).name(), want, "{json}");
        }
    }

    #[test]
    fn a_revision_is_read_wherever_it_stands() {
        let revision =
            |json: &'static str| Raw::new(Bytes::from_static(json.as_bytes())).revision();
        assert_eq!(revision(r#"{"spec":{},"metadata":{"resourceVersion":"7"}}"#).unwrap(), "7");
        assert_eq!(revision(r#"{"metadata":{}}"#), None);
        assert_eq!(revision("nothing"), None);
    }
}
