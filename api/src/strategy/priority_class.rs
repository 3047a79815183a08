//! PriorityClass. Source: k8s.io/kubernetes/pkg/apis/scheduling/validation.

use serde_json::Value;

use super::{Strategy, set_default};
use crate::field::{Errors, FieldError, Path};

/// Values above are for the system's own classes.
const MAX_VALUE: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";
/// The system's own classes.
const SYSTEM: &[(&str, i64)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
const POLICIES: &[&str] = &["Never", "PreemptLowerPriority"];

#[derive(Debug)]
pub(crate) struct PriorityClass;

impl Strategy for PriorityClass {
    fn counts_generations(&self) -> bool {
        true
    }

    /// What may change (description, default) is nothing that anybody acts on: it stays 1.
    fn counts_update(&self, _new: &Value, _old: &Value) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "value", 0);
        set_default(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn refuses_deletion(&self, name: &str) -> Option<&'static str> {
        let system = SYSTEM.iter().any(|(system, _)| *system == name);
        system.then_some("this is a system priority class and cannot be deleted")
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let value = object["value"].as_i64().unwrap_or(0);
        if name.starts_with(SYSTEM_PREFIX) {
            if let Some(problem) = unlike_system_class(object, name, value) {
                let detail = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {problem}"
                );
                let path = Path::new("metadata").child("name");
                errors.push(FieldError::forbidden(&path, &detail));
            }
        } else if value > MAX_VALUE {
            let detail = format!("maximum allowed value of a user defined priority is {MAX_VALUE}");
            errors.push(FieldError::forbidden(&Path::new("value"), &detail));
        }
        let policy = object["preemptionPolicy"].as_str().unwrap_or_default();
        if !POLICIES.contains(&policy) {
            let path = Path::new("preemptionPolicy");
            errors.push(FieldError::not_supported(&path, policy, POLICIES));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = Errors::new();
        if new["value"] != old["value"] {
            let detail = "may not be changed in an update.";
            errors.push(FieldError::forbidden(&Path::new("value"), detail));
        }
        if new["preemptionPolicy"] != old["preemptionPolicy"] {
            let (path, value) = (Path::new("preemptionPolicy"), new["preemptionPolicy"].clone());
            errors.push(FieldError::invalid(&path, value, "field is immutable"));
        }
        errors
    }
}

/// Why a class with a reserved name is none of the system's own.
fn unlike_system_class(object: &Value, name: &str, value: i64) -> Option<String> {
    let Some((_, wanted)) = SYSTEM.iter().find(|(system, _)| *system == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if *wanted != value {
        return Some(format!("value of {name} PriorityClass must be {wanted}"));
    }
    let default = object["globalDefault"] == true;
    default.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}
