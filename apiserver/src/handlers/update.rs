//! PUT of one object.

use api::status::Status;
use http::StatusCode;
use serde_json::Value;

use super::create;
use crate::admission;
use crate::authz::escalation;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::options::WriteOptions;
use crate::request::{Request, payload};
use crate::response::{Handled, json_bytes, with_warnings};
use crate::writing::{self, Part, Write, answered, judge, warnings};

/// Replaces an object; creates it where the kind allows that (Leases, Events), whatever version of it
/// the client claims to know.
pub(crate) async fn update(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "UpdateOptions")?;
    let (object, problems) = read(target, request, &options).await?;
    let write = Write::new(Part::Main, &options);
    let replaced = writing::change(context, target, write, |current| {
        escalation::check(context, target, &object, current, &request.user)?;
        admission::change(context, target, Part::Main, (&object, current), &request.user)?;
        Ok(object.clone())
    })
    .await;
    let warnings = |object: &Value| warnings(&target.resource, object, problems.clone());
    match replaced {
        Ok(written) => answered(written, StatusCode::OK, &warnings(&object)),
        Err(status) if status.code == 404 && target.resource.strategy.creates_on_update() => {
            check_uid(target, &object)?;
            super::apply::may_create(context, target, request)?;
            let mut object = object;
            api::meta::remove(&mut object["metadata"], "resourceVersion");
            let (bytes, object) =
                create::new(context, target, object, &request.user, write).await?;
            Ok(with_warnings(json_bytes(StatusCode::CREATED, bytes), &warnings(&object)))
        }
        Err(status) => Err(status),
    }
}

/// Who names the UID of what is gone wants no new object in its place.
fn check_uid(target: &Target, object: &Value) -> Result<(), Status> {
    match object["metadata"]["uid"].as_str() {
        None | Some("") => Ok(()),
        Some(uid) => {
            Err(Status::uid_precondition(&target.resource.group_resource(), &target.name, uid, ""))
        }
    }
}

/// Decodes the object of a PUT and checks that it is the one on the URL.
///
/// # Errors
/// 400 for another name or namespace, and what decoding refuses.
pub(super) async fn read(
    target: &Target,
    request: &mut Request,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), Status> {
    let decoded = payload::read_object(request, &target.resource).await?;
    let problems = judge(&target.resource, options.validation, decoded.problems)?;
    let mut object = decoded.object;
    check_name(target, &mut object)?;
    Ok((object, problems))
}

/// The name of the object must be that of the URL, or absent.
pub(super) fn check_name(target: &Target, object: &mut Value) -> Result<(), Status> {
    api::meta::ensure(object);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        object["metadata"]["name"] = target.name.as_str().into();
    } else if name != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if !namespace.is_empty() && namespace != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}
