//! A caller's streams, whichever protocol carries them.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::Options;
use super::outcome::Outcome;
use crate::server::stream::spdy::{self, Opened};
use crate::server::stream::websocket::{Channels, Encoding};
use crate::server::stream::{Incoming, Outgoing};

/// How long a caller may take to open its streams (kubelet's streamCreationTimeout).
const PATIENCE: Duration = Duration::from_secs(30);

/// The channels of a WebSocket.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// Who is at the other end.
pub(super) struct Client {
    pub(super) stdin: Option<Incoming>,
    /// Sizes of the terminal, in JSON.
    pub(super) resize: Option<Incoming>,
    pub(super) stdout: Option<Outgoing>,
    pub(super) stderr: Option<Outgoing>,
    pub(super) error: Outgoing,
    /// Whether the end is told with a Status.
    knows_status: bool,
    /// Whether it waits for a word before it sends anything.
    wants_greeting: bool,
}

impl Client {
    /// Tells a WebSocket caller that the session has begun: an empty message.
    pub(super) async fn greet(&self) {
        if self.wants_greeting {
            let channel = self.stdout.as_ref().or(self.stderr.as_ref()).unwrap_or(&self.error);
            channel.send(Bytes::new()).await;
        }
    }

    /// The last words.
    pub(super) async fn end(self, outcome: Outcome) {
        let said =
            if self.knows_status { Some(outcome.status()) } else { outcome.text().map(Into::into) };
        if let Some(said) = said {
            self.error.send(said).await;
        }
        for channel in self.stdout.iter().chain(&self.stderr).chain([&self.error]) {
            channel.end().await;
        }
    }
}

/// A WebSocket caller, and what has to be served for it.
pub(super) fn of_websocket(subprotocol: &str, options: &Options) -> (Client, Channels) {
    let mut channels = Channels::new(Encoding::of(subprotocol));
    let wanted = options.wanted;
    let client = Client {
        stdin: wanted.stdin.then(|| channels.incoming(STDIN)),
        resize: options.tty.then(|| channels.incoming(RESIZE)),
        stdout: wanted.stdout.then(|| channels.outgoing(STDOUT)),
        stderr: wanted.stderr.then(|| channels.outgoing(STDERR)),
        error: channels.outgoing(ERROR),
        knows_status: subprotocol.starts_with("v4.") || subprotocol.starts_with("v5."),
        wants_greeting: true,
    };
    (client, channels)
}

/// Serves a SPDY caller, and the session once it has opened all its streams.
pub(super) async fn of_spdy<I>(
    io: I,
    version: &str,
    options: &Options,
    session: impl AsyncFnOnce(Client),
) where
    I: AsyncRead + AsyncWrite,
{
    let (sender, opened) = mpsc::channel(8);
    let work = async {
        let gathered = tokio::time::timeout(PATIENCE, gather(opened, version, options)).await;
        match gathered {
            Ok(Some(client)) => session(client).await,
            Ok(None) => {}
            Err(_) => tracing::debug!("a caller did not open its streams in time"),
        }
    };
    tokio::join!(spdy::serve(io, sender), work);
}

/// All streams that the options call for; `None` if the caller is gone before.
async fn gather(
    mut opened: mpsc::Receiver<Opened>,
    version: &str,
    options: &Options,
) -> Option<Client> {
    let resizes = options.tty && (version.starts_with("v3.") || version.starts_with("v4."));
    let wanted = options.wanted;
    let (mut stdin, mut resize, mut stdout, mut stderr, mut error) = (None, None, None, None, None);
    while (wanted.stdin && stdin.is_none())
        || (wanted.stdout && stdout.is_none())
        || (wanted.stderr && stderr.is_none())
        || (resizes && resize.is_none())
        || error.is_none()
    {
        let stream = opened.recv().await?;
        match stream.header("streamType") {
            "stdin" => stdin = Some(stream),
            "stdout" => stdout = Some(stream),
            "stderr" => stderr = Some(stream),
            "resize" => resize = Some(stream),
            "error" => error = Some(stream),
            other => tracing::debug!(kind = other, "a caller opened an unknown stream"),
        }
    }
    Some(Client {
        stdin: stdin.map(|stream| stream.incoming),
        resize: resize.map(|stream| stream.incoming),
        stdout: stdout.map(|stream| stream.outgoing),
        stderr: stderr.map(|stream| stream.outgoing),
        error: error?.outgoing,
        knows_status: version.starts_with("v4."),
        wants_greeting: false,
    })
}
