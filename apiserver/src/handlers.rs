//! One file per verb, one per subresource; and the paths that are no resource.

use api::status::Status;
use http::Method;

use crate::context::Context;
use crate::dispatch::{Target, page_not_found};
use crate::request::Request;
use crate::response::Handled;

mod binding;
mod create;
mod delete;
mod delete_collection;
mod discovery;
mod finalize;
pub(crate) use get::fresh;
mod get;
mod health;
mod list;
pub(crate) mod log;
mod page_token;
mod patch;
mod scale;
mod show;
mod status;
mod update;
mod watch;

pub(crate) use binding::bind;
pub(crate) use create::{create, new as create_object};
pub(crate) use delete::delete;
pub(crate) use delete_collection::delete_collection;
pub(crate) use get::get;
pub(crate) use list::list;
pub(crate) use patch::patch;
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
    Ok(discovery::answer(request, path)?.unwrap_or_else(page_not_found))
}

/// `/status`, `/scale`, `/binding`, `/log`, `/finalize`.
pub(crate) async fn subresource(
    context: &Context,
    target: Target,
    subresource: &str,
    mut request: Request,
) -> Handled {
    let method = request.parts.method.clone();
    let request = &mut request;
    match (subresource, &method) {
        ("status" | "scale" | "log", _) if target.name.is_empty() => Ok(page_not_found()),
        ("status", &Method::GET | &Method::HEAD) => get(context, &target, request).await,
        ("status", &Method::PUT) => status::update(context, &target, request).await,
        ("status", &Method::PATCH) => status::patch(context, &target, request).await,
        ("scale", &Method::GET | &Method::HEAD) => scale::get(context, &target, request).await,
        ("scale", &Method::PUT) => scale::update(context, &target, request).await,
        ("scale", &Method::PATCH) => scale::patch(context, &target, request).await,
        ("binding", &Method::POST) => bind(context, &target, request).await,
        ("finalize", &Method::PUT) => finalize::update(context, &target, request).await,
        ("log", &Method::GET) => log::get(context, &target, request).await,
        _ => Err(Status::method_not_allowed()),
    }
}
