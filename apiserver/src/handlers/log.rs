//! GET of a pod's `/log`: relayed from the kubelet endpoint of the node the pod runs on.
//!
//! The node says where it is (`InternalIP`, `daemonEndpoints.kubeletEndpoint.Port`); the API server
//! proves itself with its client certificate and trusts the cluster CA. The body is passed on as it
//! comes, for as long as both ends like.

use std::time::Duration;

use api::status::Status;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::fresh;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::{BoxError, Request};
use crate::response::{Handled, text};
use crate::server::body::Body;

/// How long a node may take to begin answering.
const PATIENCE: Duration = Duration::from_secs(30);

/// The parameters that a kubelet understands.
const PARAMETERS: &[&str] = &[
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
];

/// Those of them that are numbers.
const NUMBERS: &[&str] = &["sinceSeconds", "tailLines", "limitBytes"];

/// Calls kubelet endpoints.
pub(crate) struct KubeletClient(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl KubeletClient {
    /// A client with the API server's own certificate.
    pub(crate) fn new(tls: rustls::ClientConfig) -> KubeletClient {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        connector.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(connector);
        KubeletClient(Client::builder(TokioExecutor::new()).build(connector))
    }
}

/// Relays the log of a container.
pub(super) async fn get(context: &Context, target: &Target, _: &Request) -> Handled {
    for parameter in NUMBERS {
        target.query.number(parameter)?;
    }
    let pod = fresh(context, target).await?.encoded().parse();
    let container = container(target, &pod)?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        // Not scheduled: there is nothing to show, which is no error.
        return Ok(text(StatusCode::NO_CONTENT, Bytes::new()));
    }
    let uri = kubelet_uri(context, target, node, &container)?;
    relay(context, node, uri).await
}

/// The container whose log is wanted: the named one, or the only one.
fn container(target: &Target, pod: &Value) -> Result<String, Status> {
    let names = |field: &str| {
        let list = pod["spec"][field].as_array().into_iter().flatten();
        list.filter_map(|container| container["name"].as_str()).collect::<Vec<_>>()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let wanted = target.query.get("container");
    let name = &target.name;
    if !wanted.is_empty() {
        let all = [&main[..], &init[..], &names("ephemeralContainers")[..]].concat();
        if all.contains(&wanted) {
            return Ok(wanted.to_owned());
        }
        return Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}")));
    }
    if let [only] = main[..] {
        return Ok(only.to_owned());
    }
    let choices = main.join(" ");
    let init = if init.is_empty() {
        String::new()
    } else {
        format!(" or one of the init containers: [{}]", init.join(" "))
    };
    Err(Status::bad_request(format!(
        "a container name must be specified for pod {name}, choose one of: [{choices}]{init}"
    )))
}

fn kubelet_uri(
    context: &Context,
    target: &Target,
    node: &str,
    container: &str,
) -> Result<Uri, Status> {
    let gone = || Status::internal_error(format!("node {node} is not registered"));
    let object = context.core("nodes").get(node).ok_or_else(gone)?.encoded().parse();
    let address = object["status"]["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|address| address["type"] == "InternalIP")
        .and_then(|address| address["address"].as_str());
    let port = object["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let (Some(address), Some(port)) = (address, port.filter(|port| *port > 0)) else {
        let message = format!("node {node} does not say where its kubelet endpoint is");
        return Err(Status::internal_error(message));
    };
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let mut uri = format!(
        "https://{host}:{port}/containerLogs/{}/{}/{container}",
        target.namespace, target.name
    );
    let mut separator = '?';
    for parameter in PARAMETERS {
        let value = target.query.get(parameter);
        if !value.is_empty() {
            uri.push(separator);
            uri.push_str(parameter);
            uri.push('=');
            escape(&mut uri, value);
            separator = '&';
        }
    }
    uri.parse().map_err(|_| Status::bad_request("the log request makes no valid URL"))
}

/// Percent-encodes a query value.
fn escape(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

async fn relay(context: &Context, node: &str, uri: Uri) -> Handled {
    let shown = uri.to_string();
    let response = tokio::time::timeout(PATIENCE, context.kubelets.0.get(uri)).await;
    let failed = |reason: String| {
        tracing::warn!(node, uri = shown, reason, "cannot reach the kubelet endpoint");
        Status::internal_error(format!("Get \"{shown}\": {reason}"))
    };
    let response = match response {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            return Err(failed(source.unwrap_or_else(|| error.to_string())));
        }
        Err(_) => return Err(failed(format!("no answer within {PATIENCE:?}"))),
    };
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        let limited = http_body_util::Limited::new(body, 64 * 1024);
        let body = limited.collect().await.map(http_body_util::Collected::to_bytes);
        let message = String::from_utf8_lossy(&body.unwrap_or_default()).trim().to_owned();
        return Err(match parts.status {
            StatusCode::BAD_REQUEST => Status::bad_request(message),
            _ => Status::internal_error(message),
        });
    }
    let stopping = context.stopping.clone().cancelled_owned();
    let body = UntilStopped { body, stopping: Box::pin(stopping) };
    let mut answer = http::Response::new(Body::relay(body.map_err(BoxError::from).boxed_unsync()));
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("text/plain"));
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}

/// A followed log ends when the server stops.
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
