//! The order in which an object is defaulted, prepared and checked: what Kubernetes calls
//! `rest.BeforeCreate` and `rest.BeforeUpdate`.
//!
//! The API server calls [`before_create`], [`before_update`] or [`before_status_update`] with a
//! decoded object and stores what comes out. What needs IO (namespace existence, allocation of
//! cluster IPs, admission) happens around these calls, in the API server; so does keeping account
//! of who owns which fields ([`crate::apply`]), which comes before.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::meta;
use crate::names;
use crate::resources::Resource;
use crate::status::Status;

/// What the caller supplies for a new object, so that this crate needs no clock and no randomness.
#[derive(Clone, Debug)]
pub struct Creation<'a> {
    /// Namespace of the request path; `None` for cluster-scoped resources.
    pub namespace: Option<&'a str>,
    /// A fresh UUID.
    pub uid: &'a str,
    /// The current time.
    pub now: Timestamp,
    /// Random bits for `generateName`. On a name conflict, call again with others.
    pub random: u64,
}

/// Defaults, stamps, prepares and validates a new object.
///
/// # Errors
/// 400 when the namespace of the object is not that of the request, 422 for what is invalid.
pub fn before_create(
    resource: &Resource,
    object: &mut Value,
    creation: &Creation<'_>,
) -> Result<(), Status> {
    let strategy = &resource.strategy;
    meta::ensure(object);
    check_namespace(object, creation.namespace)?;
    let metadata = &mut object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let prefix = metadata["generateName"].as_str().unwrap_or_default();
    if name.is_empty() && !prefix.is_empty() {
        metadata["name"] = names::generate(prefix, creation.random).into();
    }
    // What a client sends for server-owned fields is ignored.
    for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
    {
        meta::remove(metadata, field);
    }
    metadata["uid"] = creation.uid.into();
    metadata["creationTimestamp"] = meta::time(creation.now).into();
    strategy.default(object);
    strategy.prepare_for_create(object);
    let metadata = &mut object["metadata"];
    if strategy.counts_generations() {
        metadata["generation"] = json!(1);
    } else {
        meta::remove(metadata, "generation");
    }
    let mut errors = meta::validate(object, resource.namespaced(), strategy.name_rule());
    errors.extend(strategy.validate(object));
    refuse(resource, object, &errors)
}

/// Prepares and validates the new version of an object of the main resource.
///
/// # Errors
/// 400 for another name or namespace, 409 for another UID, 422 for what is invalid or immutable.
pub fn before_update(resource: &Resource, new: &mut Value, old: &Value) -> Result<(), Status> {
    let strategy = &resource.strategy;
    prepare_metadata(resource, new, old)?;
    strategy.default(new);
    strategy.prepare_for_update(new, old);
    if strategy.counts_generations() && strategy.counts_update(new, old) {
        count_generation(new, old);
    }
    let mut errors = meta::validate(new, resource.namespaced(), strategy.name_rule());
    errors.extend(meta::validate_update(new, old));
    errors.extend(strategy.validate_update(new, old));
    refuse(resource, new, &errors)
}

/// Prepares and validates an update of `/status`: only status and metadata are
/// taken from `new`.
///
/// # Errors
/// 400 for another name or namespace, 409 for another UID, 422 for what is invalid.
pub fn before_status_update(
    resource: &Resource,
    new: &mut Value,
    old: &Value,
) -> Result<(), Status> {
    let strategy = &resource.strategy;
    prepare_metadata(resource, new, old)?;
    strategy.default(new);
    strategy.prepare_for_status_update(new, old);
    let mut errors = meta::validate(new, resource.namespaced(), strategy.name_rule());
    errors.extend(meta::validate_update(new, old));
    errors.extend(strategy.validate_status_update(new, old));
    refuse(resource, new, &errors)
}

/// Prepares and validates an update of another subresource that reads and writes the object itself,
/// such as the `approval` of a CertificateSigningRequest. The strategy says what may change.
///
/// # Errors
/// 400 for another name or namespace, 409 for another UID, 422 for what is invalid.
pub fn before_subresource_update(
    resource: &Resource,
    subresource: &str,
    new: &mut Value,
    old: &Value,
) -> Result<(), Status> {
    let strategy = &resource.strategy;
    prepare_metadata(resource, new, old)?;
    strategy.default(new);
    strategy.prepare_for_subresource(subresource, new, old);
    if strategy.counts_generations() && strategy.counts_update(new, old) {
        count_generation(new, old);
    }
    let mut errors = meta::validate(new, resource.namespaced(), strategy.name_rule());
    errors.extend(meta::validate_update(new, old));
    errors.extend(strategy.validate_subresource(subresource, new, old));
    refuse(resource, new, &errors)
}

fn refuse(
    resource: &Resource,
    object: &Value,
    errors: &[crate::field::FieldError],
) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Status::invalid(&resource.group_kind(), name, errors))
}

/// Puts an object into the namespace of the request. `None`: the resource has none, and what the
/// object says of one is nothing.
///
/// # Errors
/// 400 for an object that says it is in another.
pub fn check_namespace(object: &mut Value, namespace: Option<&str>) -> Result<(), Status> {
    meta::ensure(object);
    let metadata = &mut object["metadata"];
    let Some(namespace) = namespace else {
        meta::remove(metadata, "namespace");
        return Ok(());
    };
    let given = metadata["namespace"].as_str().unwrap_or_default();
    if given == namespace {
        return Ok(());
    }
    if !given.is_empty() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata["namespace"] = namespace.into();
    Ok(())
}

fn prepare_metadata(resource: &Resource, new: &mut Value, old: &Value) -> Result<(), Status> {
    meta::ensure(new);
    let (had, has) = (&old["metadata"], &new["metadata"]);
    let text = |meta: &Value, field: &str| meta[field].as_str().unwrap_or_default().to_owned();
    let (old_name, new_name) = (text(had, "name"), text(has, "name"));
    if !new_name.is_empty() && new_name != old_name {
        return Err(Status::bad_request(format!(
            "the name of the object ({new_name}) does not match the name on the URL ({old_name})"
        )));
    }
    // An update meant for an object that was deleted and made again under the same name.
    let (old_uid, new_uid) = (text(had, "uid"), text(has, "uid"));
    if !new_uid.is_empty() && new_uid != old_uid {
        let resource = resource.group_resource();
        return Err(Status::uid_precondition(&resource, &old_name, &new_uid, &old_uid));
    }
    let namespace = text(had, "namespace");
    let namespace = if namespace.is_empty() { None } else { Some(namespace) };
    check_namespace(new, namespace.as_deref())?;
    let metadata = &mut new["metadata"];
    for field in ["name", "uid", "creationTimestamp"] {
        if metadata[field].as_str().unwrap_or_default().is_empty() {
            copy(metadata, had, field);
        }
    }
    for field in ["generation", "generateName"] {
        if field == "generation" || metadata.get(field).is_none() {
            copy(metadata, had, field);
        }
    }
    // When a deletion is due stays as it is; that one is due nobody says but by deleting, which is
    // for the validation to tell.
    if had["deletionTimestamp"].is_string() {
        copy(metadata, had, "deletionTimestamp");
    }
    if metadata["deletionGracePeriodSeconds"].is_null() {
        copy(metadata, had, "deletionGracePeriodSeconds");
    }
    meta::remove(metadata, "selfLink");
    Ok(())
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Some(value) => to[field] = value.clone(),
        None => meta::remove(to, field),
    }
}

/// The generation counts what a controller has to act on: everything but metadata and status.
fn count_generation(new: &mut Value, old: &Value) {
    let strip = |object: &Value| {
        let mut map = object.as_object().cloned().unwrap_or_default();
        for field in ["metadata", "status", "apiVersion", "kind"] {
            map.remove(field);
        }
        map
    };
    if strip(new) != strip(old) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        new["metadata"]["generation"] = generation.saturating_add(1).into();
    }
}

#[cfg(test)]
mod tests;
