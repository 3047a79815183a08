//! A copy of one output stream for somebody who is attached to the container.
//!
//! The reader has the other end of a pipe. What does not fit there waits here, and while anything waits the
//! container's stream is not read: who attaches to a program holds it up by not listening, as at a
//! terminal. A reader that is gone holds up nothing.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;

use crate::log::writer::Stream;

/// The writing end.
pub(super) struct Tap {
    stream: Stream,
    pipe: File,
    pending: Vec<u8>,
    gone: bool,
    /// What epoll calls it while it waits to be written.
    pub(super) source: Option<u64>,
}

impl Tap {
    /// A tap, and the end that its reader gets.
    pub(super) fn new(stream: Stream) -> io::Result<(Self, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&write, true)?;
        let pipe = File::from(write);
        Ok((Self { stream, pipe, pending: Vec::new(), gone: false, source: None }, read))
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    /// Passes bytes on, or keeps them.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.gone {
            return;
        }
        self.pending.extend_from_slice(bytes);
        self.flush();
    }

    /// Passes on what waits.
    pub(super) fn flush(&mut self) {
        let mut written = 0;
        while written < self.pending.len() {
            match self.pipe.write(&self.pending[written..]) {
                Ok(length) if length > 0 => written += length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.gone = true;
                    written = self.pending.len();
                }
            }
        }
        self.pending.drain(..written);
    }

    /// Whether anything waits.
    pub(super) fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether its reader is gone.
    pub(super) fn is_gone(&self) -> bool {
        let mut polled = [PollFd::new(&self.pipe, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let error = rustix::event::poll(&mut polled, Some(&now)).is_ok()
            && polled[0].revents().contains(PollFlags::ERR);
        self.gone || error
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_does_not_fit_waits_and_a_reader_that_is_gone_holds_up_nothing() {
        let (mut tap, read) = Tap::new(Stream::Stdout).unwrap();
        let much = vec![7; 1 << 20];
        tap.write(&much);
        assert!(tap.waits() && !tap.is_gone());
        let mut reader = File::from(read);
        let (mut got, mut chunk) = (0, vec![0; 64 << 10]);
        while got < much.len() {
            got += reader.read(&mut chunk).unwrap();
            tap.flush();
        }
        assert!(!tap.waits());
        tap.write(&much);
        drop(reader);
        assert!(tap.is_gone());
        tap.flush();
        assert!(!tap.waits());
    }
}
