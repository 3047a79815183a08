//! CSINode: the drivers of a node. Source: k8s.io/kubernetes/pkg/apis/storage/validation.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{IMMUTABLE, text, validate_driver_name};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{Strategy, set_default};

/// Bytes of the ID that a driver gives a node.
const MAX_NODE_ID: usize = 256;

#[derive(Debug)]
pub(crate) struct CsiNode;

impl Strategy for CsiNode {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        // Kubernetes writes the list even when there is none.
        set_default(&mut object["spec"], "drivers", Value::Null);
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let mut seen = HashSet::new();
        for (n, driver) in drivers(object).enumerate() {
            let path = path().index(n);
            errors.extend(validate_driver(driver, &path));
            if !seen.insert(text(driver, "name")) {
                errors.push(FieldError::duplicate(&path.child("name"), text(driver, "name")));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        // How many volumes a driver can attach may change; what identifies it may not.
        let identity = |driver: &Value| {
            let mut map = driver.as_object().cloned().unwrap_or_default();
            map.remove("allocatable");
            map
        };
        for driver in drivers(new) {
            let had = drivers(old).find(|had| had["name"] == driver["name"]);
            if had.is_some_and(|had| identity(had) != identity(driver)) {
                let shown = Value::Object(identity(driver));
                errors.push(FieldError::invalid(&path(), shown, IMMUTABLE));
            }
        }
        errors
    }
}

fn path() -> Path {
    Path::new("spec").child("drivers")
}

fn drivers(object: &Value) -> impl Iterator<Item = &Value> {
    object["spec"]["drivers"].as_array().into_iter().flatten()
}

fn validate_driver(driver: &Value, path: &Path) -> Errors {
    let mut errors = validate_driver_name(text(driver, "name"), &path.child("name"));
    let (id, at) = (text(driver, "nodeID"), path.child("nodeID"));
    if id.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if id.len() > MAX_NODE_ID {
        let detail = format!("must be {MAX_NODE_ID} characters or less");
        errors.push(FieldError::invalid(&at, id, &detail));
    }
    if let Some(count) = driver["allocatable"]["count"].as_i64().filter(|count| *count < 0) {
        let path = path.child("allocatable").child("count");
        errors.push(FieldError::invalid(&path, count, "must be greater than or equal to 0"));
    }
    let mut keys = HashSet::new();
    let all = driver["topologyKeys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for key in all {
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(path, key));
        }
        errors.extend(FieldError::invalid_each(path, key, &names::qualified_name(key)));
    }
    errors
}
