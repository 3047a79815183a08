//! Frames on the wire.
//!
//! ```text
//! control  1 | version 3 (15 bits) | type (16) | flags (8) | length (24) | ...
//! data     0 | stream (31 bits)                | flags (8) | length (24) | ...
//! ```

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::headers::{Decoder, Encoder};

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const HEADERS: u16 = 8;

/// The sender sends nothing more on the stream.
const FIN: u8 = 1;

/// Longest frame that is taken, in bytes; clients copy in chunks of 32 KiB.
const LONGEST: usize = 4 << 20;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Open {
        id: u32,
        headers: Vec<(String, String)>,
        ends: bool,
    },
    Data {
        id: u32,
        bytes: Bytes,
        ends: bool,
    },
    Reset {
        id: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// Settings, windows, further headers: nothing that has to be done.
    Other,
}

/// Reads frames.
pub(super) struct Reader<R> {
    input: R,
    headers: Decoder,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, headers: Decoder::new() }
    }

    /// The next frame; `UnexpectedEof` at the end of the connection.
    pub(super) async fn next(&mut self) -> io::Result<Received> {
        let mut head = [0; 8];
        self.input.read_exact(&mut head).await?;
        let [first, second, third, fourth, flags, ..] = head;
        let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
        if length > LONGEST {
            return Err(malformed("a frame is too long"));
        }
        let mut body = BytesMut::zeroed(length);
        self.input.read_exact(&mut body).await?;
        let ends = flags & FIN != 0;
        let id = u32::from_be_bytes([first & 0x7f, second, third, fourth]);
        if first & 0x80 == 0 {
            return Ok(Received::Data { id, bytes: body.freeze(), ends });
        }
        if u16::from_be_bytes([first & 0x7f, second]) != VERSION {
            return Err(malformed("this is not SPDY/3"));
        }
        self.control(u16::from_be_bytes([third, fourth]), &body, ends)
    }

    fn control(&mut self, kind: u16, body: &[u8], ends: bool) -> io::Result<Received> {
        let id = || {
            let id = body.first_chunk::<4>().ok_or_else(|| malformed("a frame is cut short"))?;
            Ok::<_, io::Error>(u32::from_be_bytes(*id) & 0x7fff_ffff)
        };
        // Every header block has to be read: the next one builds on it.
        let mut block = |at: usize| {
            let block = body.get(at..).ok_or_else(|| malformed("a frame is cut short"))?;
            self.headers.decode(block)
        };
        Ok(match kind {
            // Stream, associated stream, priority, slot.
            SYN_STREAM => Received::Open { id: id()?, headers: block(10)?, ends },
            SYN_REPLY | HEADERS => {
                block(4)?;
                Received::Other
            }
            RST_STREAM => Received::Reset { id: id()? },
            // A server's own have even numbers, and none is sent here.
            PING if body.len() == 4 && body[3] & 1 == 1 => {
                Received::Ping { id: u32::from_be_bytes([body[0], body[1], body[2], body[3]]) }
            }
            GO_AWAY => Received::GoAway,
            _ => Received::Other,
        })
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes the frames that have header blocks.
pub(super) struct Writer(Option<Encoder>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// Accepts a stream.
    pub(super) fn reply(&mut self, id: u32) -> io::Result<Vec<u8>> {
        let encoder = match &mut self.0 {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new()?),
        };
        let mut body = id.to_be_bytes().to_vec();
        body.extend(encoder.encode(&[])?);
        Ok(control(SYN_REPLY, &body))
    }
}

/// The head of a data frame.
pub(super) fn data(id: u32, length: usize, ends: bool) -> [u8; 8] {
    let [a, b, c, d] = (id & 0x7fff_ffff).to_be_bytes();
    // What is sent here comes in chunks far below 16 MiB.
    let [_, x, y, z] = u32::try_from(length).unwrap_or(0).to_be_bytes();
    [a, b, c, d, if ends { FIN } else { 0 }, x, y, z]
}

/// A ping, or its answer.
pub(super) fn ping(id: u32) -> Vec<u8> {
    control(PING, &id.to_be_bytes())
}

/// Goodbye; all is well.
pub(super) fn go_away() -> Vec<u8> {
    control(GO_AWAY, &[0; 8])
}

pub(super) fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = (VERSION | 0x8000).to_be_bytes().to_vec();
    frame.extend(kind.to_be_bytes());
    frame.extend(u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
    frame.extend(body);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<Received> {
        Reader::new(bytes).next().await
    }

    #[tokio::test]
    async fn frames_are_told_apart() {
        let mut bytes = data(5, 3, false).to_vec();
        bytes.extend(b"abc");
        let want = Received::Data { id: 5, bytes: "abc".into(), ends: false };
        assert_eq!(read(&bytes).await.unwrap(), want);
        let want = Received::Data { id: 7, bytes: Bytes::new(), ends: true };
        assert_eq!(read(&data(7, 0, true)).await.unwrap(), want);
        assert_eq!(read(&ping(3)).await.unwrap(), Received::Ping { id: 3 });
        assert_eq!(read(&ping(2)).await.unwrap(), Received::Other);
        assert_eq!(read(&go_away()).await.unwrap(), Received::GoAway);
        let reset = control(RST_STREAM, &[0, 0, 0, 9, 0, 0, 0, 5]);
        assert_eq!(read(&reset).await.unwrap(), Received::Reset { id: 9 });
        let mut encoder = Encoder::new().unwrap();
        let mut body = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        body.extend(encoder.encode(&[("port", "80")]).unwrap());
        let want =
            Received::Open { id: 1, headers: vec![("port".into(), "80".into())], ends: false };
        assert_eq!(read(&control(SYN_STREAM, &body)).await.unwrap(), want);
    }

    #[tokio::test]
    async fn what_is_no_frame_ends_the_connection() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], &[0x80, 2, 0, 1, 0, 0, 0, 0], &[0x80, 3, 0, 1, 0, 0, 0, 0]]
        {
            assert!(read(bytes).await.is_err(), "{bytes:?}");
        }
    }
}
