//! A device of a ResourceSlice.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::{
    EFFECTS, capacity, each_of, list, qualified, set_of, text, validate_binding,
    validate_label_key, validate_label_name, validate_nodes,
};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::set_default;

/// Attributes and capacities of a device together.
const MAX_PROPERTIES: usize = 32;
const MAX_VALUE: usize = 64;
const MAX_TAINTS: usize = 16;
const MAX_CONSUMPTIONS: usize = 2;
const MAX_COUNTERS: usize = 32;
const SCALARS: [&str; 4] = ["bool", "int", "string", "version"];
const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];
const NO_VERSION: &str = "must be a string compatible with semver.org spec 2.0.0";
const PLACED: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
const NOT_PLACED: &str = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

/// Three numbers, perhaps a pre-release and a build: semver.org.
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"(0|[1-9]\d*)";
    let pre = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)";
    let build = r"[0-9a-zA-Z-]+";
    let full =
        format!(r"^{number}\.{number}\.{number}(-{pre}(\.{pre})*)?(\+{build}(\.{build})*)?$");
    Regex::new(&full).expect("a constant that compiles")
});

fn entries<'a>(map: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    map[field].as_object().into_iter().flatten()
}

fn count(map: &Value, field: &str) -> usize {
    map[field].as_object().map_or(0, Map::len)
}

pub(super) fn default(device: &mut Value) {
    let mappings = device.get_mut("nodeAllocatableResourceMappings");
    for mapping in mappings.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        set_default(mapping, "allocationMultiplier", "1");
    }
}

/// Whether the device has what makes devices expensive to compare.
pub(super) fn is_advanced(device: &Value) -> bool {
    let lists = |value: &Value| LISTS.iter().any(|field| !value[*field].is_null());
    !list(device, "taints").is_empty()
        || !list(device, "consumesCounters").is_empty()
        || entries(device, "attributes").any(|(_, value)| lists(value))
}

/// Checks a device; `placed` when each device of the slice says on which nodes it is.
pub(super) fn validate(device: &Value, placed: bool, path: &Path) -> Errors {
    let mut errors = validate_label_name(device, "name", path);
    let properties = count(device, "attributes") + count(device, "capacity");
    if properties > MAX_PROPERTIES {
        let detail = format!(
            "the total number of attributes and capacities must not exceed {MAX_PROPERTIES}"
        );
        errors.push(FieldError::invalid(path, properties, &detail));
    }
    let at = path.child("attributes");
    for (name, attribute) in entries(device, "attributes") {
        errors.extend(qualified::validate(name, &at));
        errors.extend(validate_attribute(attribute, &at.key(name)));
    }
    let shared = device["allowMultipleAllocations"] == true;
    let at = path.child("capacity");
    for (name, value) in entries(device, "capacity") {
        errors.extend(qualified::validate(name, &at));
        errors.extend(capacity::validate(value, shared, &at.key(name)));
    }
    errors.extend(each_of(device, "taints", MAX_TAINTS, path, validate_taint));
    let check = |consumption: &Value, path: &Path| {
        let mut errors = validate_label_name(consumption, "counterSet", path);
        errors.extend(validate_counters(consumption, MAX_COUNTERS, path));
        errors
    };
    let set = |consumption: &Value| text(consumption, "counterSet").to_owned();
    errors.extend(set_of(device, "consumesCounters", MAX_CONSUMPTIONS, path, check, set));
    errors.extend(validate_place(device, placed, path));
    errors.extend(validate_binding(device, path));
    errors
}

/// Checks the counters of a set, or what a device consumes of them.
pub(super) fn validate_counters(of: &Value, limit: usize, path: &Path) -> Errors {
    let (total, path) = (count(of, "counters"), path.child("counters"));
    if total == 0 {
        return vec![FieldError::required(&path, "")];
    }
    if total > limit {
        return vec![FieldError::too_many(&path, total, limit)];
    }
    entries(of, "counters")
        .flat_map(|(name, _)| FieldError::invalid_each(&path, name, &names::dns1123_label(name)))
        .collect()
}

fn validate_attribute(attribute: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let set = |field: &&&str| !attribute[**field].is_null();
    for field in LISTS.iter().filter(set) {
        let (items, at) = (list(attribute, field), path.child(field));
        for (n, item) in items.iter().enumerate() {
            errors.extend(validate_text(item, *field == "versions", &at.index(n)));
        }
    }
    for field in SCALARS {
        errors.extend(validate_text(&attribute[field], field == "version", &path.child(field)));
    }
    let detail = "exactly one value must be specified";
    match SCALARS.iter().chain(&LISTS).filter(set).count() {
        0 => errors.push(FieldError::invalid(path, "", detail)),
        1 => {}
        _ => errors.push(FieldError::invalid(path, attribute.clone(), detail)),
    }
    errors
}

fn validate_text(value: &Value, version: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(text) = value.as_str() else { return errors };
    if version && !VERSION.is_match(text) {
        errors.push(FieldError::invalid(path, text, NO_VERSION));
    }
    if text.len() > MAX_VALUE {
        errors.push(FieldError::too_long(path, MAX_VALUE));
    }
    errors
}

fn validate_taint(taint: &Value, path: &Path) -> Errors {
    let mut errors = validate_label_key(text(taint, "key"), &path.child("key"));
    let value = text(taint, "value");
    let messages = names::label_value(value);
    errors.extend(FieldError::invalid_each(&path.child("value"), value, &messages));
    let (effect, at) = (text(taint, "effect"), path.child("effect"));
    if effect.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(&at, effect, EFFECTS));
    }
    errors
}

fn validate_place(device: &Value, placed: bool, path: &Path) -> Errors {
    const FIELDS: [&str; 3] = ["nodeName", "nodeSelector", "allNodes"];
    let mut errors = Errors::new();
    if !placed {
        if FIELDS.iter().any(|field| !device[*field].is_null()) {
            errors.push(FieldError::invalid(path, Value::Null, NOT_PLACED));
        }
        return errors;
    }
    let mut set = Vec::new();
    match device["nodeName"].as_str() {
        None => {}
        Some("") => {
            let detail = "must not be empty";
            errors.push(FieldError::invalid(&path.child("nodeName"), "", detail));
        }
        Some(name) => {
            set.push("`nodeName`");
            let at = path.child("nodeName");
            errors.extend(FieldError::invalid_each(&at, name, &names::dns1123_subdomain(name)));
        }
    }
    if !device["nodeSelector"].is_null() {
        set.push("`nodeSelector`");
        errors.extend(validate_nodes(&device["nodeSelector"], &path.child("nodeSelector")));
    }
    match device["allNodes"].as_bool() {
        Some(true) => set.push("`allNodes`"),
        Some(false) => {
            let detail = "must be either unset or set to true";
            errors.push(FieldError::invalid(&path.child("allNodes"), false, detail));
        }
        None => {}
    }
    match set.len() {
        0 => errors.push(FieldError::required(path, PLACED)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            errors.push(FieldError::invalid(path, shown, PLACED));
        }
    }
    errors
}
