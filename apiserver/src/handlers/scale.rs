//! `/scale`: the replicas of a workload as an `autoscaling/v1` Scale.

use api::patch;
use api::resources::GroupKind;
use api::status::Status;
use api::strategy::{scale_of, validate_scale, with_scale};
use http::StatusCode;
use serde_json::Value;

use super::fresh;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::options::WriteOptions;
use crate::request::{Request, payload};
use crate::response::{Handled, json};
use crate::writing::{self, Part};

/// The Scale of the workload.
pub(super) async fn get(context: &Context, target: &Target, _: &Request) -> Handled {
    let object = fresh(context, target).await?;
    Ok(json(StatusCode::OK, &scale_of(&object.encoded().parse())))
}

/// Sets the replicas to those of a Scale.
pub(super) async fn update(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(&target.query, "UpdateOptions")?;
    let body = payload::read_json(request).await?;
    let mut scale = parse(&body)?;
    super::update::check_name(target, &mut scale)?;
    change(context, target, options.dry_run, |_| Ok(scale.clone())).await
}

/// Patches the Scale, and so the replicas.
pub(super) async fn patch(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(&target.query, "PatchOptions")?;
    let (kind, body) = super::patch::read(target, request).await?;
    change(context, target, options.dry_run, |current| {
        // A patch that says nothing about the version must not pin the one it was applied to.
        let mut scale = scale_of(current);
        api::meta::remove(&mut scale["metadata"], "resourceVersion");
        Ok(patch::apply_as("autoscaling.v1.Scale", kind, &scale, &body)?)
    })
    .await
}

async fn change(
    context: &Context,
    target: &Target,
    dry_run: bool,
    mut make: impl FnMut(&Value) -> Result<Value, Status>,
) -> Handled {
    let written = writing::change(context, target, Part::Main, dry_run, |current| {
        let scale = make(current)?;
        let errors = validate_scale(&scale);
        if !errors.is_empty() {
            let kind = GroupKind::new("autoscaling", "Scale");
            return Err(Status::invalid(&kind, &target.name, &errors));
        }
        let mut base = current.clone();
        api::meta::remove(&mut base["metadata"], "resourceVersion");
        Ok(with_scale(base, &scale))
    })
    .await?;
    let object: Value = serde_json::from_slice(&written.bytes).unwrap_or_default();
    Ok(json(StatusCode::OK, &scale_of(&object)))
}

fn parse(body: &[u8]) -> Result<Value, Status> {
    let scale: Value = serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("cannot read a Scale: {error}")))?;
    let kind = scale["kind"].as_str().unwrap_or("Scale");
    if kind != "Scale" || !scale.is_object() {
        return Err(Status::bad_request(format!("{kind} cannot be handled as a Scale")));
    }
    Ok(scale)
}
