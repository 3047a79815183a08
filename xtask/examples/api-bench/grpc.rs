//! As much of gRPC (over plain HTTP/2, RFC 9113) as three calls of etcd need: requests smaller than
//! one frame, one call at a time, answers without compression.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};

use crate::client::PATIENCE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest flow-control window that HTTP/2 has, in bytes.
const WINDOW: u32 = 0x7fff_ffff;
/// The window that a connection starts with, in bytes.
const FIRST_WINDOW: u32 = 65_535;
/// The largest frame that any peer takes, in bytes.
const FRAME: usize = 16 * 1024;
/// Received bytes after which the connection's window is opened again.
const REOPEN: u32 = 1 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A connection.
pub(crate) struct Channel {
    stream: TcpStream,
    next: u32,
    received: u32,
    read: Vec<u8>,
    at: usize,
}

impl Channel {
    /// Connects to `127.0.0.1:port`.
    pub(crate) fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut channel = Self { stream, next: 1, received: 0, read: Vec::new(), at: 0 };
        let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
        settings.extend(WINDOW.to_be_bytes());
        let mut hello = PREFACE.to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &settings));
        hello.extend(frame(WINDOW_UPDATE, 0, 0, &(WINDOW - FIRST_WINDOW).to_be_bytes()));
        channel.stream.write_all(&hello)?;
        Ok(channel)
    }

    /// One call; gives the answer's message.
    pub(crate) fn call(&mut self, path: &str, message: &[u8]) -> Result<Vec<u8>> {
        self.start(path, message, END_STREAM)?;
        let mut body = Vec::new();
        while self.step(&mut body)? {}
        // An error has a status in its trailers and no message.
        let message = take_message(&mut body)?;
        message.with_context(|| format!("etcd answered {path} with an error"))
    }

    /// Starts a call that goes on; its messages come from [`Channel::message`].
    pub(crate) fn open(&mut self, path: &str, message: &[u8]) -> Result<()> {
        self.start(path, message, 0)
    }

    /// The next message of an open call; `body` holds what has come of later ones.
    pub(crate) fn message(&mut self, body: &mut Vec<u8>) -> Result<Vec<u8>> {
        loop {
            if let Some(message) = take_message(body)? {
                return Ok(message);
            }
            ensure!(self.step(body)?, "etcd ended the call");
        }
    }

    fn start(&mut self, path: &str, message: &[u8], end: u8) -> Result<()> {
        ensure!(message.len() + 5 <= FRAME, "a request of {} bytes is too long", message.len());
        let stream = self.next;
        self.next += 2;
        let mut data = vec![0];
        data.extend((message.len() as u32).to_be_bytes());
        data.extend_from_slice(message);
        let mut out = frame(HEADERS, END_HEADERS, stream, &headers(path));
        out.extend(frame(DATA, end, stream, &data));
        self.stream.write_all(&out).context("send a call")
    }

    /// Reads one frame; `false` after the last of the call.
    fn step(&mut self, body: &mut Vec<u8>) -> Result<bool> {
        let head: [u8; 9] = self.take(9)?.try_into().expect("nine bytes were asked for");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (kind, flags) = (head[3], head[4]);
        let payload = self.take(length as usize)?;
        match kind {
            DATA => {
                body.extend_from_slice(&payload);
                self.received += length;
                if self.received > REOPEN {
                    let open = frame(WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
                    self.stream.write_all(&open)?;
                    self.received = 0;
                }
            }
            SETTINGS if flags & ACK == 0 => {
                self.stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?;
            }
            PING if flags & ACK == 0 => self.stream.write_all(&frame(PING, ACK, 0, &payload))?,
            RST_STREAM | GOAWAY => bail!("etcd broke off the call"),
            _ => {}
        }
        Ok(!(matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0))
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.read.len() - self.at < length {
            self.read.drain(..self.at);
            self.at = 0;
            let mut part = [0; 64 * 1024];
            let read = self.stream.read(&mut part).context("read from etcd")?;
            ensure!(read > 0, "etcd closed the connection");
            self.read.extend_from_slice(&part[..read]);
        }
        let taken = self.read[self.at..self.at + length].to_vec();
        self.at += length;
        Ok(taken)
    }
}

fn take_message(body: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    let Some((head, rest)) = body.split_first_chunk::<5>() else { return Ok(None) };
    ensure!(head[0] == 0, "etcd compressed its answer");
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if rest.len() < length {
        return Ok(None);
    }
    let message = rest[..length].to_vec();
    body.drain(..5 + length);
    Ok(Some(message))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// The request's header block: HPACK (RFC 7541) without a dynamic table and without Huffman codes.
fn headers(path: &str) -> Vec<u8> {
    let mut out = vec![0x83, 0x86];
    let mut literal = |name: &[u8], value: &str| {
        out.extend_from_slice(name);
        out.push(value.len() as u8);
        out.extend_from_slice(value.as_bytes());
    };
    literal(&[0x04], path);
    literal(&[0x01], "localhost");
    literal(&[0x0f, 0x10], "application/grpc");
    literal(&[0x00, 0x02, b't', b'e'], "trailers");
    out
}

/// A protobuf field with bytes (a string, a message); `number` under 16.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_as_many_bytes_as_it_needs() {
        assert_eq!(field(1, b"ab"), [0x0a, 2, b'a', b'b']);
        assert_eq!(field(2, &[0; 300])[..3], [0x12, 0xac, 0x02]);
    }

    #[test]
    fn messages_are_cut_out_of_what_has_come() {
        let mut body = vec![0, 0, 0, 0, 1, b'a', 0, 0, 0, 0, 2, b'b'];
        assert_eq!(take_message(&mut body).unwrap().unwrap(), b"a");
        assert_eq!(take_message(&mut body).unwrap(), None);
        body.push(b'c');
        assert_eq!(take_message(&mut body).unwrap().unwrap(), b"bc");
        assert!(body.is_empty());
    }
}
