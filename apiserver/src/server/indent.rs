//! JSON with a field per line, for people who read it: `?pretty=true`, and what curl and browsers get.
//!
//! The form is that of Go's `json.MarshalIndent` with two spaces: a space behind colons, nothing within
//! empty objects and lists, no line feed at the end. The text is not understood, only followed: a byte
//! decides what comes before and behind it, so a list is indented block by block while it is sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::body::Body;
use crate::request::BoxError;

/// A JSON body being indented.
pub(crate) struct Indented {
    inner: Body,
    indenter: Indenter,
}

impl Indented {
    pub(super) fn new(inner: Body) -> Indented {
        Indented { inner, indenter: Indenter::default() }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            let Ok(block) = frame.into_data() else { continue };
            let mut shown = Vec::with_capacity(block.len() * 2);
            self.indenter.push(&block, &mut shown);
            if !shown.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(shown.into()))));
            }
        }
    }

    /// It becomes longer, nobody knows by how much.
    pub(super) fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::default();
        hint.set_lower(self.inner.least_length());
        hint
    }
}

/// A whole text, indented.
pub(super) fn indent(text: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len() * 2);
    Indenter::default().push(text, &mut shown);
    shown
}

/// Where in the text it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Between tokens, or in a number or a word.
    #[default]
    Outside,
    /// Just behind a bracket that opens.
    Opened,
    /// In a string.
    Text,
    /// In a string, behind a backslash.
    Escaped,
}

/// Follows a JSON text that may come in pieces.
#[derive(Debug, Default)]
struct Indenter {
    depth: usize,
    place: Place,
}

impl Indenter {
    fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            match (self.place, byte) {
                (Place::Escaped, _) => self.place = Place::Text,
                (Place::Text, b'\\') => self.place = Place::Escaped,
                (Place::Text, b'"') => self.place = Place::Outside,
                (Place::Text, _) => {}
                (_, b' ' | b'\t' | b'\r' | b'\n') => continue,
                (place, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    if place != Place::Opened {
                        self.begin_line(out);
                    }
                    self.place = Place::Outside;
                }
                (place, _) => {
                    if place == Place::Opened {
                        self.begin_line(out);
                    }
                    self.place = match byte {
                        b'{' | b'[' => Place::Opened,
                        b'"' => Place::Text,
                        _ => Place::Outside,
                    };
                    self.depth += usize::from(self.place == Place::Opened);
                }
            }
            out.push(byte);
            match (self.place, byte) {
                (Place::Outside, b',') => self.begin_line(out),
                (Place::Outside, b':') => out.push(b' '),
                _ => {}
            }
        }
    }

    fn begin_line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 2 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_indented_however_they_come() {
        for (text, want) in [
            ("{}\n", "{}"),
            ("[]", "[]"),
            ("[1,-2.5e3,true]", "[\n  1,\n  -2.5e3,\n  true\n]"),
            (
                r#"{"a":{},"b":[{"c":"x: {,}\\\"y"},[ ]], "d" : null}"#,
                r#"{
  "a": {},
  "b": [
    {
      "c": "x: {,}\\\"y"
    },
    []
  ],
  "d": null
}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(indent(text.as_bytes())).as_deref(), Ok(want));
            let mut pieces = (Indenter::default(), Vec::new());
            for byte in text.bytes() {
                pieces.0.push(&[byte], &mut pieces.1);
            }
            assert_eq!(String::from_utf8(pieces.1).as_deref(), Ok(want), "byte by byte");
            assert_eq!(indent(want.as_bytes()), want.as_bytes(), "indented already");
        }
    }
}
