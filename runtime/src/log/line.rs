//! One line of a log file.

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LineStream {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line of a log file, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// RFC 3339 with nine digits and `Z`: comparable as text.
    pub timestamp: &'a str,
    /// Where it came from.
    pub stream: LineStream,
    /// Whether the line of output goes on in the next line of the file (`P`).
    pub partial: bool,
    /// The output, without the line's end.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line (without its line feed) apart; `None` if it is none of ours.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let timestamp = std::str::from_utf8(parts.next()?).ok()?;
        let stream = match parts.next()? {
            b"stdout" => LineStream::Stdout,
            b"stderr" => LineStream::Stderr,
            _ => return None,
        };
        let partial = match parts.next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        Some(Self { timestamp, stream, partial, text: parts.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = Line::parse(b"2026-11-21T10:00:00.000000000Z stderr P a b  c").unwrap();
        assert_eq!(line.timestamp, "2026-11-21T10:00:00.000000000Z");
        assert_eq!(line.stream, LineStream::Stderr);
        assert!(line.partial);
        assert_eq!(line.text, b"a b  c");
        assert_eq!(Line::parse(b"t stdout F ").unwrap().text, b"");
        for bad in [&b"t stdout F"[..], b"t stdin F x", b"t stdout X x", b""] {
            assert_eq!(Line::parse(bad), None);
        }
    }
}
