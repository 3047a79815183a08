//! Kinds of the core group that came with the group's second half: templates, limits, storage.

pub(crate) mod component_status;
pub(crate) mod limit_range;
pub(crate) mod persistent_volume;
pub(crate) mod persistent_volume_claim;
pub(crate) mod pod_template;
pub(in crate::strategy) mod resource_name;
pub(crate) mod resource_quota;

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::quantity::Quantity;

pub(in crate::strategy) use resource_name::is_extended as is_extended_resource;

/// The class of a claim or volume, in the days before it had a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// The ways in which a volume can be mounted, in alphabetical order.
const ACCESS_MODES: &[&str] =
    &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

/// The amount in a text that decoding has let through.
fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

/// Refuses an amount below 0, in the words for amounts that nobody promised.
fn basic_amount(value: &Value, path: &Path) -> Option<FieldError> {
    let amount = quantity(value).filter(|amount| amount.is_negative())?;
    Some(FieldError::invalid(path, amount.value(), "must be a valid resource quantity"))
}

/// About a claim or volume that names its class in an annotation.
fn warning_of_class(object: &Value) -> Option<String> {
    object["metadata"]["annotations"].get(CLASS_ANNOTATION)?;
    Some(format!(
        "metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" \
         attribute instead"
    ))
}

/// Adds a finalizer to a new object.
pub(super) fn protect(object: &mut Value, finalizer: &str) {
    let metadata = &mut object["metadata"];
    let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|name| name == finalizer) {
        finalizers.push(finalizer.into());
    }
    metadata["finalizers"] = finalizers.into();
}

/// Refuses an amount that is not above 0.
fn positive(value: &Value, path: &Path) -> Option<FieldError> {
    let amount = quantity(value)?;
    (amount.is_negative() || amount.is_zero())
        .then(|| FieldError::invalid(path, value.clone(), "must be greater than zero"))
}

/// Checks the access modes of a volume or claim.
fn validate_access_modes(modes: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (mut single, mut shared) = (false, false);
    for mode in modes.as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !ACCESS_MODES.contains(&mode) {
            errors.push(FieldError::not_supported(path, mode, ACCESS_MODES));
        } else if mode == "ReadWriteOncePod" {
            single = true;
        } else {
            shared = true;
        }
    }
    if single && shared {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(path, detail));
    }
    errors
}

/// Checks `volumeMode`, if it is there.
fn validate_volume_mode(spec: &Value, path: &Path) -> Option<FieldError> {
    let mode = spec["volumeMode"].as_str().filter(|mode| !VOLUME_MODES.contains(mode))?;
    Some(FieldError::not_supported(&path.child("volumeMode"), mode, VOLUME_MODES))
}

/// Checks the name of a class, if it is there and not empty.
fn validate_class(spec: &Value, field: &str, path: &Path) -> Errors {
    match spec[field].as_str().unwrap_or_default() {
        "" => Errors::new(),
        name => {
            let messages = crate::names::dns1123_subdomain(name);
            FieldError::invalid_each(&path.child(field), name, &messages)
        }
    }
}

#[cfg(test)]
mod tests;
