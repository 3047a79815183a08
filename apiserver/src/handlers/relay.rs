//! Requests that somebody else answers: a node's kubelet endpoint, a pod, what is behind a Service.
//!
//! Head and body are passed on as they come, in both directions, and for as long as both ends like. A
//! request that asks for another protocol (`Connection: Upgrade`) becomes, if the other side agrees, a
//! connection whose bytes are copied without a look at them ([`splice`]).

use std::net::IpAddr;
use std::time::Duration;

use api::status::Status;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::request::{BoxError, Incoming, Request};
use crate::response::Answer;
use crate::server::body::Body;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a caller may take to hang up after the other side has.
const FAREWELL: Duration = Duration::from_secs(10);

/// Longest text of a refusal that is read.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// What concerns one connection only and is not passed on (RFC 9110, 7.6.1), and what is for this server.
const KEPT: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::AUTHORIZATION,
];

/// Who asks, and through whom.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whom the impersonation headers begin with; they are for this server too.
const IMPERSONATE: &str = "impersonate-";

/// Sends requests on.
pub(crate) struct Relay(Client<HttpsConnector<HttpConnector>, Incoming>);

impl Relay {
    /// To kubelet endpoints, with the API server's own certificate.
    pub(crate) fn to_kubelets(tls: rustls::ClientConfig) -> Relay {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(connector());
        Relay(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// To pods, with whatever certificate they have. No connection is kept: pods come and go.
    pub(crate) fn to_pods(tls: rustls::ClientConfig) -> Relay {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector());
        let mut builder = Client::builder(TokioExecutor::new());
        Relay(builder.pool_max_idle_per_host(0).build(connector))
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// In a few words, why there is none.
    pub(super) async fn send(
        &self,
        request: http::Request<Incoming>,
        patience: Option<Duration>,
    ) -> Result<http::Response<hyper::body::Incoming>, String> {
        let asked = self.0.request(request);
        let answered = match patience {
            Some(patience) => tokio::time::timeout(patience, asked).await,
            None => Ok(asked.await),
        };
        match answered {
            Ok(answered) => answered.map_err(|error| deepest(&error)),
            Err(_) => Err(format!("no answer within {patience:?}")),
        }
    }

    /// Sends a caller's request to `uri`, and gives the answer's head with its body still to come; an agreed
    /// upgrade is [`Passed::Upgraded`] and needs nothing more. `change` has the last word on the headers.
    pub(super) async fn pass(
        &self,
        context: &Context,
        request: &mut Request,
        uri: Uri,
        change: impl FnOnce(&mut HeaderMap),
    ) -> Result<Passed, String> {
        let wants = wants_upgrade(&request.parts.headers);
        let client = if wants { request.parts.extensions.remove::<OnUpgrade>() } else { None };
        let body = if wants { crate::request::payload::empty() } else { request.take_body() };
        let mut onward = http::Request::new(body);
        *onward.method_mut() = request.parts.method.clone();
        *onward.uri_mut() = uri;
        *onward.headers_mut() = onward_headers(&request.parts.headers, client.is_some());
        if let Some(host) = host(request) {
            onward.headers_mut().insert(header::HOST, host);
        }
        if let Some(peer) = request.peer {
            forwarded_for(onward.headers_mut(), peer);
        }
        change(onward.headers_mut());
        let mut response = self.send(onward, None).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Passed::Answered(response));
        }
        let Some(client) = client else {
            return Err("it upgraded a connection that cannot be".to_owned());
        };
        let server = hyper::upgrade::on(&mut response);
        let stopping = context.stopping.clone();
        context.tracker.spawn(splice(client, server, stopping));
        let mut answer = http::Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(Passed::Upgraded(answer))
    }
}

/// What became of a request.
pub(super) enum Passed {
    /// The connection is something else now; this is the answer that says so.
    Upgraded(Answer),
    /// An ordinary answer.
    Answered(http::Response<hyper::body::Incoming>),
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    connector
}

/// Whether a request asks for another protocol.
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).into_iter();
    let mut tokens = values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    tokens.any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// What is passed on of a request's headers.
fn onward_headers(from: &HeaderMap, upgrade: bool) -> HeaderMap {
    let mut headers = passed_on(from);
    headers.remove(header::HOST);
    if upgrade {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        for protocol in from.get_all(header::UPGRADE) {
            headers.append(header::UPGRADE, protocol.clone());
        }
    }
    headers
}

/// Headers without those that concern one connection only.
pub(super) fn passed_on(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        if !KEPT.contains(name) && !name.as_str().starts_with(IMPERSONATE) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Adds the caller's address to those that it says it asks for itself.
fn forwarded_for(headers: &mut HeaderMap, peer: IpAddr) {
    let earlier =
        headers.get_all(FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok());
    let mut all: Vec<String> = earlier.map(str::to_owned).collect();
    all.push(peer.to_string());
    // Addresses and what came in a header fit into one.
    if let Ok(all) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(FORWARDED_FOR, all);
    }
}

/// Whom the caller means to talk with.
fn host(request: &Request) -> Option<HeaderValue> {
    let named = request.parts.uri.authority().map(|authority| authority.as_str());
    let named = named.and_then(|authority| HeaderValue::from_str(authority).ok());
    named.or_else(|| request.parts.headers.get(header::HOST).cloned())
}

/// An answer with the body that still comes.
pub(super) fn answer(
    context: &Context,
    method: &Method,
    status: StatusCode,
    headers: HeaderMap,
    body: hyper::body::Incoming,
) -> Answer {
    let stopping = context.stopping.clone().cancelled_owned();
    let body = UntilStopped { body, stopping: Box::pin(stopping) };
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::relay(body.map_err(BoxError::from).boxed_unsync()),
    };
    let mut answer = http::Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// What a kubelet endpoint's refusal says, as a Status: it answers in plain text.
pub(super) async fn refusal(response: http::Response<hyper::body::Incoming>) -> Status {
    let status = response.status();
    as_status(status, words(response).await)
}

/// The text of a kubelet endpoint's refusal.
pub(super) async fn words(response: http::Response<hyper::body::Incoming>) -> String {
    let body = http_body_util::Limited::new(response.into_body(), LONGEST_REFUSAL).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    String::from_utf8_lossy(&body).trim().to_owned()
}

/// A kubelet endpoint's refusal as a Status.
pub(super) fn as_status(status: StatusCode, message: String) -> Status {
    match status {
        StatusCode::BAD_REQUEST => Status::bad_request(message),
        _ => Status::internal_error(message),
    }
}

/// The innermost cause of an error.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Copies bytes between two upgraded connections until either is gone.
async fn splice(client: OnUpgrade, server: OnUpgrade, stopping: CancellationToken) {
    let copy = async {
        let (client, server) = match tokio::try_join!(client, server) {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "a connection was not upgraded"),
        };
        let (mut from_client, mut to_client) = tokio::io::split(TokioIo::new(client));
        let (mut from_server, mut to_server) = tokio::io::split(TokioIo::new(server));
        let mut upwards = Box::pin(async move {
            // An end of either kind is passed on as an end.
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_server).await;
        });
        let mut downwards = Box::pin(async move {
            let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_client).await;
        });
        tokio::select! {
            // Closing a connection on which something still arrives would cost its other end the last
            // words.
            () = &mut downwards => drop(tokio::time::timeout(FAREWELL, upwards).await),
            () = &mut upwards => downwards.await,
        }
    };
    tokio::select! {
        () = copy => {}
        () = stopping.cancelled() => {}
    }
}

/// What is still sent ends when the server stops.
struct UntilStopped {
    body: hyper::body::Incoming,
    stopping: std::pin::Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
}

impl http_body::Body for UntilStopped {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        use std::future::Future as _;
        if self.stopping.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(None);
        }
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_this_connection_or_server_is_not_passed_on() {
        let mut from = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("authorization", "Bearer secret"),
            ("impersonate-user", "alice"),
            ("host", "here"),
            ("content-length", "0"),
            ("sec-websocket-key", "k"),
            ("accept", "a"),
            ("accept", "b"),
        ] {
            from.append(name, HeaderValue::from_static(value));
        }
        assert!(wants_upgrade(&from));
        let names = |headers: &HeaderMap| {
            let mut names: Vec<_> = headers.iter().map(|(name, _)| name.to_string()).collect();
            names.sort_unstable();
            names
        };
        let upgraded = onward_headers(&from, true);
        let want = ["accept", "accept", "connection", "sec-websocket-key", "upgrade"];
        assert_eq!(names(&upgraded), want);
        let plain = onward_headers(&from, false);
        assert_eq!(names(&plain), ["accept", "accept", "content-length", "sec-websocket-key"]);
        assert!(!wants_upgrade(&plain));
    }

    #[test]
    fn the_caller_is_named() {
        let mut headers = HeaderMap::new();
        forwarded_for(&mut headers, [192, 0, 2, 1].into());
        assert_eq!(headers[FORWARDED_FOR], "192.0.2.1");
        headers.append(FORWARDED_FOR, HeaderValue::from_static("10.0.0.1"));
        forwarded_for(&mut headers, "fd00::1".parse().unwrap());
        let all: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        assert_eq!(all, ["192.0.2.1, 10.0.0.1, fd00::1"]);
    }
}
