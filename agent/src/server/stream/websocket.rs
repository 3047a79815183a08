//! Numbered channels in a WebSocket: the first byte of every message says which one it belongs to.
//!
//! With the base64 subprotocols messages are text: a digit, and the bytes in base64. With
//! `v5.channel.k8s.io` a message on channel 255 ends the channel that its one byte names. Source:
//! `k8s.io/apimachinery/pkg/util/httpstream/wsstream`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{FAREWELL, Frame, Incoming, Outgoing, QUEUE};

/// The channel on which the end of others is announced.
const CLOSE: u8 = 255;
/// Longest message that is taken from a caller, in bytes.
const LONGEST: usize = 4 << 20;

/// How bytes are put into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Encoding {
    Binary,
    Base64,
}

impl Encoding {
    /// What a subprotocol says.
    pub(in crate::server) fn of(subprotocol: &str) -> Self {
        if subprotocol.contains("base64.") { Self::Base64 } else { Self::Binary }
    }

    fn encode(self, channel: u32, bytes: &[u8]) -> Message {
        let channel = u8::try_from(channel).unwrap_or(CLOSE - 1);
        match self {
            Self::Binary => {
                let mut message = BytesMut::with_capacity(bytes.len() + 1);
                message.put_u8(channel);
                message.put_slice(bytes);
                Message::Binary(message.freeze())
            }
            Self::Base64 => {
                let mut message = String::from(char::from(b'0'.saturating_add(channel)));
                STANDARD.encode_string(bytes, &mut message);
                Message::text(message)
            }
        }
    }

    /// Channel and bytes; `None` for what is not understood.
    fn decode(self, message: Bytes) -> Option<(u8, Bytes)> {
        let channel = *message.first()?;
        match self {
            Self::Binary => Some((channel, message.slice(1..))),
            Self::Base64 => {
                let bytes = STANDARD.decode(&message[1..]).ok()?;
                Some((channel.checked_sub(b'0')?, bytes.into()))
            }
        }
    }
}

/// A connection's channels, before it is served.
pub(in crate::server) struct Channels {
    encoding: Encoding,
    inputs: BTreeMap<u8, mpsc::Sender<Bytes>>,
    frames: (mpsc::Sender<Frame>, mpsc::Receiver<Frame>),
}

impl Channels {
    /// No channels yet.
    pub(in crate::server) fn new(encoding: Encoding) -> Self {
        Self { encoding, inputs: BTreeMap::new(), frames: mpsc::channel(QUEUE) }
    }

    /// Lets bytes in on a channel.
    pub(in crate::server) fn incoming(&mut self, channel: u8) -> Incoming {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.inputs.insert(channel, sender);
        receiver
    }

    /// Lets bytes out on a channel.
    pub(in crate::server) fn outgoing(&self, channel: u8) -> Outgoing {
        Outgoing { channel: channel.into(), frames: self.frames.0.clone() }
    }

    /// Serves the connection until either side has had enough.
    pub(in crate::server) async fn serve<I>(self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let (sink, stream) = socket(io).await.split();
        let (frames, queue) = self.frames;
        // The session's own are the only ones left: their end is the connection's.
        drop(frames);
        let mut reading = Box::pin(read(stream, self.encoding, self.inputs));
        let said = tokio::select! {
            () = &mut reading => return,
            said = write(sink, self.encoding, queue) => said,
        };
        if said.is_ok() {
            let _ = tokio::time::timeout(FAREWELL, reading).await;
        }
    }
}

/// The server's end of a WebSocket whose handshake is done.
pub(super) async fn socket<I: AsyncRead + AsyncWrite + Unpin>(io: I) -> WebSocketStream<I> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LONGEST))
        .max_frame_size(Some(LONGEST))
        .write_buffer_size(0)
        .read_buffer_size(16 << 10);
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// The message that ends a WebSocket in peace.
pub(super) fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Default::default() }))
}

async fn read(
    mut stream: impl Stream<Item = Result<Message, Error>> + Unpin,
    encoding: Encoding,
    mut inputs: BTreeMap<u8, mpsc::Sender<Bytes>>,
) {
    while let Some(Ok(message)) = stream.next().await {
        let message = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            // Pings are answered by the next read.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let Some((channel, bytes)) = encoding.decode(message) else { continue };
        if channel == CLOSE {
            if let Some(ended) = bytes.first() {
                inputs.remove(ended);
            }
            continue;
        }
        let Some(input) = inputs.get(&channel) else { continue };
        if !bytes.is_empty() && input.send(bytes).await.is_err() {
            // Nobody listens any more; what still comes is let go.
            inputs.remove(&channel);
        }
    }
}

async fn write(
    mut sink: impl Sink<Message, Error = Error> + Unpin,
    encoding: Encoding,
    mut queue: mpsc::Receiver<Frame>,
) -> Result<(), Error> {
    while let Some(frame) = queue.recv().await {
        if let Frame::Data(channel, bytes) = frame {
            sink.send(encoding.encode(channel, &bytes)).await?;
        }
    }
    sink.send(goodbye()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn client(io: tokio::io::DuplexStream) -> WebSocketStream<tokio::io::DuplexStream> {
        WebSocketStream::from_raw_socket(io, Role::Client, None).await
    }

    #[tokio::test]
    async fn channels_carry_bytes_both_ways_and_end_one_by_one() {
        let (here, there) = tokio::io::duplex(1024);
        let mut channels = Channels::new(Encoding::Binary);
        let (mut stdin, mut resize) = (channels.incoming(0), channels.incoming(4));
        let stdout = channels.outgoing(1);
        let session = async move {
            assert_eq!(stdin.recv().await.unwrap(), "in");
            assert!(stdin.recv().await.is_none(), "closed by the caller");
            assert_eq!(resize.recv().await.unwrap(), "{}");
            assert!(stdout.send("out").await);
        };
        let caller = async {
            let mut socket = client(there).await;
            for message in [&b"\x00in"[..], b"\x07nobody", b"\xff\x00", b"\x04{}"] {
                socket.send(Message::binary(message)).await.unwrap();
            }
            let answer = socket.next().await.unwrap().unwrap();
            assert_eq!(answer.into_data(), &b"\x01out"[..]);
            assert!(socket.next().await.unwrap().unwrap().is_close());
        };
        tokio::join!(channels.serve(here), session, caller);
    }

    #[tokio::test]
    async fn a_caller_that_is_gone_is_noticed() {
        let (here, there) = tokio::io::duplex(1024);
        let mut channels = Channels::new(Encoding::Binary);
        let (mut stdin, stdout) = (channels.incoming(0), channels.outgoing(1));
        drop(there);
        tokio::join!(channels.serve(here), async move {
            assert!(stdin.recv().await.is_none());
            stdout.gone().await;
        });
    }

    #[test]
    fn base64_is_text_with_a_digit() {
        let encoding = Encoding::of("v4.base64.channel.k8s.io");
        assert_eq!(encoding, Encoding::Base64);
        assert_eq!(encoding.encode(2, b"hi"), Message::text("2aGk="));
        assert_eq!(encoding.decode("0aGk=".into()), Some((0, "hi".into())));
        assert_eq!(encoding.decode("0?".into()), None);
        assert_eq!(encoding.decode(Bytes::new()), None);
        assert_eq!(Encoding::of("v5.channel.k8s.io"), Encoding::Binary);
    }
}
