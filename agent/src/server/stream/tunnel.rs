//! Bytes of another protocol in the binary messages of a WebSocket: how `kubectl port-forward` sends SPDY.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::tungstenite::Message;

use super::FAREWELL;
use super::websocket::{goodbye, socket};

/// Bytes that wait in either direction, and in one message at most.
const BUFFER: usize = 32 << 10;

/// The other protocol's end, and what has to run beside it.
pub(in crate::server) async fn open<I>(io: I) -> (DuplexStream, impl Future<Output = ()>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let (inner, outer) = tokio::io::duplex(BUFFER);
    let (mut sink, mut stream) = socket(io).await.split();
    let (mut from_inner, mut to_inner) = tokio::io::split(outer);
    let carry = async move {
        let mut inwards = Box::pin(async move {
            while let Some(Ok(message)) = stream.next().await {
                let bytes = match message {
                    Message::Binary(bytes) => bytes,
                    Message::Text(text) => Bytes::from(text),
                    Message::Close(_) => break,
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                };
                if to_inner.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            let _ = to_inner.shutdown().await;
        });
        let outwards = async move {
            loop {
                let mut chunk = BytesMut::with_capacity(BUFFER);
                match from_inner.read_buf(&mut chunk).await {
                    Ok(length) if length > 0 => {
                        if sink.send(Message::Binary(chunk.freeze())).await.is_err() {
                            return;
                        }
                    }
                    _ => break,
                }
            }
            let _ = sink.send(goodbye()).await;
        };
        tokio::select! {
            () = &mut inwards => {}
            () = outwards => {
                let _ = tokio::time::timeout(FAREWELL, inwards).await;
            }
        }
    };
    (inner, carry)
}
