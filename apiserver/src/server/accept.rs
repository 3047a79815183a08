//! From sockets to requests: accept, TLS, HTTP/1.1 or HTTP/2, and who is at the other end.
//!
//! A connection's life: *handshake* (TLS, under a deadline), *silent* (no whole request yet, under
//! another), *asked* (HTTP/1.1 heads have a deadline each, HTTP/2 peers are pinged), *ending* (the
//! server stops: requests are finished, a silent connection is not waited for).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::Limits;
use crate::context::Context;
use crate::dispatch::dispatch;
use crate::pki;
use crate::request::{BoxError, Request};
use crate::user::User;

/// Streams on one HTTP/2 connection: a component may hold a watch per resource and namespace.
/// kube-apiserver allows 250; in-cluster proxies that share one connection need more.
const MAX_STREAMS: u32 = 4096;
/// Flow-control windows: large enough that a list does not wait for a round trip per 64 KiB.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The head of a request at most, in bytes: Go's default. (A URL is bounded by 64 KiB all the same,
/// for the `http` crate knows no longer ones; hyper answers 414 by itself.)
const MAX_HEAD: u32 = 1024 * 1024;
/// Finds connections whose peer has vanished without a word.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How often to say that there are too many connections.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// How long a connection without a request may go on when the server stops: its first request may
/// be on the way.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Accepts connections and answers them in tasks.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) context: Arc<Context>,
    pub(super) tls: TlsAcceptor,
    pub(super) limits: Limits,
    pub(super) tracker: TaskTracker,
    /// Cancelled when draining has taken too long.
    pub(super) cut: CancellationToken,
}

impl Acceptor {
    /// Accepts until `shutdown`.
    pub(super) async fn run(&self, listener: TcpListener, shutdown: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut said: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Ok(slot) = slots.clone().try_acquire_owned() else {
                        drop(stream);
                        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                            said = Some(Instant::now());
                            let limit = self.limits.connections;
                            tracing::warn!(limit, %peer, "too many connections; closing new ones");
                        }
                        continue;
                    };
                    let acceptor = self.clone();
                    self.tracker.spawn(async move {
                        let cut = acceptor.cut.clone();
                        tokio::select! {
                            () = cut.cancelled() => {}
                            () = acceptor.serve(stream, peer) => {}
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of descriptors, usually: answering the open ones will free some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        // Watch events are small and must not wait for more to come.
        let _ = stream.set_nodelay(true);
        let handshake = timeout(self.limits.handshake, self.tls.accept(stream));
        let stream = tokio::select! {
            () = self.context.stopping.cancelled() => return,
            handshake = handshake => match handshake {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => return tracing::debug!("TLS handshake timed out"),
            },
        };
        let user = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(pki::user_of)
            .unwrap_or_else(User::anonymous);
        let asked = CancellationToken::new();
        let (context, ask) = (self.context.clone(), asked.clone());
        let service = service_fn(move |request: http::Request<Incoming>| {
            ask.cancel();
            let context = context.clone();
            let (parts, body) = request.into_parts();
            let body = body.map_err(BoxError::from).boxed_unsync();
            let mut request = Request::new(parts, body, user.clone());
            request.peer = Some(peer.ip());
            async move { Ok::<_, std::convert::Infallible>(dispatch(context, request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(MAX_HEAD as usize);
        builder
            .http2()
            .max_header_list_size(MAX_HEAD)
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            // The connection first: a request that has arrived counts, however late it is looked at.
            biased;
            ended = connection.as_mut() => ended,
            () = stays_silent(&asked, self.limits.first_request) => {
                return tracing::debug!("no request in time");
            }
            () = self.context.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    ended = connection.as_mut() => ended,
                    () = stays_silent(&asked, LAST_CALL) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// Ends when `patience` is over and nothing has been asked; never if something has.
async fn stays_silent(asked: &CancellationToken, patience: Duration) {
    if timeout(patience, asked.cancelled()).await.is_ok() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_silent_until_it_asks() {
        let asked = CancellationToken::new();
        let silent = stays_silent(&asked, Duration::from_secs(32));
        let mut silent = std::pin::pin!(silent);
        assert!(silent.as_mut().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(silent.as_mut().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(silent.as_mut().now_or_never().is_some());
        asked.cancel();
        let silent = stays_silent(&asked, Duration::ZERO);
        assert!(timeout(Duration::from_secs(600), silent).await.is_err());
    }
}
