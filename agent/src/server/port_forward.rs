//! `/portForward/{namespace}/{pod}`: connections to ports inside a pod's network.
//!
//! Each has two streams: data, and errors. SPDY callers open a pair for every connection they accept, also
//! through a WebSocket (`SPDY/3.1+portforward.k8s.io`, what kubectl does); with plain WebSocket channels
//! there is one pair for each port of the query, `port=80,81`, and each channel begins with its port, two
//! bytes, the low one first. Source: `k8s.io/kubelet/pkg/cri/streaming/portforward`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Response, StatusCode};
use hyper::body::Incoming as RequestBody;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::stream::idle::{self, Idle};
use super::stream::spdy::{self, Opened};
use super::stream::upgrade::{Protocol, Supported, negotiate};
use super::stream::websocket::{Channels, Encoding};
use super::stream::{Incoming, Outgoing, tunnel};
use super::{Body, logs, query, text};
use crate::agent::Workers;
use crate::context::Context;
use crate::probe::words;

/// SPDY within a WebSocket.
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";

const SUPPORTED: Supported = Supported {
    websocket: &[TUNNELLED, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"],
    spdy: &["portforward.k8s.io"],
};

/// Bytes of one read.
const CHUNK: usize = 32 << 10;

/// Whose ports.
struct Subject {
    context: Arc<Context>,
    pod: String,
    uid: String,
}

/// One connection's two streams.
struct Pair {
    port: u16,
    incoming: Incoming,
    data: Outgoing,
    error: Outgoing,
    /// Whether errors are objects, by which kubectl knows whether to go on.
    knows_objects: bool,
}

/// Answers the request, and when it is an upgrade, forwards beside.
pub(super) fn begin(
    context: &Arc<Context>,
    workers: &Workers,
    (namespace, pod): (&str, &str),
    request: &mut http::Request<RequestBody>,
) -> Response<Body> {
    let Some(found) = logs::find_pod(workers, namespace, pod) else {
        return text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    let (response, protocol) = match negotiate(request.headers(), &SUPPORTED) {
        Ok(negotiated) => negotiated,
        Err(refusal) => return *refusal,
    };
    let ports = match ports(request.uri().query().unwrap_or_default()) {
        Ok(ports) => ports,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let has_channels = matches!(&protocol, Protocol::WebSocket(name) if name != TUNNELLED);
    if has_channels && ports.is_empty() {
        return text(StatusCode::BAD_REQUEST, "query parameter \"port\" is required");
    }
    let uid = found.metadata.uid.clone().unwrap_or_default();
    let subject = Subject { context: Arc::clone(context), pod: pod.to_owned(), uid };
    let upgrade = hyper::upgrade::on(request);
    let stop = context.shutdown.clone();
    context.tracker.spawn(async move {
        tokio::select! {
            () = serve(subject, protocol, ports, upgrade) => {}
            () = stop.cancelled() => {}
        }
    });
    response
}

/// The ports of a query.
fn ports(query: &str) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for (_, value) in query::pairs(query).filter(|(name, _)| name == "port") {
        for port in value.split(',') {
            match port.parse::<u16>() {
                Ok(0) => return Err(format!("port {value:?} must be > 0")),
                Ok(port) => ports.push(port),
                Err(_) => return Err(format!("unable to parse {value:?} as a port")),
            }
        }
    }
    // A channel has a number of one byte, and each port two of them.
    if ports.len() > 100 { Err("too many ports".to_owned()) } else { Ok(ports) }
}

async fn serve(subject: Subject, protocol: Protocol, ports: Vec<u16>, upgrade: OnUpgrade) {
    let io = match upgrade.await {
        Ok(upgraded) => Idle::new(TokioIo::new(upgraded), idle::TIMEOUT),
        Err(error) => {
            tracing::debug!(%error, "a connection did not become a stream");
            return;
        }
    };
    match protocol {
        Protocol::WebSocket(name) if name == TUNNELLED => {
            let (inner, carry) = tunnel::open(io).await;
            tokio::join!(carry, streams(&subject, inner));
        }
        Protocol::WebSocket(name) => channels(&subject, io, Encoding::of(&name), &ports).await,
        Protocol::Spdy(_) => streams(&subject, io).await,
    }
}

/// One pair of channels for each port.
async fn channels<I>(subject: &Subject, io: I, encoding: Encoding, ports: &[u16])
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut channels = Channels::new(encoding);
    let mut connections = FuturesUnordered::new();
    for (number, port) in (0..).step_by(2).zip(ports) {
        let pair = Pair {
            port: *port,
            incoming: channels.incoming(number),
            data: channels.outgoing(number),
            error: channels.outgoing(number + 1),
            knows_objects: false,
        };
        connections.push(async move {
            let prefix = pair.port.to_le_bytes();
            pair.data.send(prefix.to_vec()).await;
            pair.error.send(prefix.to_vec()).await;
            forward(subject, pair).await;
        });
    }
    let work = async move { while connections.next().await.is_some() {} };
    tokio::join!(channels.serve(io), work);
}

/// A pair of streams for each connection, as long as the caller opens some.
async fn streams<I: AsyncRead + AsyncWrite>(subject: &Subject, io: I) {
    let (sender, mut opened) = mpsc::channel(8);
    let work = async move {
        let mut halves: HashMap<String, Opened> = HashMap::new();
        let mut connections = FuturesUnordered::new();
        loop {
            let stream = tokio::select! {
                stream = opened.recv() => stream,
                Some(()) = connections.next() => continue,
            };
            let Some(stream) = stream else { break };
            let request = request_id(&stream);
            match halves.remove(&request) {
                None => drop(halves.insert(request, stream)),
                Some(other) => match pair(other, stream) {
                    Ok(pair) => connections.push(forward(subject, pair)),
                    Err(why) => tracing::debug!(why, "a pair of streams was not understood"),
                },
            }
        }
        while connections.next().await.is_some() {}
    };
    tokio::join!(spdy::serve(io, sender), work);
}

/// What both streams of a connection have in common. Old clients number nothing: they open the error stream
/// first and the data stream right behind it, whose number is two more.
fn request_id(stream: &Opened) -> String {
    match (stream.header("requestID"), stream.header("streamType")) {
        ("", "data") => stream.id.saturating_sub(2).to_string(),
        ("", _) => stream.id.to_string(),
        (id, _) => id.to_owned(),
    }
}

fn pair(first: Opened, second: Opened) -> Result<Pair, &'static str> {
    let (data, error) = match (first.header("streamType"), second.header("streamType")) {
        ("error", "data") => (second, first),
        ("data", "error") => (first, second),
        _ => return Err("one stream has to be for data and one for errors"),
    };
    let port = data.header("port").parse().ok().filter(|port| *port > 0);
    let port = port.ok_or("the port is no number")?;
    Ok(Pair {
        port,
        incoming: data.incoming,
        data: data.outgoing,
        error: error.outgoing,
        knows_objects: true,
    })
}

/// Connects, and copies until the pod has said everything.
async fn forward(subject: &Subject, mut pair: Pair) {
    let Subject { context, pod, uid } = subject;
    match context.runtime.connect(uid, pair.port).await {
        Ok(stream) => {
            let (mut from_pod, mut to_pod) = stream.into_split();
            let upwards = async {
                while let Some(bytes) = pair.incoming.recv().await {
                    if to_pod.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
                let _ = to_pod.shutdown().await;
                std::future::pending::<()>().await;
            };
            let downwards = async {
                loop {
                    let mut chunk = BytesMut::with_capacity(CHUNK);
                    let read = from_pod.read_buf(&mut chunk).await;
                    if !matches!(read, Ok(1..)) || !pair.data.send(chunk.freeze()).await {
                        break;
                    }
                }
            };
            tokio::select! {
                () = upwards => {}
                () = downwards => {}
                () = pair.error.gone() => return,
            }
        }
        Err(error) => {
            let port = pair.port;
            let message = format!(
                "error forwarding port {port} to pod {pod}, uid {uid}: failed to connect to localhost:{port} inside the pod: {}",
                words(&error)
            );
            let said = if pair.knows_objects {
                // As with containerd: kubectl ends, and says why.
                format!("{}\n", json!({"closeConnection": true, "message": message}))
            } else {
                message
            };
            pair.error.send(said).await;
        }
    }
    pair.data.end().await;
    pair.error.end().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_query() {
        assert_eq!(ports("port=80,81&x=1&port=9").unwrap(), [80, 81, 9]);
        assert!(ports("").unwrap().is_empty());
        for wrong in ["port=", "port=0", "port=a", "port=80,", "port=70000"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }
}
