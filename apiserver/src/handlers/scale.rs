//! `/scale`: the replicas of a workload as an `autoscaling/v1` Scale.

use api::apply::Change;
use api::field::go_quote;
use api::patch;
use api::resources::GroupKind;
use api::status::Status;
use api::strategy::validate_scale;
use http::{StatusCode, header};
use serde_json::Value;

use super::fresh;
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::negotiate::is_apply;
use crate::request::options::WriteOptions;
use crate::request::{Request, payload};
use crate::response::{Handled, json, with_warnings};
use crate::writing::{self, Part, Write, judge_kind};

/// The replicas in the Scale that a patch is applied to, if the object does not say how many it
/// wants: a number that nobody wants.
const UNSET: i64 = i32::MIN as i64;

/// The Scale of the workload.
pub(super) async fn get(context: &Context, target: &Target, _: &Request) -> Handled {
    let object = fresh(context, target).await?.encoded().parse();
    let strategy = &target.resource.strategy;
    match strategy.scale_lacks(&object) {
        Some(field) => Err(Status::internal_error(format!(
            "the spec replicas field {} does not exist",
            go_quote(field)
        ))),
        None => Ok(json(StatusCode::OK, &strategy.scale_of(&object))),
    }
}

/// Sets the replicas to those of a Scale.
pub(super) async fn update(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "UpdateOptions")?;
    let (version, kind) = ("autoscaling/v1", "Scale");
    let decoded = payload::read_kind(request, (version, kind), |body| {
        api::decode::decode_as("autoscaling.v1.Scale", version, kind, body)
    })
    .await?;
    let warnings = judge_kind(("Scale", "v1"), options.validation, decoded.problems)?;
    let mut scale = decoded.object;
    super::update::check_name(target, &mut scale)?;
    let answer = change(context, target, Write::new(Part::Scale, &options), |current| {
        replaced(target, current, &scale)
    })
    .await?;
    Ok(with_warnings(answer, &warnings))
}

/// Patches the Scale, and so the replicas.
pub(super) async fn patch(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "PatchOptions")?;
    if is_apply(request.header(header::CONTENT_TYPE).unwrap_or_default()) {
        return apply(context, target, request, &options).await;
    }
    let (kind, body) = super::patch::read(target, request).await?;
    let mut warnings = Vec::new();
    let answer = change(context, target, Write::new(Part::Scale, &options), |current| {
        // A patch that says nothing about the version must not pin the one it was applied to.
        let mut scale = target.resource.strategy.scale_of(current);
        api::meta::remove(&mut scale["metadata"], "resourceVersion");
        let lacks = target.resource.strategy.scale_lacks(current);
        if lacks.is_some() {
            scale["spec"]["replicas"] = UNSET.into();
        }
        let mut patched = patch::apply_as("autoscaling.v1.Scale", kind, &scale, &body)?;
        warnings = super::patch::judge(options.validation, kind, &body, Vec::new())?;
        super::update::check_name(target, &mut patched)?;
        if let Some(field) = lacks.filter(|_| patched["spec"]["replicas"] == UNSET) {
            let field = go_quote(field);
            let message = format!("the spec replicas field {field} cannot be empty");
            return Err(Status::bad_request(message));
        }
        replaced(target, current, &patched)
    })
    .await?;
    Ok(with_warnings(answer, &warnings))
}

/// Applies a Scale, and so owns the replicas.
async fn apply(
    context: &Context,
    target: &Target,
    request: &mut Request,
    options: &WriteOptions,
) -> Handled {
    let (config, warnings) = super::apply::read(request, options).await?;
    let write = Write::applied(Part::Scale, options);
    let answer = change(context, target, write, |current| {
        let change = Change { manager: &options.manager, subresource: "scale", now: now() };
        api::apply::apply_scale(&target.resource, current, &config, options.force, &change)
    })
    .await?;
    Ok(with_warnings(answer, &warnings))
}

async fn change(
    context: &Context,
    target: &Target,
    write: Write<'_>,
    make: impl FnMut(&Value) -> Result<Value, Status>,
) -> Handled {
    let written = writing::change(context, target, write, make).await?;
    let object: Value = serde_json::from_slice(&written.bytes).unwrap_or_default();
    let answer = json(StatusCode::OK, &target.resource.strategy.scale_of(&object));
    Ok(with_warnings(answer, &written.warnings))
}

/// The workload with the replicas of a Scale.
fn replaced(target: &Target, current: &Value, scale: &Value) -> Result<Value, Status> {
    let errors = validate_scale(scale);
    if !errors.is_empty() {
        let kind = GroupKind::new("autoscaling", "Scale");
        return Err(Status::invalid(&kind, &target.name, &errors));
    }
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let (wanted, recorded) = (uid(scale), uid(current));
    if !wanted.is_empty() && wanted != recorded {
        let resource = target.resource.group_resource();
        return Err(Status::uid_precondition(&resource, &target.name, &wanted, &recorded));
    }
    let mut base = current.clone();
    api::meta::remove(&mut base["metadata"], "resourceVersion");
    Ok(target.resource.strategy.with_scale(base, scale))
}
