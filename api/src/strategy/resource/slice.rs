//! ResourceSlice: devices that a driver offers, on a node or several.

use serde_json::{Value, json};

use super::device::{self, validate_counters};
use super::{
    list, name_of, set_of, validate_driver, validate_label_name, validate_nodes, validate_pool_name,
};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::bounds::immutable;
use crate::strategy::{Strategy, each, set_default};

const MAX_DEVICES: usize = 128;
/// When devices have taints, consume counters or have lists as attributes.
const MAX_ADVANCED_DEVICES: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
const MAX_COUNTERS: usize = 32;
const ONE_PLACE: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
const UNSET_OR_TRUE: &str = "must be either unset or set to true";

#[derive(Debug)]
pub(crate) struct ResourceSlice;

impl Strategy for ResourceSlice {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        for device in each(object, "/spec/devices") {
            device::default(device);
        }
    }

    /// A taint counts from when it came.
    fn prepare_for_create(&self, object: &mut Value) {
        let now = object["metadata"]["creationTimestamp"].clone();
        for device in each(object, "/spec/devices") {
            for taint in each(device, "/taints") {
                set_default(taint, "timeAdded", now.clone());
            }
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = validate_driver(spec, &path);
        errors.extend(validate_pool(&spec["pool"], &path.child("pool")));
        errors.extend(validate_place(spec, &path));
        if !spec["sharedCounters"].is_null() && !spec["devices"].is_null() {
            let detail = "only one of `sharedCounters` or `devices` is allowed";
            errors.push(FieldError::invalid(&path, "", detail));
        }
        let advanced = list(spec, "devices").iter().any(device::is_advanced);
        let most = if advanced { MAX_ADVANCED_DEVICES } else { MAX_DEVICES };
        let placed = spec["perDeviceNodeSelection"] == true;
        let check = |device: &Value, path: &Path| device::validate(device, placed, path);
        errors.extend(set_of(spec, "devices", most, &path, check, name_of));
        let check = |counters: &Value, path: &Path| {
            let mut errors = validate_label_name(counters, "name", path);
            errors.extend(validate_counters(counters, MAX_COUNTERS, path));
            errors
        };
        errors.extend(set_of(spec, "sharedCounters", MAX_COUNTER_SETS, &path, check, name_of));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        for pointer in ["/spec/pool/name", "/spec/driver", "/spec/nodeName"] {
            let [has, had] = [new, old].map(|o| o.pointer(pointer).unwrap_or(&Value::Null));
            let path = pointer.trim_start_matches('/').replace('/', ".");
            errors.extend(immutable(has, had, &Path::new(&path)));
        }
        errors
    }
}

fn validate_pool(pool: &Value, path: &Path) -> Errors {
    let mut errors = validate_pool_name(pool, "name", path);
    let number = |field: &str| pool[field].as_i64().unwrap_or(0);
    if number("resourceSliceCount") <= 0 {
        let at = path.child("resourceSliceCount");
        let detail = "must be greater than zero";
        errors.push(FieldError::invalid(&at, number("resourceSliceCount"), detail));
    }
    if number("generation") < 0 {
        let detail = "must be greater than or equal to zero";
        let at = path.child("generation");
        errors.push(FieldError::invalid(&at, number("generation"), detail));
    }
    errors
}

/// Where the devices of the slice are.
fn validate_place(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut set = Vec::new();
    if let Some(name) = spec["nodeName"].as_str() {
        let at = path.child("nodeName");
        if name.is_empty() {
            let detail = "must be either unset or set to a non-empty string";
            errors.push(FieldError::invalid(&at, name, detail));
        } else {
            set.push("`nodeName`");
            errors.extend(FieldError::invalid_each(&at, name, &names::dns1123_subdomain(name)));
        }
    }
    if !spec["nodeSelector"].is_null() {
        set.push("`nodeSelector`");
        let at = path.child("nodeSelector");
        errors.extend(validate_nodes(&spec["nodeSelector"], &at));
        if list(&spec["nodeSelector"], "nodeSelectorTerms").len() != 1 {
            let terms = spec["nodeSelector"]["nodeSelectorTerms"].clone();
            let detail = "must have exactly one node selector term";
            errors.push(FieldError::invalid(&at.child("nodeSelectorTerms"), terms, detail));
        }
    }
    for (field, shown) in
        [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        match spec[field].as_bool() {
            Some(true) => set.push(shown),
            Some(false) => {
                errors.push(FieldError::invalid(&path.child(field), false, UNSET_OR_TRUE));
            }
            None => {}
        }
    }
    match set.len() {
        0 => errors.push(FieldError::required(path, ONE_PLACE)),
        1 => {}
        _ => {
            let detail = format!("{ONE_PLACE}, but multiple fields are set");
            let shown = format!("{{{}}}", set.join(", "));
            errors.push(FieldError::invalid(path, shown, &detail));
        }
    }
    errors
}
