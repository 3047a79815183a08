//! Tags, varints and lengths.

use super::Error;

/// The form of a field's value.
pub(crate) const VARINT: u8 = 0;
/// Eight bytes.
pub(crate) const FIXED64: u8 = 1;
/// A length and that many bytes.
pub(crate) const LENGTH: u8 = 2;
/// Four bytes.
pub(crate) const FIXED32: u8 = 5;

/// Reads a message field by field.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// The next field's number and wire type, `None` at the end.
    pub(crate) fn tag(&mut self) -> Result<Option<(u32, u8)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let wire = (tag & 7) as u8;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || !matches!(wire, VARINT | FIXED64 | LENGTH | FIXED32) {
            return Err(Error::Tag { number, wire });
        }
        Ok(Some((number, wire)))
    }

    /// A number of up to 64 bits, seven to a byte, lowest first.
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Error::Truncated)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Overflow)
    }

    /// Eight bytes, lowest first.
    pub(crate) fn fixed64(&mut self) -> Result<u64, Error> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// As many bytes as the length before them says.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = usize::try_from(self.varint()?).map_err(|_| Error::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Passes over a value.
    pub(crate) fn skip(&mut self, wire: u8) -> Result<(), Error> {
        match wire {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.fixed64().map(|_| ()),
            LENGTH => self.bytes().map(|_| ()),
            _ => {
                self.rest = self.rest.get(4..).ok_or(Error::Truncated)?;
                Ok(())
            }
        }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Writes a message from its end to its beginning: a length stands before what it measures, and
/// this way it is known when its turn comes.
pub(crate) struct Writer {
    /// The bytes in reverse.
    reversed: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(capacity: usize) -> Writer {
        Writer { reversed: Vec::with_capacity(capacity) }
    }

    /// Bytes written so far: the mark for [`Writer::close`].
    pub(crate) fn mark(&self) -> usize {
        self.reversed.len()
    }

    /// Puts tag and length before everything written since `mark`.
    pub(crate) fn close(&mut self, number: u32, mark: usize) {
        let length = self.reversed.len() - mark;
        self.number(length as u64);
        self.tag(number, LENGTH);
    }

    /// A field of bytes.
    pub(crate) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        let mark = self.mark();
        self.reversed.extend(bytes.iter().rev());
        self.close(number, mark);
    }

    /// A field with a number.
    pub(crate) fn varint(&mut self, number: u32, value: u64) {
        self.number(value);
        self.tag(number, VARINT);
    }

    /// A field of eight bytes.
    pub(crate) fn fixed64(&mut self, number: u32, value: u64) {
        self.reversed.extend(value.to_be_bytes());
        self.tag(number, FIXED64);
    }

    fn tag(&mut self, number: u32, wire: u8) {
        self.number(u64::from(number) << 3 | u64::from(wire));
    }

    fn number(&mut self, value: u64) {
        let mut bytes = [0; 10];
        let mut rest = value;
        let mut used = 0;
        for byte in &mut bytes {
            used += 1;
            *byte = (rest & 0x7f) as u8;
            rest >>= 7;
            if rest == 0 {
                break;
            }
            *byte |= 0x80;
        }
        self.reversed.extend(bytes[..used].iter().rev());
    }

    /// The message.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.reversed.reverse();
        self.reversed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::with_capacity(0);
        write(&mut writer);
        writer.finish()
    }

    #[test]
    fn numbers_as_the_encoding_guide_shows_them() {
        for (value, want) in [
            (0, &[0x08, 0x00][..]),
            (150, &[0x08, 0x96, 0x01]),
            (u64::MAX, &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ] {
            let bytes = written(|writer| writer.varint(1, value));
            assert_eq!(bytes, want);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.tag().unwrap(), Some((1, VARINT)));
            assert_eq!(reader.varint().unwrap(), value);
            assert!(reader.is_empty());
        }
        assert_eq!(written(|writer| writer.bytes(2, b"testing")), b"\x12\x07testing");
        assert_eq!(written(|writer| writer.fixed64(1, 1)), b"\x09\x01\0\0\0\0\0\0\0");
    }

    #[test]
    fn nested_messages_get_their_lengths() {
        let bytes = written(|writer| {
            let outer = writer.mark();
            writer.varint(2, 1);
            let inner = writer.mark();
            writer.bytes(1, b"x");
            writer.close(1, inner);
            writer.close(3, outer);
        });
        assert_eq!(bytes, b"\x1a\x07\x0a\x03\x0a\x01x\x10\x01");
    }

    #[test]
    fn malformed_data_is_refused() {
        for (bytes, want) in [
            (&b"\x08"[..], "unexpected EOF"),
            (b"\x08\xff", "unexpected EOF"),
            (b"\x12\x05abc", "unexpected EOF"),
            (b"\x09\x01", "unexpected EOF"),
            (b"\x0d\x01", "unexpected EOF"),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "proto: integer overflow"),
            (b"\x00\x01", "proto: illegal tag 0 (wire type 0)"),
            (b"\x0b", "proto: illegal tag 1 (wire type 3)"),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "unexpected EOF"),
        ] {
            let mut reader = Reader::new(bytes);
            let result = (|| {
                while let Some((_, wire)) = reader.tag()? {
                    reader.skip(wire)?;
                }
                Ok::<_, Error>(())
            })();
            assert_eq!(result.unwrap_err().to_string(), want, "{bytes:?}");
        }
    }
}
