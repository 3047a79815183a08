//! What may change in a pod that exists: almost nothing.

mod gated;
mod status;

use serde_json::{Value, json};

use super::annotations;
use crate::field::{Errors, FieldError, Path};

pub(super) use status::validate as validate_status;

const IMMUTABLE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Checks an update of the main resource.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let path = Path::new("metadata").child("annotations");
    let mut errors = super::validate_pod(new);
    errors.extend(annotations::validate_update(&new["metadata"], &old["metadata"], &path));
    let path = Path::new("spec");
    let (has, had) = (&new["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        if list_of(has, list).len() != list_of(had, list).len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(list), detail));
            return errors;
        }
    }
    errors.extend(deadline(has, had, &path.child("activeDeadlineSeconds")));
    if !additions_only(has, had) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&path.child("tolerations"), detail));
    }
    errors.extend(gates(has, had, &path.child("schedulingGates")));
    if has == had {
        return errors;
    }
    // Put the old values of what may change into the new spec; the rest must then be equal.
    let mut munged = has.clone();
    for list in ["containers", "initContainers"] {
        for n in 0..list_of(had, list).len() {
            munged[list][n]["image"] = had[list][n]["image"].clone();
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        restore(&mut munged, had, field);
    }
    let grace = "terminationGracePeriodSeconds";
    if had[grace].as_i64().is_some_and(|grace| grace < 0) && has[grace] == 1 {
        restore(&mut munged, had, grace);
    }
    if !list_of(had, "schedulingGates").is_empty() {
        errors.extend(gated::validate(&mut munged, had, &path));
    }
    if without_nulls(&munged) != without_nulls(had) {
        errors.push(FieldError::forbidden(&path, IMMUTABLE));
    }
    errors
}

fn list_of<'a>(spec: &'a Value, field: &str) -> &'a [Value] {
    spec[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn restore(spec: &mut Value, had: &Value, field: &str) {
    spec[field] = had[field].clone();
}

/// A deadline may be set or brought forward, never lifted.
fn deadline(has: &Value, had: &Value, path: &Path) -> Errors {
    match (
        had.as_object().map(|_| had["activeDeadlineSeconds"].as_i64()),
        has["activeDeadlineSeconds"].as_i64(),
    ) {
        (Some(Some(old)), Some(new)) if new > old => {
            vec![FieldError::invalid(path, new, "must be less than or equal to previous value")]
        }
        (Some(Some(_)), None) => {
            vec![FieldError::invalid(
                path,
                Value::Null,
                "must not update from a positive integer to nil value",
            )]
        }
        _ => Errors::new(),
    }
}

/// Gates are only ever removed.
fn gates(has: &Value, had: &Value, path: &Path) -> Errors {
    let known = list_of(had, "schedulingGates");
    let new =
        list_of(has, "schedulingGates").iter().enumerate().find(|(_, gate)| !known.contains(gate));
    match new {
        Some((n, gate)) => {
            let detail = "only deletion is allowed, but found new scheduling gate ";
            let name = gate["name"].as_str().unwrap_or_default();
            let path = path.index(n).child("name");
            vec![FieldError::forbidden(&path, &format!("{detail}'{name}'"))]
        }
        None => Errors::new(),
    }
}

/// Every old toleration is still there, apart from how long it lasts.
fn additions_only(has: &Value, had: &Value) -> bool {
    let identity = |t: &Value| json!([t["key"], t["operator"], t["value"], t["effect"]]);
    let new: Vec<Value> = list_of(has, "tolerations").iter().map(identity).collect();
    list_of(had, "tolerations").iter().all(|old| new.contains(&identity(old)))
}

/// Absent, null and empty are the same to Kubernetes.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .filter(|(_, value)| !matches!(value, Value::Null))
                .filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty()))
                .collect(),
        ),
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
