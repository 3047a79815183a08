//! `/exec`, `/attach` and `/portforward` of a pod: spliced with the kubelet endpoint of its node.
//!
//! What is spoken on the connection is between the client and the node; here the request is understood,
//! permitted and led to the right place. Source: `pkg/registry/core/pod/rest/subresources.go`.

use api::status::Status;
use http::{Method, StatusCode, Uri, header};
use serde_json::Value;

use super::relay::{self, Passed, wants_upgrade};
use super::{fresh, kubelet};
use crate::authz::{Attributes, authorize};
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::Request;
use crate::request::options::values;
use crate::response::{self, Handled};

/// A flag of the request and the kubelet's name for it.
const STREAMS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// Connects the caller with a container, or with ports of the pod.
pub(super) async fn connect(
    context: &Context,
    target: &Target,
    subresource: &str,
    request: &mut Request,
) -> Handled {
    may_create(context, target, subresource, request)?;
    let pod = fresh(context, target).await?.encoded().parse();
    let path = match subresource {
        "portforward" => {
            format!("portForward/{}/{}{}", target.namespace, target.name, ports(request)?)
        }
        verb => {
            let container = container(target, &pod)?;
            let streams = streams(target, request, verb == "exec");
            format!("{verb}/{}/{}/{container}{streams}", target.namespace, target.name)
        }
    };
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        let message = format!("pod {} does not have a host assigned", target.name);
        return Err(Status::bad_request(message));
    }
    if !wants_upgrade(&request.parts.headers) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let (address, port) = kubelet::endpoint(context, node)?;
    let uri: Uri = format!("https://{}/{path}", kubelet::join(&address, port))
        .parse()
        .map_err(|_| Status::bad_request("the request makes no valid URL"))?;
    let passed = context.kubelets.pass(context, request, uri, |headers| {
        // It would be taken for the way to a kubelet of that name.
        headers.remove(header::HOST);
    });
    match passed.await {
        Ok(Passed::Upgraded(answer)) => Ok(answer),
        Ok(Passed::Answered(response)) => refused(response).await,
        Err(reason) => {
            tracing::warn!(node, reason, "cannot reach the kubelet endpoint");
            Err(Status::unclassified(format!("error dialing backend: {reason}")))
        }
    }
}

/// The node's refusal in its own words, which clients show.
///
/// kubectl first tries to read them as a Status, in YAML, too: a text with a colon in it is a map to
/// YAML, and of that nothing would be shown. So it becomes a Status here.
async fn refused(response: http::Response<hyper::body::Incoming>) -> Handled {
    let status = response.status();
    if status < StatusCode::BAD_REQUEST {
        let message = format!("invalid upgrade response: status code {}", status.as_u16());
        return Err(Status::unclassified(message));
    }
    let words = relay::words(response).await;
    if words.contains(": ") {
        return Err(relay::as_status(status, words));
    }
    Ok(response::text(status, words))
}

/// WebSockets begin with a GET, but to be permitted to look is not enough for what follows.
fn may_create(
    context: &Context,
    target: &Target,
    subresource: &str,
    request: &Request,
) -> Result<(), Status> {
    if request.parts.method == Method::POST {
        return Ok(());
    }
    let attributes = Attributes::Resource {
        verb: "create",
        group: "",
        resource: &format!("pods/{subresource}"),
        namespace: &target.namespace,
        name: &target.name,
    };
    authorize(context, &request.user, &attributes)
}

/// The named container, or the only one.
fn container(target: &Target, pod: &Value) -> Result<String, Status> {
    let (wanted, name) = (target.query.get("container"), &target.name);
    let kinds = ["initContainers", "containers", "ephemeralContainers"];
    let all: Vec<&str> = kinds.iter().flat_map(|field| kubelet::names(pod, field)).collect();
    if !wanted.is_empty() {
        if all.contains(&wanted) {
            return Ok(wanted.to_owned());
        }
        return Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}")));
    }
    match kubelet::names(pod, "containers")[..] {
        [only] => Ok(only.to_owned()),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

/// The streams and the command, in the kubelet's words.
fn streams(target: &Target, request: &Request, has_command: bool) -> String {
    let mut query = String::new();
    for (name, theirs) in STREAMS {
        if target.query.flag(name) == Some(true) {
            parameter(&mut query, theirs, "1");
        }
    }
    if has_command {
        for word in values(request.query(), "command") {
            parameter(&mut query, "command", &word);
        }
    }
    query
}

/// The ports of WebSocket channels; SPDY streams bring their own.
fn ports(request: &Request) -> Result<String, Status> {
    let ports = values(request.query(), "ports");
    if let Some(wrong) =
        ports.iter().flat_map(|ports| ports.split(',')).find(|port| port.parse::<i32>().is_err())
    {
        return Err(Status::bad_request(format!("invalid port {wrong:?}")));
    }
    let mut query = String::new();
    if !ports.is_empty() {
        parameter(&mut query, "port", &ports.join(","));
    }
    Ok(query)
}

fn parameter(query: &mut String, name: &str, value: &str) {
    query.push(if query.is_empty() { '?' } else { '&' });
    query.push_str(name);
    query.push('=');
    kubelet::escape(query, value);
}
