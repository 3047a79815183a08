//! httpGet: one request, followed through redirects that stay on the host.
//!
//! Also serves lifecycle hooks, which ask the same way and read the answer less strictly.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use tokio::net::TcpStream;

use super::{Answer, join, port, tls, words};

/// Redirects followed at most, as Go's client does.
const MOST_REDIRECTS: usize = 10;
/// Bytes of the answer that are read, so that the server is not reset in mid-write.
const LONGEST_BODY: usize = 10 * 1024;
/// How a probe introduces itself.
const USER_AGENT: &str = "kube-probe/1.36";

/// A request to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    https: bool,
    host: String,
    port: u16,
    /// Path and query.
    target: String,
    headers: Vec<(String, String)>,
}

/// Why there is no answer.
#[derive(Debug)]
enum Failed {
    Connect(std::io::Error),
    Tls(std::io::Error),
    Protocol(String),
}

impl Request {
    /// Reads an action; the host defaults to the pod's address.
    pub(crate) fn of(
        action: &HTTPGetAction,
        container: &Container,
        pod_ip: IpAddr,
    ) -> Result<Self, String> {
        let path = action.path.clone().unwrap_or_default();
        let target = if path.starts_with('/') { path } else { format!("/{path}") };
        Ok(Self {
            https: action
                .scheme
                .as_deref()
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: action
                .host
                .clone()
                .filter(|host| !host.is_empty())
                .unwrap_or_else(|| pod_ip.to_string()),
            port: port(&action.port, container)?,
            target,
            headers: action
                .http_headers
                .iter()
                .flatten()
                .map(|header| (header.name.clone(), header.value.clone()))
                .collect(),
        })
    }

    /// The request's URL, as messages show it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", join(&self.host, self.port), self.target)
    }
}

/// Probes: any answer from 200 to 399 is a success.
pub(crate) async fn probe(request: &Request, timeout: Duration) -> Answer {
    match tokio::time::timeout(timeout, follow(request)).await {
        Ok(Ok(status)) if (200..400).contains(&status.as_u16()) => Answer::Success,
        Ok(Ok(status)) => {
            Answer::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
        }
        Ok(Err(failed)) => {
            Answer::Failure(format!("Get {:?}: {}", request.url(), failed.text(request)))
        }
        Err(_) => Answer::Failure(format!(
            "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            request.url()
        )),
    }
}

impl Failed {
    fn text(&self, request: &Request) -> String {
        let address = join(&request.host, request.port);
        match self {
            Self::Connect(error) => format!("dial tcp {address}: connect: {}", words(error)),
            Self::Tls(error) => format!("tls: {}", words(error)),
            Self::Protocol(text) => text.clone(),
        }
    }
}

async fn follow(request: &Request) -> Result<StatusCode, Failed> {
    let mut next = request.clone();
    for _ in 0..MOST_REDIRECTS {
        let (status, location) = once(&next).await?;
        match location
            .filter(|_| status.is_redirection())
            .and_then(|location| redirect(&next, &location))
        {
            Some(there) => next = there,
            // Elsewhere, or nowhere: the redirect itself is the answer.
            None => return Ok(status),
        }
    }
    Err(Failed::Protocol(format!("stopped after {MOST_REDIRECTS} redirects")))
}

/// The request that a redirect asks for, if it stays on the same host.
fn redirect(from: &Request, location: &str) -> Option<Request> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(Request { target: location.to_owned(), ..from.clone() });
    }
    let uri: http::Uri = location.parse().ok()?;
    if uri.host()?.trim_matches(['[', ']']) != from.host {
        return None;
    }
    let https = uri.scheme_str() == Some("https");
    Some(Request {
        https,
        port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
        target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        ..from.clone()
    })
}

async fn once(request: &Request) -> Result<(StatusCode, Option<String>), Failed> {
    let tcp =
        TcpStream::connect((request.host.as_str(), request.port)).await.map_err(Failed::Connect)?;
    let _ = tcp.set_nodelay(true);
    let built = build(request).map_err(|error| Failed::Protocol(error.to_string()))?;
    if request.https {
        let stream = tls::connect(&request.host, tcp).await.map_err(Failed::Tls)?;
        send(TokioIo::new(stream), built).await
    } else {
        send(TokioIo::new(tcp), built).await
    }
}

fn build(request: &Request) -> Result<http::Request<Empty<Bytes>>, http::Error> {
    let mut built = http::Request::get(&request.target).body(Empty::new())?;
    let headers = built.headers_mut();
    for (name, value) in &request.headers {
        headers
            .append(HeaderName::try_from(name.as_str())?, HeaderValue::try_from(value.as_str())?);
    }
    let mut default = |name: HeaderName, value: String| -> Result<(), http::Error> {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::try_from(value)?);
        }
        Ok(())
    };
    default(http::header::HOST, join(&request.host, request.port))?;
    default(http::header::USER_AGENT, USER_AGENT.to_owned())?;
    default(http::header::ACCEPT, "*/*".to_owned())?;
    default(http::header::CONNECTION, "close".to_owned())?;
    Ok(built)
}

async fn send<T>(
    io: TokioIo<T>,
    request: http::Request<Empty<Bytes>>,
) -> Result<(StatusCode, Option<String>), Failed>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| {
        Failed::Protocol(if error.is_incomplete_message() {
            "EOF".to_owned()
        } else {
            error.to_string()
        })
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(failed)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let location = response
            .headers()
            .get(http::header::LOCATION)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let status = response.status();
        drain(response.into_body()).await;
        Ok((status, location))
    };
    tokio::pin!(exchange);
    // The connection is driven here, beside the request: it lives no longer than the probe.
    tokio::select! {
        biased;
        done = &mut exchange => done,
        _ = connection => exchange.await,
    }
}

async fn drain(mut body: Incoming) {
    let mut read = 0;
    while read < LONGEST_BODY {
        match body.frame().await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}
