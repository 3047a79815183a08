//! Streams of a caller: what `kubectl exec`, `attach` and `port-forward` have in common.
//!
//! A caller turns its connection into one of two protocols ([`upgrade`]): WebSocket with numbered channels
//! ([`websocket`]), or SPDY with named streams ([`spdy`]), which `port-forward` also sends through a
//! WebSocket ([`tunnel`]). Either way a connection becomes channels: bytes that come in are received from a
//! bounded queue each, bytes that go out are sent to the one queue that the connection's task writes. Both
//! ends hold each other up rather than buffer.
//!
//! When the caller is gone the receivers end and sending fails; when the last [`Outgoing`] is dropped, the
//! connection says goodbye and ends. A connection on which nobody says anything for hours is ended, too
//! ([`idle`]).

pub(super) mod idle;
pub(super) mod spdy;
pub(super) mod tunnel;
pub(super) mod upgrade;
pub(super) mod websocket;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Chunks that may wait in either direction.
const QUEUE: usize = 32;

/// How long a caller may take to hang up after goodbye has been said. Hanging up on it while it still
/// sends could cost it the last words (RFC 1122, 4.2.2.13).
const FAREWELL: Duration = Duration::from_secs(5);

/// Bytes that came in on a channel; ends when the caller ends the channel, or is gone.
pub(super) type Incoming = mpsc::Receiver<Bytes>;

/// What goes out.
#[derive(Debug)]
pub(super) enum Frame {
    /// Bytes on a channel.
    Data(u32, Bytes),
    /// Nothing more comes on a channel.
    End(u32),
    /// A stream that the caller has opened is accepted (SPDY).
    Accept(u32),
    /// The answer to a ping (SPDY).
    Pong(u32),
}

/// The way out of one channel; a cheap clone.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    channel: u32,
    frames: mpsc::Sender<Frame>,
}

impl Outgoing {
    /// Sends bytes; `false` when the caller is gone.
    pub(super) async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.frames.send(Frame::Data(self.channel, bytes.into())).await.is_ok()
    }

    /// Says that nothing more comes.
    pub(super) async fn end(&self) {
        // Whoever is gone needs no end.
        let _ = self.frames.send(Frame::End(self.channel)).await;
    }

    /// Waits until the caller is gone.
    pub(super) async fn gone(&self) {
        self.frames.closed().await;
    }
}
