//! Conditions in the form of `meta/v1`.
//!
//! Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation (ValidateConditions).

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;

const STATUSES: &[&str] = &["False", "True", "Unknown"];
const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;

/// Checks the list of conditions at `path`.
pub(super) fn validate(conditions: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = HashSet::new();
    for (n, condition) in conditions.as_array().into_iter().flatten().enumerate() {
        let path = path.index(n);
        let text = |field: &str| condition[field].as_str().unwrap_or_default();
        let (kind, reason) = (text("type"), text("reason"));
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
        let messages = names::qualified_name(kind);
        errors.extend(FieldError::invalid_each(&path.child("type"), kind, &messages));
        if !STATUSES.contains(&text("status")) {
            errors.push(FieldError::not_supported(&path.child("status"), text("status"), STATUSES));
        }
        if let Some(generation) = condition["observedGeneration"].as_i64().filter(|n| *n < 0) {
            let detail = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(&path.child("observedGeneration"), generation, detail));
        }
        if !condition["lastTransitionTime"].is_string() {
            errors.push(FieldError::required(&path.child("lastTransitionTime"), "must be set"));
        }
        let at = path.child("reason");
        if reason.is_empty() {
            errors.push(FieldError::required(&at, "must be set"));
        } else {
            errors.extend(FieldError::invalid_each(&at, reason, &names::condition_reason(reason)));
            if reason.len() > MAX_REASON {
                errors.push(FieldError::too_long(&at, MAX_REASON));
            }
        }
        if text("message").len() > MAX_MESSAGE {
            errors.push(FieldError::too_long(&path.child("message"), MAX_MESSAGE));
        }
    }
    errors
}
