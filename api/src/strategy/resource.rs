//! Dynamic resource allocation: devices of nodes, and claims to them.
//!
//! Source: k8s.io/kubernetes/pkg/apis/resource/validation.

mod allocation;
mod capacity;
mod claim;
mod device;
mod device_class;
mod qualified;
mod request;
mod slice;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use k8s_openapi::api::core::v1::NodeSelector;
use serde_json::Value;

use crate::cel;
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::pod::validate_node_selector;
use crate::strategy::storage::validate_driver_name;
use crate::strategy::typed;

pub(crate) use claim::{ResourceClaim, ResourceClaimTemplate};
pub(crate) use device_class::DeviceClass;
pub(crate) use slice::ResourceSlice;

const MAX_SELECTORS: usize = 32;
const MAX_CONFIGS: usize = 32;
/// Bytes of an expression, and of a driver's parameters.
const MAX_EXPRESSION: usize = 10 * 1024;
const MAX_PARAMETERS: usize = 10 * 1024;
const MAX_BINDING_CONDITIONS: usize = 4;
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

fn list<'a>(map: &'a Value, field: &str) -> &'a [Value] {
    map[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(map: &Value, field: &str) -> Vec<String> {
    list(map, field).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Checks each item of a list, unless there are too many of them.
fn each_of(
    map: &Value,
    field: &str,
    limit: usize,
    path: &Path,
    check: impl Fn(&Value, &Path) -> Errors,
) -> Errors {
    let (items, path) = (list(map, field), path.child(field));
    if items.len() > limit {
        return vec![FieldError::too_many(&path, items.len(), limit)];
    }
    items.iter().enumerate().flat_map(|(n, item)| check(item, &path.index(n))).collect()
}

/// Like [`each_of`], of items that must differ in their key.
fn set_of(
    map: &Value,
    field: &str,
    limit: usize,
    path: &Path,
    check: impl Fn(&Value, &Path) -> Errors,
    key: impl Fn(&Value) -> String,
) -> Errors {
    let mut errors = each_of(map, field, limit, path, check);
    if list(map, field).len() <= limit {
        let mut seen = HashSet::new();
        for (n, item) in list(map, field).iter().enumerate() {
            let key = key(item);
            if !seen.insert(key.clone()) {
                errors.push(FieldError::duplicate(&path.child(field).index(n), key));
            }
        }
    }
    errors
}

fn name_of(item: &Value) -> String {
    text(item, "name").to_owned()
}

fn own_text(item: &Value) -> String {
    item.as_str().unwrap_or_default().to_owned()
}

/// The name of a device, a request or a counter.
fn validate_label_name(map: &Value, field: &str, path: &Path) -> Errors {
    let name = text(map, field);
    FieldError::invalid_each(&path.child(field), name, &names::dns1123_label(name))
}

fn validate_driver(map: &Value, path: &Path) -> Errors {
    validate_driver_name(text(map, "driver"), &path.child("driver"))
}

/// The name of a pool: subdomains separated by slashes.
fn validate_pool_name(map: &Value, field: &str, path: &Path) -> Errors {
    let (name, path) = (text(map, field), path.child(field));
    if name.is_empty() {
        return vec![FieldError::required(&path, "")];
    }
    let mut errors = Errors::new();
    if name.len() > 253 {
        errors.push(FieldError::too_long(&path, 253));
    }
    for part in name.split('/') {
        errors.extend(FieldError::invalid_each(&path, part, &names::dns1123_subdomain(part)));
    }
    errors
}

/// The key of a taint, of a toleration or of a condition.
fn validate_label_key(key: &str, path: &Path) -> Errors {
    FieldError::invalid_each(path, key, &names::qualified_name(key))
}

fn validate_nodes(selector: &Value, path: &Path) -> Errors {
    match typed::<NodeSelector>(selector) {
        Ok(selector) => validate_node_selector(&selector, path),
        Err(errors) => errors,
    }
}

fn validate_selectors(map: &Value, path: &Path) -> Errors {
    each_of(map, "selectors", MAX_SELECTORS, path, |selector, path| {
        let path = path.child("cel");
        if selector["cel"].is_null() {
            return vec![FieldError::required(&path, "")];
        }
        let (expression, path) = (text(&selector["cel"], "expression"), path.child("expression"));
        if expression.len() > MAX_EXPRESSION {
            return vec![FieldError::too_long(&path, MAX_EXPRESSION)];
        }
        match cel::Selector::compile(expression) {
            Ok(_) => Errors::new(),
            Err(problem) => vec![FieldError::invalid(&path, expression, &problem.to_string())],
        }
    })
}

/// Parameters for a driver, which only it understands.
fn validate_configuration(config: &Value, path: &Path) -> Errors {
    let (opaque, path) = (&config["opaque"], path.child("opaque"));
    if opaque.is_null() {
        return vec![FieldError::required(&path, "")];
    }
    let mut errors = validate_driver(opaque, &path);
    let (parameters, at) = (&opaque["parameters"], path.child("parameters"));
    errors.extend(validate_raw(parameters, &at));
    errors
}

/// Some JSON object.
fn validate_raw(raw: &Value, path: &Path) -> Option<FieldError> {
    if raw.is_null() {
        return Some(FieldError::required(path, ""));
    }
    if raw.to_string().len() > MAX_PARAMETERS {
        return Some(FieldError::too_long(path, MAX_PARAMETERS));
    }
    let detail = "must be a valid JSON object";
    (!raw.is_object()).then(|| FieldError::invalid(path, "<value omitted>", detail))
}

/// What must be, and what must not be, before a pod may use a device.
fn validate_binding(of: &Value, path: &Path) -> Errors {
    const FIELDS: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];
    let mut errors = Errors::new();
    for field in FIELDS {
        let check = |item: &Value, path: &Path| validate_label_key(&own_text(item), path);
        errors.extend(set_of(of, field, MAX_BINDING_CONDITIONS, path, check, own_text));
    }
    let [good, bad] = FIELDS.map(|field| texts(of, field));
    for (n, condition) in bad.iter().enumerate().filter(|(_, bad)| good.contains(*bad)) {
        let detail = "bindingFailureConditions must not overlap with bindingConditions";
        let at = path.child(FIELDS[1]).index(n);
        errors.push(FieldError::invalid(&at, condition.as_str(), detail));
    }
    for (missing, other) in [(0, 1), (1, 0)] {
        let lists = [&good, &bad];
        if lists[missing].is_empty() && !lists[other].is_empty() {
            let detail = format!("{} are required to use {}", FIELDS[missing], FIELDS[other]);
            let value = of[FIELDS[missing]].clone();
            errors.push(FieldError::invalid(&path.child(FIELDS[missing]), value, &detail));
        }
    }
    errors
}
