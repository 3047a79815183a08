//! The kubelet endpoint: what the API server asks the node for, over mutual TLS.
//!
//! What is served here (logs, specs of all pods) is more than an ordinary user may see: callers are the
//! API server itself and administrators, by a certificate of the cluster CA. Metrics are also for whoever
//! has the right to read them ([`access`]).
//!
//! | path | answer |
//! |---|---|
//! | `GET /containerLogs/{namespace}/{pod}/{container}` | the log, see [`logs`] |
//! | `/exec/{namespace}/{pod}/{container}`, `/attach/…` | an upgrade, see [`session`] |
//! | `/portForward/{namespace}/{pod}` | an upgrade, see [`port_forward`] |
//! | `GET /pods` | the pods of this node as a PodList |
//! | `GET /metrics/resource`, `/stats/summary` | what node, pods and containers use, see [`crate::stats`] |
//! | `GET /healthz` | `ok` |

mod access;
mod caller;
mod logs;
mod port_forward;
mod query;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::caller::Caller;
use crate::agent::Workers;
use crate::config::ServingTls;
use crate::context::Context;
use crate::error::Error;
use crate::stats;

/// How long a caller may take for its handshake and for its request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the kernel refused a connection (no descriptors left).
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// The text format of Prometheus.
const EXPOSITION: http::HeaderValue =
    http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Error of a response body in mid-stream.
type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// Every answer's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The endpoint, bound but not yet serving.
pub(crate) struct Server {
    listener: TcpListener,
    tls: watch::Receiver<ServingTls>,
    acceptor: TlsAcceptor,
    address: SocketAddr,
}

impl Server {
    /// Binds the address and reads the TLS material.
    pub(crate) async fn bind(
        address: SocketAddr,
        mut tls: watch::Receiver<ServingTls>,
    ) -> Result<Self, Error> {
        let acceptor = tls::acceptor(&tls.borrow_and_update())?;
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        tracing::info!(%address, "kubelet endpoint bound");
        Ok(Self { listener, tls, acceptor, address })
    }

    /// The port it really has.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Serves until shutdown.
    pub(crate) async fn run(mut self, context: Arc<Context>, workers: Workers) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = context.shutdown.cancelled() => return,
            };
            self.renew();
            match accepted {
                Ok((tcp, peer)) => {
                    let (acceptor, served, workers) =
                        (self.acceptor.clone(), Arc::clone(&context), Arc::clone(&workers));
                    let stop = context.shutdown.clone();
                    context.tracker.spawn(async move {
                        tokio::select! {
                            () = connection(tcp, peer, acceptor, served, workers) => {}
                            () = stop.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "kubelet endpoint could not accept");
                    tokio::time::sleep(AFTER_REFUSAL).await;
                }
            }
        }
    }
}

impl Server {
    /// Takes over a certificate that was renewed.
    fn renew(&mut self) {
        // Nobody renews it any more if the sender is gone.
        if !self.tls.has_changed().unwrap_or(false) {
            return;
        }
        match tls::acceptor(&self.tls.borrow_and_update()) {
            Ok(acceptor) => self.acceptor = acceptor,
            Err(error) => {
                tracing::error!(?error, "the new certificate cannot be used; the old one stays");
            }
        }
    }
}

async fn connection(
    tcp: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    context: Arc<Context>,
    workers: Workers,
) {
    let _ = tcp.set_nodelay(true);
    let stream = match tokio::time::timeout(PATIENCE, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, %peer, "TLS handshake refused");
            return;
        }
        Err(_) => return,
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
    let caller = Caller::of(certificate.as_ref());
    let service = service_fn(move |request| {
        let (context, workers) = (Arc::clone(&context), Arc::clone(&workers));
        let caller = caller.clone();
        async move {
            Ok::<_, Infallible>(match access::check(&caller, &request, &context).await {
                Ok(()) => answer(request, &context, &workers).await,
                Err(refusal) => *refusal,
            })
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "connection to the kubelet endpoint ended");
    }
}

async fn answer(
    mut request: Request<Incoming>,
    context: &Arc<Context>,
    workers: &Workers,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let upgrade = matches!(parts.first(), Some(&("exec" | "attach" | "portForward")));
    match *request.method() {
        Method::GET => {}
        Method::POST if upgrade => {}
        _ => return text(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here"),
    }
    match parts.as_slice() {
        ["exec", namespace, pod, container] => {
            let subject = (*namespace, *pod, *container);
            session::begin(session::Verb::Exec, context, workers, subject, &mut request)
        }
        ["attach", namespace, pod, container] => {
            let subject = (*namespace, *pod, *container);
            session::begin(session::Verb::Attach, context, workers, subject, &mut request)
        }
        ["portForward", namespace, pod] => {
            port_forward::begin(context, workers, (*namespace, *pod), &mut request)
        }
        ["healthz"] => text(StatusCode::OK, "ok"),
        ["pods"] => pods(workers),
        ["metrics", "resource"] => {
            let mut response =
                Response::new(full(stats::resource_metrics(&context.runtime).await.into()));
            response.headers_mut().insert(http::header::CONTENT_TYPE, EXPOSITION);
            response
        }
        ["stats", "summary"] => {
            let node = &context.config.node_name;
            json(&context.summaries.answer(node, &context.runtime).await)
        }
        ["containerLogs", namespace, pod, container] => {
            let query = request.uri().query().unwrap_or_default();
            logs::get(context, workers, namespace, pod, container, query).await
        }
        _ => text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

fn pods(workers: &Workers) -> Response<Body> {
    let items: Vec<Pod> = workers
        .lock()
        .values()
        .map(|handle| handle.desired.borrow().pod.as_ref().clone())
        .collect();
    json(&List { items, ..List::default() })
}

fn json(value: &impl serde::Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(full(bytes.into()));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A short answer in plain text.
fn text(status: StatusCode, message: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(full(message.into().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
