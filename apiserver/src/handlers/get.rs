//! GET of one object.

use api::status::Status;
use http::{StatusCode, header};

use super::show::Shower;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::options::parse_version;
use crate::request::{Request, negotiate};
use crate::response::{Handled, json, json_bytes};

/// Answers with the object as it is now, or at least as recent as `resourceVersion` asks for.
pub(crate) async fn get(context: &Context, target: &Target, request: &Request) -> Handled {
    let accepted = negotiate::accepted(request.header(header::ACCEPT), target.has_protobuf())?;
    let revision = parse_version(target.query.get("resourceVersion"))?;
    match revision {
        None => context.freshness.consistent().await?,
        Some(revision) => context.freshness.at_least(revision).await?,
    }
    let object = target.cache.get(&target.key()).ok_or_else(|| target.not_found())?;
    match Shower::of_one(target, accepted.form)? {
        None => Ok(json_bytes(StatusCode::OK, object.encoded().object())),
        Some(mut shower) => Ok(json(StatusCode::OK, &shower.one(&object))),
    }
}

/// The object that the request names, fresh, for a handler that builds on it.
///
/// # Errors
/// 404, or 429 while the cache is not current.
pub(crate) async fn fresh(
    context: &Context,
    target: &Target,
) -> Result<std::sync::Arc<crate::cacher::Object>, Status> {
    context.freshness.consistent().await?;
    target.cache.get(&target.key()).ok_or_else(|| target.not_found())
}
