//! What holds for many fields of many kinds: numbers that have bounds, fields that stay.
//!
//! Source: k8s.io/apimachinery/pkg/api/validation.

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};

const NEGATIVE: &str = "must be greater than or equal to 0";

/// Refuses a number below 0; absent numbers are fine.
pub(crate) fn not_negative(value: &Value, path: &Path) -> Option<FieldError> {
    let n = value.as_i64().filter(|n| *n < 0)?;
    Some(FieldError::invalid(path, n, NEGATIVE))
}

/// Refuses numbers below 0 among fields of an object.
pub(crate) fn none_negative(object: &Value, path: &Path, fields: &[&str]) -> Errors {
    fields.iter().filter_map(|field| not_negative(&object[*field], &path.child(field))).collect()
}

/// Refuses numbers greater than that of the field `most`; absent ones count as 0.
pub(crate) fn at_most(
    object: &Value,
    path: &Path,
    fields: &[&str],
    most: &str,
    detail: &str,
) -> Errors {
    let number = |field: &str| object[field].as_i64().unwrap_or(0);
    fields
        .iter()
        .filter(|field| number(field) > number(most))
        .map(|field| FieldError::invalid(&path.child(field), number(field), detail))
        .collect()
}

/// Refuses a counter that went backwards.
pub(crate) fn not_decremented(
    new: &Value,
    old: &Value,
    path: &Path,
    field: &str,
) -> Option<FieldError> {
    let number = |object: &Value| object[field].as_i64().unwrap_or(0);
    (number(new) < number(old))
        .then(|| FieldError::invalid(&path.child(field), number(new), "cannot be decremented"))
}

/// Refuses a change.
pub(crate) fn immutable(new: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    (new != old).then(|| FieldError::invalid(path, new.clone(), "field is immutable"))
}
