//! A connection that ends when nothing has moved on it for long, in either direction.
//!
//! Whoever forgets a `kubectl port-forward` would otherwise hold it for as long as the pod lives. Source:
//! the kubelet's `streamingConnectionIdleTimeout`.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The kubelet's default.
pub(in crate::server) const TIMEOUT: Duration = Duration::from_secs(4 * 60 * 60);

/// A connection that its readers see the end of after a time of silence.
pub(in crate::server) struct Idle<I> {
    inner: I,
    timeout: Duration,
    /// When something moved last.
    moved: Instant,
    /// Goes off when `timeout` may be over, and is set again if it is not.
    alarm: Pin<Box<Sleep>>,
}

impl<I> Idle<I> {
    /// Gives the connection up after so much silence.
    pub(in crate::server) fn new(inner: I, timeout: Duration) -> Self {
        Self { inner, timeout, moved: Instant::now(), alarm: Box::pin(sleep(timeout)) }
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        while self.alarm.as_mut().poll(context).is_ready() {
            let end = self.moved + self.timeout;
            if end <= Instant::now() {
                return true;
            }
            self.alarm.as_mut().reset(end);
        }
        false
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Idle<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if read.is_ready() {
            self.moved = Instant::now();
        } else if self.is_over(context) {
            tracing::debug!(timeout = ?self.timeout, "a stream was silent for too long");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Idle<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        if written.is_ready() {
            self.moved = Instant::now();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LONG: Duration = Duration::from_secs(100);

    #[tokio::test(start_paused = true)]
    async fn only_silence_ends_a_connection() {
        let (here, mut there) = tokio::io::duplex(64);
        let mut idle = Idle::new(here, LONG);
        let begun = Instant::now();
        for _ in 0..3 {
            // Both directions count.
            tokio::time::advance(LONG * 9 / 10).await;
            there.write_all(b"a").await.unwrap();
            assert_eq!(idle.read_u8().await.unwrap(), b'a');
            tokio::time::advance(LONG * 9 / 10).await;
            idle.write_all(b"b").await.unwrap();
        }
        let error = idle.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), LONG * 6 * 9 / 10 + LONG);
    }
}
