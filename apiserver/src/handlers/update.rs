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
use crate::response::Handled;
use crate::writing::{self, Part, Write, answered, dedup_owners, judge};

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
    match replaced {
        Err(status) if status.code == 404 && target.resource.strategy.creates_on_update() => {
            check_uid(target, &object)?;
            super::apply::may_create(context, target, request)?;
            let mut object = object;
            api::meta::remove(&mut object["metadata"], "resourceVersion");
            let created = create::new(context, target, object, &request.user, write).await;
            answered(created, StatusCode::CREATED, &problems)
        }
        replaced => answered(replaced, StatusCode::OK, &problems),
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
    let mut problems = judge(&target.resource, options.validation, decoded.problems)?;
    let mut object = decoded.object;
    check_name(target, &mut object)?;
    problems.extend(dedup_owners(&mut object, false));
    Ok((object, problems))
}

/// Checks that an object says the name that is on the URL, and no other namespace.
///
/// # Errors
/// 400 for another name or namespace, or no name at all.
pub(super) fn check_name(target: &Target, object: &mut Value) -> Result<(), Status> {
    let namespace = target.resource.namespaced().then_some(target.namespace.as_str());
    api::lifecycle::check_namespace(object, namespace)?;
    let (name, wanted) = (object["metadata"]["name"].as_str().unwrap_or_default(), &target.name);
    if name.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        )));
    }
    if name != wanted {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({wanted})"
        )));
    }
    Ok(())
}
