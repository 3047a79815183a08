//! PUT and PATCH of `/status`: the only way to change an object's status, and changes nothing else.

use http::StatusCode;

use crate::context::Context;
use crate::dispatch::Target;
use crate::request::Request;
use crate::request::options::WriteOptions;
use crate::response::Handled;
use crate::writing::{self, Part, answered};

/// Replaces the status.
pub(super) async fn update(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(&target.query, "UpdateOptions")?;
    let (object, warnings) = super::update::read(target, request, &options).await?;
    let written =
        writing::change(context, target, Part::Status, options.dry_run, |_| Ok(object.clone()))
            .await?;
    answered(written, StatusCode::OK, &warnings)
}

/// Patches the status.
pub(super) async fn patch(context: &Context, target: &Target, request: &mut Request) -> Handled {
    super::patch::part(context, target, request, Part::Status).await
}
