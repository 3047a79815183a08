//! SPDY/3.1, as far as Kubernetes' clients speak it: streams that the caller opens, each with headers.
//!
//! There are no windows: `spdystream`, which the clients use, neither keeps nor announces any. A stream's
//! bytes wait in its queue, and a full queue holds the connection up. Source: the SPDY/3 draft
//! (chromium.org/spdy/spdy-protocol/spdy-protocol-draft3) and what `moby/spdystream` sends.

mod frame;
mod headers;

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use self::frame::{Reader, Received, Writer};
use super::{FAREWELL, Frame, Incoming, Outgoing, QUEUE};

/// Streams that a caller may have open; a port-forward has two per connection.
const MOST_STREAMS: usize = 4096;

/// A stream that the caller has opened.
#[derive(Debug)]
pub(in crate::server) struct Opened {
    pub(in crate::server) id: u32,
    headers: Vec<(String, String)>,
    pub(in crate::server) incoming: Incoming,
    pub(in crate::server) outgoing: Outgoing,
}

impl Opened {
    /// The value of a header, "" if it is missing.
    pub(in crate::server) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// Serves a connection. Its streams are received from `opened`'s other end; the connection ends when that
/// is dropped with all streams that came from there, or when the caller is gone.
pub(in crate::server) async fn serve<I>(io: I, opened: mpsc::Sender<Opened>)
where
    I: AsyncRead + AsyncWrite,
{
    let (input, mut output) = tokio::io::split(io);
    let (frames, queue) = mpsc::channel(QUEUE);
    // The reader's handle must not keep the writer waiting for more.
    let weak = frames.downgrade();
    let session = opened.clone();
    let mut reading = Box::pin(read(input, opened, weak));
    let held = async move {
        // As long as somebody waits for streams, the connection is needed.
        session.closed().await;
        drop(frames);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = &mut reading => {}
        () = held => {}
        said = write(&mut output, queue) => {
            if said.is_ok() {
                let _ = tokio::time::timeout(FAREWELL, reading).await;
            }
        }
    }
}

async fn read(
    input: impl AsyncRead + Unpin,
    opened: mpsc::Sender<Opened>,
    frames: mpsc::WeakSender<Frame>,
) -> io::Result<()> {
    let mut reader = Reader::new(BufReader::new(input));
    let mut streams: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    loop {
        match reader.next().await? {
            Received::Open { id, headers, ends } => {
                if streams.len() >= MOST_STREAMS {
                    return Err(io::Error::other("too many streams"));
                }
                // Nobody wants streams any more; what still comes is read and let go.
                let Some(frames) = frames.upgrade() else { continue };
                let (sender, incoming) = mpsc::channel(QUEUE);
                let outgoing = Outgoing { channel: id, frames };
                let _ = outgoing.frames.send(Frame::Accept(id)).await;
                if opened.send(Opened { id, headers, incoming, outgoing }).await.is_ok() && !ends {
                    streams.insert(id, sender);
                }
            }
            Received::Data { id, bytes, ends } => {
                if let Some(stream) = streams.get(&id)
                    && (!bytes.is_empty() && stream.send(bytes).await.is_err() || ends)
                {
                    streams.remove(&id);
                }
            }
            Received::Reset { id } => drop(streams.remove(&id)),
            Received::Ping { id } => {
                if let Some(frames) = frames.upgrade() {
                    let _ = frames.send(Frame::Pong(id)).await;
                }
            }
            Received::GoAway | Received::Other => {}
        }
    }
}

async fn write(
    output: &mut (impl AsyncWrite + Unpin),
    mut queue: mpsc::Receiver<Frame>,
) -> io::Result<()> {
    let mut writer = Writer::new();
    while let Some(frame) = queue.recv().await {
        let bytes = match &frame {
            Frame::Data(id, bytes) => {
                output.write_all(&frame::data(*id, bytes.len(), false)).await?;
                output.write_all(bytes).await?;
                output.flush().await?;
                continue;
            }
            Frame::End(id) => frame::data(*id, 0, true).to_vec(),
            Frame::Accept(id) => writer.reply(*id)?,
            Frame::Pong(id) => frame::ping(*id),
        };
        output.write_all(&bytes).await?;
        output.flush().await?;
    }
    output.write_all(&frame::go_away()).await?;
    output.shutdown().await
}

#[cfg(test)]
mod tests;
