//! PATCH of one object: JSON patch, merge patch, strategic merge patch.

use api::patch::{self, PatchType};
use api::status::Status;
use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::Value;

use crate::context::Context;
use crate::dispatch::Target;
use crate::request::options::WriteOptions;
use crate::request::{Request, payload};
use crate::response::Handled;
use crate::writing::{self, Part, answered, judge, warnings};

/// Patches an object.
pub(crate) async fn patch(context: &Context, target: &Target, request: &mut Request) -> Handled {
    part(context, target, request, Part::Main).await
}

/// Patches an object or its status.
pub(super) async fn part(
    context: &Context,
    target: &Target,
    request: &mut Request,
    part: Part,
) -> Handled {
    let options = WriteOptions::parse(&target.query, "PatchOptions")?;
    let (kind, body) = read(target, request).await?;
    let mut problems = Vec::new();
    let mut patched = Value::Null;
    let written = writing::change(context, target, part, options.dry_run, |current| {
        let new = patch::apply(&target.resource, kind, current, &body)?;
        let decoded = api::decode::check(&target.resource, new)?;
        problems = judge(&target.resource, options.validation, decoded.problems)?;
        patched = decoded.object.clone();
        Ok(decoded.object)
    })
    .await?;
    let warnings = warnings(&target.resource, &patched, problems);
    answered(written, StatusCode::OK, &warnings)
}

/// The kind of patch and its text.
///
/// # Errors
/// 415 for a kind that the resource does not take; server-side apply is one of them for now.
pub(super) async fn read(
    target: &Target,
    request: &mut Request,
) -> Result<(PatchType, Bytes), Status> {
    let content_type = request.header(header::CONTENT_TYPE).unwrap_or_default();
    let kind = PatchType::from_content_type(content_type)
        .filter(|kind| patch::supports(&target.resource, *kind));
    let Some(kind) = kind else {
        let mut status = Status::unsupported_patch_type();
        if content_type.starts_with("application/apply-patch") {
            status.message.push_str(
                ": server-side apply is not supported by this server yet; use client-side apply",
            );
        }
        return Err(status);
    };
    Ok((kind, payload::read(request).await?))
}
