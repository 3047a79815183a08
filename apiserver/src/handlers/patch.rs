//! PATCH of one object: JSON patch, merge patch, strategic merge patch; [`super::apply`] is another.
//!
//! Under `fieldValidation=Strict`, what is odd about a patch or about what it makes of the object is
//! a 422 about `patch`, not the 400 of whole objects; and so is what is no object of the kind any more
//! (k8s.io/apiserver/pkg/endpoints/handlers/patch.go).

use api::field::{FieldError, Path};
use api::patch::{self, PatchType};
use api::resources::GroupKind;
use api::status::Status;
use bytes::Bytes;
use http::{StatusCode, header};

use crate::admission;
use crate::authz::escalation;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::negotiate::is_apply;
use crate::request::options::{FieldValidation, WriteOptions};
use crate::request::{Request, payload};
use crate::response::Handled;
use crate::writing::{self, Part, Write, answered, dedup_owners};

/// Characters of a patch that a refusal repeats.
const SHOWN: usize = 1024;

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
    let options = WriteOptions::parse(request, &target.query, "PatchOptions")?;
    if is_apply(request.header(header::CONTENT_TYPE).unwrap_or_default()) {
        return super::apply::apply(context, target, request, part, &options).await;
    }
    let (kind, body) = read(target, request).await?;
    let mut problems = Vec::new();
    let write = Write::new(part, &options);
    let written = writing::change(context, target, write, |current| {
        let new = patch::apply(&target.resource, kind, current, &body)?;
        let mut decoded =
            api::decode::check_patched(&target.resource, new, |reason| refused(&body, reason))?;
        problems = judge(options.validation, kind, &body, decoded.problems)?;
        super::update::check_name(target, &mut decoded.object)?;
        problems.extend(dedup_owners(&mut decoded.object, true));
        escalation::check(context, target, &decoded.object, current, &request.user)?;
        admission::change(context, target, part, (&decoded.object, current), &request.user)?;
        Ok(decoded.object)
    })
    .await;
    answered(written, StatusCode::OK, &problems)
}

/// Turns the problems of a patch's text, and then those of the patched object, into warnings or a
/// refusal, as the client asked.
///
/// # Errors
/// 422 `strict decoding error: …` under strict validation, 400 for a text that is no patch.
pub(super) fn judge(
    validation: FieldValidation,
    kind: PatchType,
    body: &[u8],
    patched: Vec<String>,
) -> Result<Vec<String>, Status> {
    if validation == FieldValidation::Ignore {
        return Ok(Vec::new());
    }
    let mut problems = patch::problems(kind, body)?;
    problems.extend(patched);
    if validation == FieldValidation::Warn || problems.is_empty() {
        return Ok(problems);
    }
    Err(refused(body, &format!("strict decoding error: {}", problems.join(", "))))
}

/// 422 about the patch.
fn refused(body: &[u8], reason: &str) -> Status {
    let text: String = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
    let error = FieldError::invalid(&Path::new("patch"), text, reason);
    Status::invalid(&GroupKind::new("", ""), "", &[error])
}

/// The kind of patch and its text.
///
/// # Errors
/// 415 for a kind that the resource does not take.
pub(super) async fn read(
    target: &Target,
    request: &mut Request,
) -> Result<(PatchType, Bytes), Status> {
    let content_type = request.header(header::CONTENT_TYPE).unwrap_or_default();
    let kind = PatchType::from_content_type(content_type)
        .filter(|kind| patch::supports(&target.resource, *kind));
    let kind = kind.ok_or_else(|| {
        if target.resource.is_custom() {
            Status::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ])
        } else {
            Status::unsupported_patch_type()
        }
    })?;
    Ok((kind, payload::read(request).await?))
}
