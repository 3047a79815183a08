//! Bytes between a process and a caller.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use runtime::streams::{Input, Output, Streams, Terminal, TerminalSize};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use crate::server::stream::{Incoming, Outgoing};

/// Bytes of one read.
const CHUNK: usize = 32 << 10;

/// How long an output may stay silent after the process has ended, before it is taken for one that a
/// process in the background has inherited. What the process itself has written is there at once.
const SILENCE: Duration = Duration::from_secs(1);

/// Copies until all output has come to its end. `exited` says that the process has ended.
pub(super) async fn copy(streams: Streams, client: &mut Client, exited: CancellationToken) {
    let Streams { stdin, stdout, stderr, terminal } = streams;
    let has_terminal = terminal.is_some();
    let is_silent = stdout.is_none() && stderr.is_none();
    let inwards = async {
        tokio::join!(
            feed(client.stdin.take(), stdin, has_terminal),
            resize(client.resize.take(), terminal),
        );
        std::future::pending::<()>().await;
    };
    let outwards = async {
        tokio::join!(
            pass_on(stdout, client.stdout.as_ref(), &exited),
            pass_on(stderr, client.stderr.as_ref(), &exited),
        );
        if is_silent {
            exited.cancelled().await;
        }
    };
    tokio::select! {
        () = inwards => {}
        () = outwards => {}
    }
}

/// Gives the process what the caller sends; its input ends with the caller's, but a terminal stays.
async fn feed(from: Option<Incoming>, to: Option<Input>, has_terminal: bool) {
    let (Some(mut from), Some(mut to)) = (from, to) else { return };
    while let Some(bytes) = from.recv().await {
        if to.write_all(&bytes).await.is_err() {
            // Nobody reads. The caller may go on: the process may still have something to say.
            return;
        }
    }
    if has_terminal {
        std::future::pending::<()>().await;
    }
}

/// A size as clients send it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

async fn resize(from: Option<Incoming>, terminal: Option<Terminal>) {
    let (Some(mut from), Some(terminal)) = (from, terminal) else { return };
    while let Some(bytes) = from.recv().await {
        let sizes = serde_json::Deserializer::from_slice(&bytes).into_iter::<Size>();
        for size in sizes.map_while(Result::ok) {
            let size = TerminalSize { columns: size.width, rows: size.height };
            if let Err(error) = terminal.resize(size) {
                tracing::debug!(%error, "a terminal was not resized");
            }
        }
    }
}

/// Gives the caller what the process writes; with no caller for it, it is only read.
async fn pass_on(from: Option<Output>, to: Option<&Outgoing>, exited: &CancellationToken) {
    let Some(mut from) = from else { return };
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let silent = async {
            exited.cancelled().await;
            tokio::time::sleep(SILENCE).await;
        };
        let read: io::Result<usize> = tokio::select! {
            biased;
            read = from.read_buf(&mut chunk) => read,
            () = silent => return,
        };
        match read {
            Ok(length) if length > 0 => {}
            _ => return,
        }
        if let Some(to) = to
            && !to.send(chunk.freeze()).await
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_clients_write_them() {
        let text = br#"{"Width":120,"Height":40}{"Width":80,"Height":24}"#;
        let sizes = serde_json::Deserializer::from_slice(text).into_iter::<Size>();
        let sizes: Vec<_> = sizes.map(|size| size.unwrap()).map(|s| (s.width, s.height)).collect();
        assert_eq!(sizes, [(120, 40), (80, 24)]);
    }
}
