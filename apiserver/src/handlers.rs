//! One file per verb, one per subresource; and the paths that are no resource.

use api::status::Status;
use http::Method;

use crate::context::Context;
use crate::dispatch::{Target, page_not_found};
use crate::request::Request;
use crate::response::Handled;
use crate::telemetry;
use crate::writing::Part;

mod access_review;
mod apply;
mod binding;
mod component_statuses;
mod create;
mod delete;
mod delete_collection;
mod discovery;
mod eviction;
mod finalize;
pub(crate) use get::fresh;
mod get;
pub(crate) mod health;
mod kubelet;
mod list;
mod log;
pub(crate) mod metrics;
pub(crate) mod openapi;
mod openid;
mod page_token;
mod patch;
mod proxy;
pub(crate) mod relay;
mod review;
mod scale;
mod show;
mod status;
mod stream;
mod token_request;
mod update;
mod watch;

pub(crate) use binding::bind;
pub(crate) use component_statuses::{get as component_status, list as component_statuses};
pub(crate) use create::{create, new as create_object};
pub(crate) use delete::{DeleteOptions, delete, one as delete_object};
pub(crate) use delete_collection::delete_collection;
pub(crate) use get::get;
pub(crate) use list::list;
pub(crate) use patch::patch;
pub(crate) use review::create as review;
pub(crate) use show::of_write as shower;
pub(crate) use update::update;

/// Health, version, discovery, OpenAPI: everything that is not below a resource.
pub(crate) async fn paths(context: &Context, request: &Request) -> Handled {
    let path = request.parts.uri.path();
    if !matches!(request.parts.method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    if let Some(answer) = health::answer(context, request, path).await {
        return Ok(answer);
    }
    if path == "/metrics" {
        return Ok(telemetry::answer(context));
    }
    if let Some(answer) = openid::answer_path(&context.issuer, path) {
        return Ok(answer);
    }
    if let Some(answer) = openapi::answer(context, request, path)? {
        return Ok(answer);
    }
    match discovery::answer(context, request, path)? {
        Some(_) if request.parts.method == Method::HEAD && path != "/" => {
            Err(Status::method_not_allowed())
        }
        found => Ok(found.unwrap_or_else(page_not_found)),
    }
}

/// Subresources that show the object itself, and change the part of it that they are named after.
const PARTS: [&str; 3] = ["approval", "ephemeralcontainers", "resize"];

/// `/status`, `/scale`, `/binding`, `/eviction`, `/log`, `/token`, `/finalize`, the [`PARTS`], and what is
/// connected with a node or a pod: `/exec`, `/attach`, `/portforward`, `/proxy`.
pub(crate) async fn subresource(
    context: &Context,
    target: Target,
    subresource: &str,
    request: &mut Request,
) -> Handled {
    let method = request.parts.method.clone();
    if let Some(name) = PARTS.into_iter().find(|name| *name == subresource) {
        let part = Part::Subresource(name);
        return match method {
            _ if target.name.is_empty() => Ok(page_not_found()),
            Method::GET => get(context, &target, request).await,
            Method::PUT => status::replace(context, &target, request, part).await,
            Method::PATCH => patch::part(context, &target, request, part).await,
            _ => Err(Status::method_not_allowed()),
        };
    }
    if matches!(subresource, "exec" | "attach" | "portforward") {
        return match method {
            _ if target.name.is_empty() => Ok(page_not_found()),
            Method::GET | Method::POST => {
                stream::connect(context, &target, subresource, request).await
            }
            _ => Err(Status::method_not_allowed()),
        };
    }
    if subresource == "proxy" {
        let kind = match target.resource.plural.as_ref() {
            _ if target.name.is_empty() => return Ok(page_not_found()),
            "nodes" => proxy::Kind::Node,
            "services" => proxy::Kind::Service,
            _ => proxy::Kind::Pod,
        };
        return proxy::forward(context, &target, kind, request).await;
    }
    match (subresource, &method) {
        ("status" | "scale" | "log" | "eviction" | "token", _) if target.name.is_empty() => {
            Ok(page_not_found())
        }
        ("status", &Method::GET) => get(context, &target, request).await,
        ("status", &Method::PUT) => status::update(context, &target, request).await,
        ("status", &Method::PATCH) => status::patch(context, &target, request).await,
        ("scale", &Method::GET) => scale::get(context, &target, request).await,
        ("scale", &Method::PUT) => scale::update(context, &target, request).await,
        ("scale", &Method::PATCH) => scale::patch(context, &target, request).await,
        ("binding", &Method::POST) => bind(context, &target, request).await,
        ("eviction", &Method::POST) => eviction::create(context, &target, request).await,
        ("token", &Method::POST) => token_request::create(context, &target, request).await,
        ("finalize", &Method::PUT) => finalize::update(context, &target, request).await,
        ("log", &Method::GET) => log::get(context, &target, request).await,
        _ if target.resource.is_custom() => {
            let verb = if method == Method::POST { "create" } else { "delete" };
            Err(Status::verb_not_supported(&target.resource.group_resource(), verb))
        }
        _ => Err(Status::method_not_allowed()),
    }
}
