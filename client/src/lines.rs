//! A body as lines.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::client::Body;

/// Cuts a body into lines.
pub(crate) struct Lines {
    body: Body,
    cut: Cut,
}

impl Lines {
    /// Of a body.
    pub(crate) fn new(body: Body) -> Self {
        Self { body, cut: Cut::default() }
    }

    /// The next line, without its end; `None` at the end of the body, where an unfinished line is
    /// dropped. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, kube::Error> {
        loop {
            if let Some(line) = self.cut.next() {
                return Ok(Some(line));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.cut.add(data);
                    }
                }
            }
        }
    }
}

/// Chunks in, lines out. A chunk that is a line is passed on as it is; others are copied line by line,
/// so that whoever keeps a line keeps nothing else.
#[derive(Default)]
struct Cut {
    /// The beginning of a line.
    begun: BytesMut,
    chunk: Bytes,
}

impl Cut {
    /// Takes the next chunk; the last one has been used up.
    fn add(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// The next whole line of what has come.
    fn next(&mut self) -> Option<Bytes> {
        let Some(end) = memchr::memchr(b'\n', &self.chunk) else {
            self.begun.extend_from_slice(&std::mem::take(&mut self.chunk));
            return None;
        };
        if self.begun.is_empty() && end + 1 == self.chunk.len() {
            let mut line = std::mem::take(&mut self.chunk);
            line.truncate(end);
            return Some(line);
        }
        let rest = self.chunk.split_off(end + 1);
        let line = std::mem::replace(&mut self.chunk, rest);
        let mut whole = std::mem::take(&mut self.begun);
        whole.extend_from_slice(&line[..end]);
        Some(whole.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        for (chunks, want) in [
            (&["a\n"][..], &["a"][..]),
            (&["a\nb\n"], &["a", "b"]),
            (&["a", "b\n", "c\nd"], &["ab", "c"]),
            (&["\n\n"], &["", ""]),
            (&["", "a", "", "\n"], &["a"]),
            (&["a"], &[]),
        ] {
            let mut cut = Cut::default();
            let mut lines = Vec::new();
            for chunk in chunks {
                cut.add(Bytes::from_static(chunk.as_bytes()));
                while let Some(line) = cut.next() {
                    lines.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            assert_eq!(lines, want, "{chunks:?}");
        }
    }

    #[test]
    fn a_chunk_that_is_a_line_is_not_copied() {
        let chunk = Bytes::from(b"whole\n".to_vec());
        let mut cut = Cut::default();
        cut.add(chunk.clone());
        assert_eq!(cut.next().unwrap().as_ptr(), chunk.as_ptr());
    }
}
