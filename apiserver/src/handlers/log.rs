//! GET of a pod's `/log`: relayed from the kubelet endpoint of the node the pod runs on.
//!
//! The node says where it is (`InternalIP`, `daemonEndpoints.kubeletEndpoint.Port`); the API server
//! proves itself with its client certificate and trusts the cluster CA. The body is passed on as it
//! comes, for as long as both ends like.

mod options;

use std::time::Duration;

use api::status::{Details, Status};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::Value;

use super::{fresh, kubelet, relay};
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::{Request, negotiate, payload};
use crate::response::{Handled, text};

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

/// Relays the log of a container.
pub(super) async fn get(context: &Context, target: &Target, request: &Request) -> Handled {
    negotiate::check_log(request.header(header::ACCEPT))?;
    options::check(&target.query, &target.name)?;
    let pod = fresh(context, target).await?.encoded().parse();
    let container = container(target, &pod)?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        // Not scheduled: there is nothing to show, which is no error.
        return Ok(text(StatusCode::NO_CONTENT, Bytes::new()));
    }
    let uri = kubelet_uri(context, target, node, &container)?;
    relay(context, target, node, uri).await
}

/// The container whose log is wanted: the named one, or the only one.
fn container(target: &Target, pod: &Value) -> Result<String, Status> {
    let names = |field: &str| kubelet::names(pod, field);
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
    let (address, port) = kubelet::endpoint(context, node)?;
    let mut uri = format!(
        "https://{}/containerLogs/{}/{}/{container}",
        kubelet::join(&address, port),
        target.namespace,
        target.name
    );
    let mut separator = '?';
    for parameter in PARAMETERS {
        let value = target.query.get(parameter);
        if !value.is_empty() {
            uri.push(separator);
            uri.push_str(parameter);
            uri.push('=');
            kubelet::escape(&mut uri, value);
            separator = '&';
        }
    }
    uri.parse().map_err(|_| Status::bad_request("the log request makes no valid URL"))
}

async fn relay(context: &Context, target: &Target, node: &str, uri: Uri) -> Handled {
    let shown = uri.to_string();
    let mut request = http::Request::new(payload::empty());
    *request.uri_mut() = uri;
    let response = context.kubelets.send(request, Some(PATIENCE)).await.map_err(|reason| {
        tracing::warn!(node, uri = shown, reason, "cannot reach the kubelet endpoint");
        Status::internal_error(format!("Get \"{shown}\": {reason}"))
    })?;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(not_there(&target.name));
    }
    if !response.status().is_success() {
        return Err(relay::refusal(response).await);
    }
    let (parts, body) = response.into_parts();
    let mut headers = HeaderMap::new();
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("text/plain"));
    headers.insert(header::CONTENT_TYPE, kind);
    Ok(relay::answer(context, &Method::GET, StatusCode::OK, headers, body))
}

/// For a pod that its node does not know, not yet or no more. The gap in the message is where Kubernetes
/// has no verb.
fn not_there(name: &str) -> Status {
    let details =
        Details { name: name.to_owned(), kind: "pods/log".to_owned(), ..Details::default() };
    Status {
        message: format!("the server could not find the requested resource ( pods/log {name})"),
        details: Some(Box::new(details)),
        ..Status::path_not_found()
    }
}
