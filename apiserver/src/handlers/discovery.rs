//! What there is: `/api` and `/apis`, in the old and the aggregated form.
//!
//! The documents are made from the table; they change only with it, so clients may ask whether
//! theirs is still good (`If-None-Match`) and kubectl does so on every command.

use api::discovery;
use std::sync::Arc;

use api::resources::Resource;
use api::status::Status;
use http::{HeaderValue, StatusCode, header};
use ring::digest;
use serde_json::Value;

use crate::context::Context;
use crate::request::Request;
use crate::request::negotiate;
use crate::response::{self, Answer, json_bytes};
use crate::server::body::Body;

/// Answers a discovery path; `None` for any other.
///
/// # Errors
/// 406 if neither JSON nor YAML is accepted.
pub(super) fn answer(
    context: &Context,
    request: &Request,
    path: &str,
) -> Result<Option<Answer>, Status> {
    let rows = context.custom.rows();
    let rows = rows.as_slice();
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let accept = request.header(header::ACCEPT);
    if let (Some(version), ["api" | "apis"]) = (negotiate::aggregated_discovery(accept), &*parts) {
        let mut document = discovery::aggregated(rows, parts == ["api"]);
        // The versions differ in nothing else.
        document["apiVersion"] = format!("apidiscovery.k8s.io/{version}").into();
        let media =
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        return Ok(Some(tagged(request, &document, &media)));
    }
    let document = match parts[..] {
        ["api"] => Some(discovery::core_versions(&host(request))),
        ["apis"] => Some(discovery::groups(rows)),
        ["apis", group] => discovery::group(rows, group),
        ["api", version] => discovery::resource_list(rows, "", version),
        ["apis", group, version] => discovery::resource_list(rows, group, version),
        [""] => Some(roots(rows)),
        _ => None,
    };
    let Some(document) = document else { return Ok(None) };
    let media = negotiate::accepted_document(accept)?.media;
    Ok(Some(response::in_media(tagged(request, &document, "application/json"), media)))
}

/// Answers with a document, or with 304 if the client has it.
fn tagged(request: &Request, document: &Value, content_type: &str) -> Answer {
    let bytes = serde_json::to_vec(document).expect("values always encode into memory");
    let digest = digest::digest(&digest::SHA256, &bytes);
    let mut tag = String::from("\"");
    for byte in digest.as_ref() {
        tag.push_str(&format!("{byte:02X}"));
    }
    tag.push('"');
    let known = request
        .header(header::IF_NONE_MATCH)
        .is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let mut answer = if known {
        let mut answer = response::json_body(StatusCode::NOT_MODIFIED, Body::empty());
        answer.headers_mut().remove(header::CONTENT_TYPE);
        answer
    } else {
        let mut answer = json_bytes(StatusCode::OK, bytes);
        if let Ok(value) = HeaderValue::from_str(content_type) {
            answer.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        answer
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    answer
}

/// The address under which the client has reached this server.
fn host(request: &Request) -> String {
    let authority = request.parts.uri.authority().map(ToString::to_string);
    authority
        .or_else(|| request.header(header::HOST).map(str::to_owned))
        .unwrap_or_else(|| "localhost".to_owned())
}

/// `GET /`: the paths that have something below them.
fn roots(rows: &[Arc<Resource>]) -> Value {
    let mut paths = vec![
        "/.well-known/openid-configuration".to_owned(),
        "/api".to_owned(),
        "/apis".to_owned(),
        "/metrics".to_owned(),
        "/openapi/v2".to_owned(),
        "/openapi/v3".to_owned(),
        "/openid/v1/jwks".to_owned(),
        "/version".to_owned(),
    ];
    paths.extend(super::health::paths());
    for row in rows {
        let path = if row.group.is_empty() {
            format!("/api/{}", row.version)
        } else {
            format!("/apis/{}/{}", row.group, row.version)
        };
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    serde_json::json!({"paths": paths})
}
