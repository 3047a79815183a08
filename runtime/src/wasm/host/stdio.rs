//! Where a guest's output goes.
//!
//! A command writes straight through: what it wrote is in the shim's pipe when the call returns, in order.
//! Instances of an HTTP component share the container's stdout and stderr, so their output is passed on
//! by whole lines, each in one write: lines of concurrent requests never mix.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// A line longer than this is passed on in pieces; the log format splits at 16 KiB anyway.
const LONGEST_LINE: usize = 16 * 1024;

/// What a guest may write between two checks.
const WRITE_BUDGET: usize = 64 * 1024;

/// The container's stdout and stderr, unbuffered and blocking: a full pipe holds the writer back, as it
/// does with a native program.
#[derive(Debug, Clone)]
pub(super) struct Stdio {
    pub(super) out: Arc<File>,
    pub(super) err: Arc<File>,
}

impl Stdio {
    /// Duplicates this process's own stdout and stderr.
    pub(super) fn inherit() -> io::Result<Self> {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let err = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self { out: Arc::new(out), err: Arc::new(err) })
    }

    /// Writes one line of the host's own to the container's stderr, so that it shows in its log.
    pub(super) fn note(&self, line: &str) {
        // A log that cannot be written must not end the program.
        _ = (&*self.err).write_all(format!("wharf: {line}\n").as_bytes());
    }
}

/// A sink that passes on what it gets.
#[derive(Debug, Clone)]
pub(super) struct Through(pub(super) Arc<File>);

/// A sink that passes on whole lines; the rest when its last handle is gone.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<LineBuffer>);

#[derive(Debug)]
struct LineBuffer {
    to: Arc<File>,
    partial: Mutex<Vec<u8>>,
}

impl Lines {
    pub(super) fn new(to: Arc<File>) -> Self {
        Self(Arc::new(LineBuffer { to, partial: Mutex::new(Vec::new()) }))
    }
}

impl LineBuffer {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut partial = self.partial.lock();
        partial.extend_from_slice(bytes);
        let complete = match partial.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if partial.len() >= LONGEST_LINE => partial.len(),
            None => return Ok(()),
        };
        // One write call per batch: the kernel keeps up to PIPE_BUF bytes of it together.
        let result = (&*self.to).write_all(&partial[..complete]);
        partial.drain(..complete);
        result
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        let partial = self.partial.get_mut();
        if !partial.is_empty() {
            partial.push(b'\n');
            _ = (&*self.to).write_all(partial);
        }
    }
}

/// The two sinks differ in this alone.
trait Sink: Clone + Send + Sync + Unpin + 'static {
    fn put(&self, bytes: &[u8]) -> io::Result<()>;
}

impl Sink for Through {
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self.0).write_all(bytes)
    }
}

impl Sink for Lines {
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes)
    }
}

/// A guest's handle on a sink.
struct Handle<S>(S);

macro_rules! stdout_stream {
    ($($sink:ty),*) => {$(
        impl IsTerminal for $sink {
            fn is_terminal(&self) -> bool {
                false
            }
        }

        impl StdoutStream for $sink {
            fn p2_stream(&self) -> Box<dyn OutputStream> {
                Box::new(Handle(self.clone()))
            }

            fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
                Box::new(Handle(self.clone()))
            }
        }
    )*};
}
stdout_stream!(Through, Lines);

#[async_trait]
impl<S: Sink> Pollable for Handle<S> {
    async fn ready(&mut self) {}
}

impl<S: Sink> OutputStream for Handle<S> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.put(&bytes).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => StreamError::Closed,
            _ => StreamError::LastOperationFailed(error.into()),
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BUDGET)
    }
}

impl<S: Sink> AsyncWrite for Handle<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.put(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn lines_arrive_whole_and_the_rest_at_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        let written = |file: &mut File| {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        let (one, two) = {
            let shared = Arc::new(file.try_clone().unwrap());
            (Lines::new(Arc::clone(&shared)), Lines::new(shared))
        };
        one.put(b"a1 ").unwrap();
        two.put(b"b1\nb2").unwrap();
        one.put(b"a2\na3\nrest").unwrap();
        assert_eq!(written(&mut file), "b1\na1 a2\na3\n");
        drop(two);
        drop(one);
        assert_eq!(written(&mut file), "b1\na1 a2\na3\nb2\nrest\n");
    }

    #[test]
    fn a_line_without_end_is_not_kept_for_ever() {
        let file = tempfile::tempfile().unwrap();
        let lines = Lines::new(Arc::new(file.try_clone().unwrap()));
        lines.put(&[b'x'; LONGEST_LINE]).unwrap();
        assert_eq!(file.metadata().unwrap().len(), LONGEST_LINE as u64);
    }
}
