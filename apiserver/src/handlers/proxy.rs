//! `/proxy` of pods, Services and nodes: any request, passed on.
//!
//! `[scheme:]name[:port]` says where to; what follows `/proxy` and the query go along as they are. The API
//! server's credentials stay here, and so do the caller's. Source:
//! `k8s.io/apimachinery/pkg/util/proxy` and the `ResourceLocation` of the three resources. Links within
//! HTML are not rewritten, as they are by kube-apiserver; redirects are.

mod location;

use api::status::Status;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};

use super::relay::{Passed, answer, passed_on, wants_upgrade};
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::Request;
use crate::response::{Handled, text};

pub(super) use location::Kind;

/// Tells the other side how the caller sees it.
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Passes a request on.
pub(super) async fn forward(
    context: &Context,
    target: &Target,
    kind: Kind,
    request: &mut Request,
) -> Handled {
    let place = location::find(context, target, kind).await?;
    let path = request.parts.uri.path().to_owned();
    let (prefix, rest) = location::split(&path, kind);
    let upgrade = wants_upgrade(&request.parts.headers);
    let method = request.parts.method.clone();
    if rest.is_empty() && !upgrade && matches!(method, Method::GET | Method::HEAD) {
        return Ok(into_the_folder(&path, request.query()));
    }
    let query = request.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let slash = if rest.is_empty() { "/" } else { "" };
    let uri: Uri = format!("{}://{}{slash}{rest}{query}", place.scheme, place.host)
        .parse()
        .map_err(|_| Status::bad_request("the request makes no valid URL"))?;
    let relay = if place.is_kubelet { &context.kubelets } else { &context.pods };
    let (host, seen) = (place.host.clone(), path.clone());
    let passed = relay.pass(context, request, uri, |headers| tell(headers, &host, &seen));
    let response = match passed.await {
        Ok(Passed::Upgraded(answer)) => return Ok(answer),
        Ok(Passed::Answered(response)) => response,
        Err(reason) => {
            let message = format!(
                "error trying to reach service: dial tcp {}: connect: {}",
                place.host,
                go(&reason)
            );
            return Err(Status::service_unavailable(message));
        }
    };
    let (parts, body) = response.into_parts();
    let mut headers = passed_on(&parts.headers);
    if let Some(moved) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) {
        let moved = location::rewrite(moved, &place.host, prefix);
        if let Ok(moved) = HeaderValue::from_str(&moved) {
            headers.insert(header::LOCATION, moved);
        }
    }
    Ok(answer(context, &method, parts.status, headers, body))
}

/// Relative links of the page behind lead nowhere from a path that does not end with a slash.
fn into_the_folder(path: &str, query: &str) -> crate::response::Answer {
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    let mut answer = text(StatusCode::MOVED_PERMANENTLY, "");
    // It came as a path, so it fits into a header.
    if let Ok(there) = HeaderValue::from_str(&format!("{path}/{query}")) {
        answer.headers_mut().insert(header::LOCATION, there);
    }
    answer
}

fn tell(headers: &mut HeaderMap, host: &str, path: &str) {
    if let Some(asked) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, asked);
    } else if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
    if let Ok(path) = HeaderValue::from_str(path) {
        headers.insert(FORWARDED_URI, path);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
}

/// A system error as Go writes it: in small letters, without the number.
fn go(reason: &str) -> String {
    reason.split(" (os error").next().unwrap_or(reason).to_lowercase()
}
