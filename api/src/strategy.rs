//! What is particular about each kind: defaulting, preparation, validation.
//!
//! One file per kind implements [`Strategy`] over JSON values. A strategy may rely on the shape
//! that [`crate::decode`] has checked: every field has the JSON type of the kind's schema, so the
//! typed views that validation uses (`k8s_openapi` structs) always parse.
//! [`crate::lifecycle`] calls these methods in Kubernetes' order; nobody else needs to.

mod address;
pub(crate) mod admissionregistration;
pub(crate) mod apiextensions;
pub(crate) mod apiregistration;
pub(crate) mod apps;
pub(crate) mod authentication;
pub(crate) mod authorization;
pub(crate) mod autoscaling;
pub(crate) mod batch;
pub(crate) mod binding;
mod bounds;
pub(crate) mod certificates;
mod conditions;
pub(crate) mod config_map;
pub(crate) mod core;
pub(crate) mod endpoint_slice;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod event_v1;
pub(crate) mod flowcontrol;
pub(crate) mod lease;
pub(crate) mod metrics;
pub(crate) mod namespace;
pub(crate) mod networking;
pub(crate) mod node;
mod percent;
pub mod pod;
pub(crate) mod policy;
pub(crate) mod priority_class;
pub(crate) mod rbac;
pub(crate) mod replication_controller;
pub(crate) mod resource;
pub(crate) mod runtime_class;
mod scale;
pub(crate) mod secret;
mod selector;
pub(crate) mod service;
pub(crate) mod service_account;
pub(crate) mod storage;
mod template;
mod volume_source;
mod warnings;

use std::fmt::Debug;

use jiff::Timestamp;
use serde_json::Value;

use crate::custom::Schema;
use crate::field::Errors;
use crate::names::NameRule;

pub use authentication::{default_token_request, validate_token_request};
pub use endpoints::loopback_addresses;
pub use scale::{scale_of, validate_scale, with_scale};

/// Defaulting, preparation and validation of one kind. Object-safe, without state or IO.
pub trait Strategy: Debug + Send + Sync {
    /// How `metadata.name` must look.
    fn name_rule(&self) -> NameRule {
        NameRule::Subdomain
    }

    /// Whether PUT (or apply) of an object that does not exist creates it.
    fn creates_on_update(&self) -> bool {
        false
    }

    /// Whether an update without resourceVersion is accepted (last writer wins).
    fn allows_unconditional_update(&self) -> bool {
        true
    }

    /// Whether `metadata.generation` counts changes of the spec.
    fn counts_generations(&self) -> bool {
        false
    }

    /// Whether a change of an object that counts its generations is one of those counted. By
    /// default everything but metadata and status is ([`crate::lifecycle`] looks).
    fn counts_update(&self, _new: &Value, _old: &Value) -> bool {
        true
    }

    /// Drops what a kind without a built-in schema does not have, and says so in the words of
    /// [`crate::decode::Decoded::problems`]. Metadata is cleaned by [`crate::decode`].
    fn clean(&self, _object: &mut Value, _problems: &mut Vec<String>) {}

    /// Fills in what the client may leave out. Idempotent; runs on every decode and patch.
    fn default(&self, _object: &mut Value) {}

    /// What the status of a new object says, whatever the client sends; from then on the status is
    /// changed through `/status` only. `None` for a kind that looks after its status in another way,
    /// or has none.
    fn first_status(&self) -> Option<Value> {
        None
    }

    /// Whether an update of `/status` leaves even the metadata as it is.
    fn status_is_alone(&self) -> bool {
        false
    }

    /// Removes what clients may not set when creating (status), and sets what follows from it.
    fn prepare_for_create(&self, object: &mut Value) {
        if let Some(status) = self.first_status() {
            object["status"] = status;
        }
    }

    /// Restores what an update of the main resource may not touch (status).
    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        if self.first_status().is_some() {
            keep_field(new, old, "status");
        }
    }

    /// Restores what an update of `/status` may not touch: everything but status and metadata.
    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        if self.status_is_alone() {
            keep_all_but_status_alone(new, old);
        } else {
            keep_all_but_status(new, old);
        }
    }

    /// Checks a new object. Metadata is checked by [`crate::meta`].
    fn validate(&self, object: &Value) -> Errors;

    /// Checks a changed object, including what may not change.
    fn validate_update(&self, new: &Value, _old: &Value) -> Errors {
        self.validate(new)
    }

    /// Checks a changed status.
    fn validate_status_update(&self, _new: &Value, _old: &Value) -> Errors {
        Errors::new()
    }

    /// Fills in the times of a changed status that the client leaves to the server. Called before
    /// the update of `/status` and of the subresources below is prepared.
    fn stamp_status(&self, _new: &mut Value, _old: &Value, _now: Timestamp) {}

    /// Restores what an update of another subresource that shows the object itself (such as
    /// `approval`) may not touch.
    fn prepare_for_subresource(&self, _subresource: &str, _new: &mut Value, _old: &Value) {}

    /// Checks what an update of such a subresource changed.
    fn validate_subresource(&self, _subresource: &str, _new: &Value, _old: &Value) -> Errors {
        Errors::new()
    }

    /// What a write through a subresource ("" for the object itself) cannot change, whatever the
    /// client sends, so that it does not come to own it: paths of fields with all below them.
    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        if subresource == "status" { &[&["spec"]] } else { &[&["status"]] }
    }

    /// For a subresource that writes very little, all that it can come to own: paths, in which `*`
    /// stands for any item of a list, with all below them. `None`: what
    /// [`reset_fields`](Self::reset_fields) leaves.
    fn written_fields(&self, _subresource: &str) -> Option<&'static [&'static [&'static str]]> {
        None
    }

    /// The schema of a kind that a definition describes, in one of its versions (`GROUP/VERSION`).
    /// `None`: no such version, or a kind whose schema is [`crate::schema`]'s business.
    fn schema_of(&self, _api_version: &str) -> Option<&Schema> {
        None
    }

    /// The kind of lists, where it is not that of the objects with `List` after it.
    fn list_kind(&self) -> Option<&str> {
        None
    }

    /// A finalizer that a deletion adds, for the server to finish what the deletion means.
    fn cleanup_finalizer(&self) -> Option<&'static str> {
        None
    }

    /// The field (`.spec.replicas`) without which an object has no Scale to show; `None` if it has
    /// one.
    fn scale_lacks(&self, _object: &Value) -> Option<&str> {
        None
    }

    /// The Scale of an object.
    fn scale_of(&self, object: &Value) -> Value {
        scale_of(object)
    }

    /// The object with the replicas (and the resourceVersion, when given) of a Scale.
    fn with_scale(&self, object: Value, scale: &Value) -> Value {
        with_scale(object, scale)
    }

    /// Warnings worth a `Warning` header although the object, new or changed, is accepted.
    fn warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Warnings about what a write changed; `old` is null for a new object.
    fn warnings_of_change(&self, _new: &Value, _old: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Warnings about a status that was written through `/status`.
    fn warnings_of_status(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Why the object of this name stays when somebody asks for its deletion; `None`: it may go. A
    /// deletion of the whole collection does not ask.
    fn refuses_deletion(&self, _name: &str) -> Option<&'static str> {
        None
    }

    /// Seconds that a deleted object stays, with a deletionTimestamp, until somebody confirms its
    /// end by deleting it with grace 0. `None`: it goes at once (finalizers aside).
    fn deletion_grace_seconds(&self, _object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// The form in which the object is stored, when this row is a second view of another.
    fn to_stored(&self, object: Value) -> Value {
        object
    }

    /// The reverse of [`Strategy::to_stored`].
    #[expect(clippy::wrong_self_convention, reason = "the pair is clearer than either rule")]
    fn from_stored(&self, stored: Value) -> Value {
        stored
    }
}

/// Takes status and metadata from `new` and everything else from `old`.
pub(crate) fn keep_all_but_status(new: &mut Value, old: &Value) {
    restore_all_but(new, old, &["status", "metadata"]);
}

/// Takes only the status from `new`, the version it is based on, and who owns its fields by now;
/// even the rest of the metadata stays.
pub(crate) fn keep_all_but_status_alone(new: &mut Value, old: &Value) {
    restore_all_but(new, old, &["status", "metadata"]);
    restore_all_but(&mut new["metadata"], &old["metadata"], &["resourceVersion", "managedFields"]);
}

/// Puts all of `old` back into `new` except some fields. What has not changed, which is most of it
/// in most writes, is not copied.
fn restore_all_but(new: &mut Value, old: &Value, changing: &[&str]) {
    let (Some(map), Some(kept)) = (new.as_object_mut(), old.as_object()) else { return };
    map.retain(|field, _| changing.contains(&field.as_str()) || kept.contains_key(field));
    for (field, value) in kept.iter().filter(|(field, _)| !changing.contains(&field.as_str())) {
        if map.get(field) != Some(value) {
            map.insert(field.clone(), value.clone());
        }
    }
}

/// Puts `old`'s value of a top-level field into `new` (or removes it from `new`).
pub(crate) fn keep_field(new: &mut Value, old: &Value, field: &str) {
    let Some(map) = new.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.remove(field),
    };
}

/// Sets `object[field]` when it is absent or null.
pub(crate) fn set_default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        let slot = map.entry(field).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.into();
        }
    }
}

/// The items of the list at a JSON pointer. (Indexing mutably would insert what is missing.)
pub(crate) fn each<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    at(value, pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// The object at a JSON pointer, if there is one.
pub(crate) fn object_at<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    at(value, pointer).filter(|value| value.is_object())
}

/// Like `Value::pointer_mut`, for pointers to fields alone: that one unescapes and allocates.
fn at<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    pointer.split('/').skip(1).try_fold(value, |value, field| value.get_mut(field))
}

/// The typed view of a decoded object. The schema walk of [`crate::decode`] admits only what these
/// types accept; an object that did not come through it may still fail, which is reported as an
/// error of the whole object instead of a panic.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(object: &Value) -> Result<T, Errors> {
    serde::Deserialize::deserialize(object).map_err(|error: serde_json::Error| {
        let path = crate::field::Path::root();
        vec![crate::field::FieldError::invalid(&path, Value::Null, &error.to_string())]
    })
}

#[cfg(test)]
mod class_tests;
#[cfg(test)]
mod tests;
