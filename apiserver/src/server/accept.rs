//! From sockets to requests: accept, TLS, HTTP/1.1 or HTTP/2, and who is at the other end.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::dispatch::dispatch;
use crate::pki;
use crate::request::{BoxError, Request};
use crate::user::User;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// How long an HTTP/1.1 connection may be without a whole request head; also its idle time.
const HEAD: Duration = Duration::from_secs(120);
/// Streams on one HTTP/2 connection: a component may hold a watch per resource and namespace.
/// kube-apiserver allows 250; in-cluster proxies that share one connection need more.
const MAX_STREAMS: u32 = 4096;
/// Flow-control windows: large enough that a list does not wait for a round trip per 64 KiB.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Finds connections whose peer has vanished without a word.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Accepts connections and answers them in tasks.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) context: Arc<Context>,
    pub(super) tls: TlsAcceptor,
    pub(super) tracker: TaskTracker,
    /// Cancelled when draining has taken too long.
    pub(super) cut: CancellationToken,
}

impl Acceptor {
    /// Accepts until `shutdown`.
    pub(super) async fn run(&self, listener: TcpListener, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let acceptor = self.clone();
                    self.tracker.spawn(async move {
                        let cut = acceptor.cut.clone();
                        tokio::select! {
                            () = cut.cancelled() => {}
                            () = acceptor.serve(stream) => {}
                        }
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

    async fn serve(self, stream: TcpStream) {
        // Watch events are small and must not wait for more to come.
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(HANDSHAKE, self.tls.accept(stream));
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
        let context = self.context.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let context = context.clone();
            let (parts, body) = request.into_parts();
            let body = body.map_err(BoxError::from).boxed_unsync();
            let request = Request::new(parts, body, user.clone());
            async move { Ok::<_, std::convert::Infallible>(dispatch(context, request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.context.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}
