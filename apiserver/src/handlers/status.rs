//! PUT and PATCH of `/status`: the only way to change an object's status, and changes nothing else.
//! `/approval` of a CertificateSigningRequest is like it, and changes the conditions.

use http::StatusCode;

use crate::admission;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::Request;
use crate::request::options::WriteOptions;
use crate::response::Handled;
use crate::writing::{self, Part, Write, answered};

/// Replaces the status.
pub(super) async fn update(context: &Context, target: &Target, request: &mut Request) -> Handled {
    replace(context, target, request, Part::Status).await
}

/// Replaces what a part of the object may change.
pub(super) async fn replace(
    context: &Context,
    target: &Target,
    request: &mut Request,
    part: Part,
) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "UpdateOptions")?;
    let (object, problems) = super::update::read(target, request, &options).await?;
    let write = Write::new(part, &options);
    let written = writing::change(context, target, write, |current| {
        admission::change(context, target, part, (&object, current), &request.user)?;
        Ok(object.clone())
    })
    .await;
    answered(written, StatusCode::OK, &problems)
}

/// Patches the status.
pub(super) async fn patch(context: &Context, target: &Target, request: &mut Request) -> Handled {
    super::patch::part(context, target, request, Part::Status).await
}
