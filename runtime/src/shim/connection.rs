//! One client's connection in the shim: bytes in, frames out, never blocking.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::proto::{Message, Request, frame, split};

/// A client that lets this much pile up has stopped reading and is cut off; it will find the records.
const MAX_BACKLOG: usize = 4 << 20;

/// A client.
pub(super) struct Connection {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, incoming: Vec::new(), outgoing: Vec::new() })
    }

    /// Reads what there is. `Err` is the end of the connection.
    pub(super) fn read(&mut self) -> io::Result<Vec<Request>> {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.incoming.extend_from_slice(&chunk[..length]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let mut requests = Vec::new();
        let mut used = 0;
        while let Some(body) = split(&self.incoming[used..])
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?
        {
            requests.push(serde_json::from_slice(body).map_err(io::Error::other)?);
            used += body.len() + 4;
        }
        self.incoming.drain(..used);
        if self.incoming.is_empty() {
            self.incoming.shrink_to(0);
        }
        Ok(requests)
    }

    /// Queues a message and sends what can be sent. `Err` is the end of the connection.
    pub(super) fn send(&mut self, message: &Message) -> io::Result<()> {
        self.outgoing.extend(frame(message).map_err(io::Error::other)?);
        if self.outgoing.len() > MAX_BACKLOG {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.flush()
    }

    /// Sends a message with descriptors at once. `Err` is the end of the connection, also if something else
    /// still waits to be sent: descriptors go with the first byte of what is sent together.
    pub(super) fn send_with(
        &mut self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.flush()?;
        if self.waits() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = frame(message).map_err(io::Error::other)?;
        crate::rights::send(&self.stream, &bytes, descriptors)
    }

    /// Sends what can be sent. `Err` is the end of the connection.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.outgoing.shrink_to(0);
        Ok(())
    }

    /// Whether something waits to be sent.
    pub(super) fn waits(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
