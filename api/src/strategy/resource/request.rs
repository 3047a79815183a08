//! What a claim asks for: devices, and constraints between them.

use serde_json::{Value, json};

use super::{
    EFFECTS, MAX_CONFIGS, each_of, list, name_of, own_text, qualified, set_of, text,
    validate_configuration, validate_label_key, validate_label_name, validate_selectors,
};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{each, object_at, set_default};

const MAX_REQUESTS: usize = 32;
const MAX_ALTERNATIVES: usize = 8;
const MAX_CONSTRAINTS: usize = 32;
const MAX_TOLERATIONS: usize = 16;
const MODES: &[&str] = &["All", "ExactCount"];
const OPERATORS: &[&str] = &["Equal", "Exists"];
const NO_REQUEST: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
const ONE_KIND: &str = "exactly one of `exactly` or `firstAvailable` is required";
const ONE_ATTRIBUTE: &str = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";

/// Fills in a ResourceClaimSpec.
pub(super) fn default(spec: &mut Value) {
    set_default(spec, "devices", json!({}));
    for request in each(spec, "/devices/requests") {
        if let Some(exactly) = object_at(request, "/exactly") {
            default_count(exactly);
        }
        each(request, "/firstAvailable").for_each(default_count);
    }
}

fn default_count(request: &mut Value) {
    if text(request, "allocationMode").is_empty() {
        request["allocationMode"] = "ExactCount".into();
    }
    if request["allocationMode"] == "ExactCount" && request["count"].as_i64().unwrap_or(0) == 0 {
        request["count"] = 1.into();
    }
}

/// Checks a ResourceClaimSpec.
pub(super) fn validate(spec: &Value, path: &Path) -> Errors {
    let (claim, path) = (&spec["devices"], path.child("devices"));
    let mut errors = set_of(claim, "requests", MAX_REQUESTS, &path, validate_request, name_of);
    errors.extend(each_of(claim, "constraints", MAX_CONSTRAINTS, &path, |constraint, path| {
        validate_constraint(claim, constraint, path)
    }));
    errors.extend(each_of(claim, "config", MAX_CONFIGS, &path, |config, path| {
        let mut errors = validate_names(claim, config, path);
        errors.extend(validate_configuration(config, path));
        errors
    }));
    errors
}

fn validate_request(request: &Value, path: &Path) -> Errors {
    let mut errors = validate_label_name(request, "name", path);
    let (exactly, first) = (&request["exactly"], list(request, "firstAvailable"));
    match (exactly.is_null(), first.is_empty()) {
        (true, true) => errors.push(FieldError::required(path, ONE_KIND)),
        (false, false) => {
            let detail = format!("{ONE_KIND}, but multiple fields are set");
            errors.push(FieldError::invalid(path, Value::Null, &detail));
        }
        (false, true) => errors.extend(validate_devices(exactly, &path.child("exactly"))),
        (true, false) => {
            let check = |sub: &Value, path: &Path| {
                let mut errors = validate_label_name(sub, "name", path);
                errors.extend(validate_devices(sub, path));
                errors
            };
            errors.extend(set_of(
                request,
                "firstAvailable",
                MAX_ALTERNATIVES,
                path,
                check,
                name_of,
            ));
        }
    }
    errors
}

/// Which devices, and how many.
fn validate_devices(request: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (class, at) = (text(request, "deviceClassName"), path.child("deviceClassName"));
    if class.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        errors.extend(FieldError::invalid_each(&at, class, &names::dns1123_subdomain(class)));
    }
    errors.extend(validate_selectors(request, path));
    let (mode, count) = (text(request, "allocationMode"), request["count"].as_i64().unwrap_or(0));
    let count_at = path.child("count");
    match mode {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(&count_at, count, detail));
        }
        "ExactCount" if count <= 0 => {
            errors.push(FieldError::invalid(&count_at, count, "must be greater than zero"));
        }
        "All" | "ExactCount" => {}
        other => {
            errors.push(FieldError::not_supported(&path.child("allocationMode"), other, MODES));
        }
    }
    errors.extend(each_of(request, "tolerations", MAX_TOLERATIONS, path, validate_toleration));
    errors
}

pub(super) fn validate_toleration(toleration: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (key, value) = (text(toleration, "key"), text(toleration, "value"));
    if !key.is_empty() {
        errors.extend(validate_label_key(key, &path.child("key")));
    }
    let value_at = path.child("value");
    match text(toleration, "operator") {
        "Exists" if !value.is_empty() => {
            let detail = "must be empty for operator `Exists`";
            errors.push(FieldError::invalid(&value_at, value, detail));
        }
        "Exists" => {}
        "Equal" => {
            errors.extend(FieldError::invalid_each(&value_at, value, &names::label_value(value)));
        }
        "" => errors.push(FieldError::required(&path.child("operator"), "")),
        other => {
            errors.push(FieldError::not_supported(&path.child("operator"), other, OPERATORS));
        }
    }
    let effect = text(toleration, "effect");
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(&path.child("effect"), effect, EFFECTS));
    }
    errors
}

fn validate_constraint(claim: &Value, constraint: &Value, path: &Path) -> Errors {
    let mut errors = validate_names(claim, constraint, path);
    let fields = ["matchAttribute", "distinctAttribute"];
    match fields.map(|field| constraint[field].as_str()) {
        [Some(name), None] => {
            errors.extend(qualified::validate_full(name, &path.child(fields[0])));
        }
        [None, Some(name)] => {
            errors.extend(qualified::validate_full(name, &path.child(fields[1])));
        }
        [None, None] => {
            let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required";
            errors.push(FieldError::required(path, detail));
        }
        [Some(_), Some(_)] => {
            errors.push(FieldError::invalid(path, constraint.clone(), ONE_ATTRIBUTE));
        }
    }
    errors
}

/// The requests that something is about: none stands for all.
pub(super) fn validate_names(claim: &Value, of: &Value, path: &Path) -> Errors {
    let check = |name: &Value, path: &Path| validate_name(claim, &own_text(name), path);
    set_of(of, "requests", MAX_REQUESTS, path, check, own_text)
}

/// Checks a reference to a request of a claim, `request[/subrequest]`.
pub(super) fn validate_name(claim: &Value, name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() <= 2 {
        for part in &parts {
            errors.extend(FieldError::invalid_each(path, part, &names::dns1123_label(part)));
        }
    }
    let named = |items: &[Value], name: &str| items.iter().position(|item| item["name"] == name);
    let requests = list(claim, "requests");
    let found = match parts[..] {
        [request] => named(requests, request).is_some(),
        [request, sub] => named(requests, request)
            .is_some_and(|n| named(list(&requests[n], "firstAvailable"), sub).is_some()),
        _ => false,
    };
    if !found {
        errors.push(FieldError::invalid(path, name, NO_REQUEST));
    }
    errors
}
