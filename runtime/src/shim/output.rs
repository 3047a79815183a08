//! A container's standard output or error on its way to the log, and to whoever is attached.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jiff::Timestamp;

use super::tap::Tap;
use crate::log::writer::{LogWriter, Stream};

/// A pipe holds 64 KiB by default: one read empties it.
const CHUNK: usize = 64 << 10;

/// Reads after the end of the container. A pipe holds far less, but its writing end may have been handed
/// to another container of the sandbox, which must not keep the shim busy for ever.
const MAX_DRAIN: u32 = 1024;

/// Reading end of one stream. What is not yet a whole line waits in `partial`.
pub(super) struct Output {
    pipe: File,
    stream: Stream,
    partial: Vec<u8>,
}

impl Output {
    pub(super) fn new(pipe: OwnedFd, stream: Stream) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe: File::from(pipe), stream, partial: Vec::new() })
    }

    /// Which of the two it is.
    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    /// Forwards what one read gives; `false` at the end of the stream. `Err(WouldBlock)` when empty.
    pub(super) fn forward(&mut self, log: &mut LogWriter, taps: &mut [Tap]) -> io::Result<bool> {
        let mut chunk = vec![0; CHUNK];
        let length = loop {
            match self.pipe.read(&mut chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if length == 0 {
            self.finish(log);
            return Ok(false);
        }
        log.write(self.stream, &mut self.partial, &chunk[..length], Timestamp::now());
        for tap in taps.iter_mut().filter(|tap| tap.stream() == self.stream) {
            tap.write(&chunk[..length]);
        }
        Ok(true)
    }

    /// Forwards everything that is there, and the last unfinished line.
    pub(super) fn drain(&mut self, log: &mut LogWriter, taps: &mut [Tap]) {
        for _ in 0..MAX_DRAIN {
            if !matches!(self.forward(log, taps), Ok(true)) {
                break;
            }
        }
        self.finish(log);
    }

    fn finish(&mut self, log: &mut LogWriter) {
        log.finish(self.stream, &mut self.partial, Timestamp::now());
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
