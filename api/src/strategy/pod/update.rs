//! What may change in a pod that exists: almost nothing.

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::super::typed;
use super::validate_spec;
use crate::field::{Errors, FieldError, Path};

const IMMUTABLE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Checks an update of the main resource.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let pod: core::Pod = match typed(new) {
        Ok(pod) => pod,
        Err(errors) => return errors,
    };
    let path = Path::new("spec");
    let mut errors = validate_spec(&pod.spec.unwrap_or_default(), &path);
    let (has, had) = (&new["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        if list_of(has, list).len() != list_of(had, list).len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(list), detail));
            return errors;
        }
    }
    errors.extend(deadline(has, had, &path.child("activeDeadlineSeconds")));
    errors.extend(gates(has, had, &path.child("schedulingGates")));
    // Put the old values of what may change into the new spec; the rest must then be equal.
    let mut munged = has.clone();
    for list in ["containers", "initContainers"] {
        for n in 0..list_of(had, list).len() {
            munged[list][n]["image"] = had[list][n]["image"].clone();
        }
    }
    restore(&mut munged, had, "activeDeadlineSeconds");
    restore(&mut munged, had, "schedulingGates");
    if additions_only(has, had) {
        restore(&mut munged, had, "tolerations");
    }
    let grace = "terminationGracePeriodSeconds";
    if had[grace].as_i64().is_some_and(|grace| grace < 0) && has[grace] == 1 {
        restore(&mut munged, had, grace);
    }
    if without_nulls(&munged) != without_nulls(had) {
        errors.push(FieldError::forbidden(&path, IMMUTABLE));
    }
    errors
}

/// Checks an update of `/status`.
pub(super) fn validate_status(new: &Value, old: &Value) -> Errors {
    if let Err(errors) = typed::<core::Pod>(new) {
        return errors;
    }
    let mut errors = Errors::new();
    let path = Path::new("status");
    let (has, had) = (&new["status"], &old["status"]);
    if !had["qosClass"].is_null() && has["qosClass"] != had["qosClass"] {
        let value = has["qosClass"].clone();
        errors.push(FieldError::invalid(&path.child("qosClass"), value, "field is immutable"));
    }
    if let Some(name) = has["nominatedNodeName"].as_str().filter(|name| !name.is_empty()) {
        let path = path.child("nominatedNodeName");
        let messages = crate::names::dns1123_subdomain(name);
        errors.extend(messages.iter().map(|m| FieldError::invalid(&path, name, m)));
    }
    let phases = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
    let phase = has["phase"].as_str().unwrap_or_default();
    if !phase.is_empty() && !phases.contains(&phase) {
        errors.push(FieldError::not_supported(&path.child("phase"), phase, &phases));
    }
    for (n, ip) in list_of(has, "podIPs").iter().enumerate() {
        let text = ip["ip"].as_str().unwrap_or_default();
        if text.parse::<std::net::IpAddr>().is_err() {
            let path = path.child("podIPs").index(n);
            errors.push(FieldError::invalid(
                &path,
                text,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ));
        }
    }
    // A container that ended for good under its restart policy cannot come back.
    let policy = old["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    for (n, status) in list_of(had, "containerStatuses").iter().enumerate() {
        let exit = &status["state"]["terminated"];
        let ended = exit.is_object()
            && (policy == "Never" || (policy == "OnFailure" && exit["exitCode"] == 0));
        let now = list_of(has, "containerStatuses").iter().find(|s| s["name"] == status["name"]);
        if ended && now.is_some_and(|now| !now["state"]["terminated"].is_object()) {
            let path = path.child("containerStatuses").index(n).child("state");
            errors.push(FieldError::forbidden(
                &path,
                "may not be transitioned to non-terminated state",
            ));
        }
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
            vec![FieldError::forbidden(&path.index(n), &format!("{detail}'{name}'"))]
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
