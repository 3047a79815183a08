//! StorageClass. Source: k8s.io/kubernetes/pkg/apis/storage/validation.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::{IMMUTABLE, text, validate_parameters, validate_provisioner};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::warnings::deprecated_label;
use crate::strategy::{Strategy, set_default};

const RECLAIM_POLICIES: &[&str] = &["Delete", "Retain"];
const BINDING_MODES: &[&str] = &["Immediate", "WaitForFirstConsumer"];

#[derive(Debug)]
pub(crate) struct StorageClass;

impl Strategy for StorageClass {
    fn default(&self, object: &mut Value) {
        set_default(object, "reclaimPolicy", "Delete");
        set_default(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors =
            validate_provisioner(text(object, "provisioner"), &Path::new("provisioner"));
        errors.extend(validate_parameters(&object["parameters"], &Path::new("parameters")));
        let policy = text(object, "reclaimPolicy");
        if !policy.is_empty() && !RECLAIM_POLICIES.contains(&policy) {
            let path = Path::new("reclaimPolicy");
            errors.push(FieldError::not_supported(&path, policy, RECLAIM_POLICIES));
        }
        let mode = text(object, "volumeBindingMode");
        if !BINDING_MODES.contains(&mode) {
            let path = Path::new("volumeBindingMode");
            errors.push(FieldError::not_supported(&path, mode, BINDING_MODES));
        }
        errors.extend(validate_topologies(&object["allowedTopologies"]));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = Errors::new();
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if new[field] != old[field] {
                let detail = format!("updates to {field} are forbidden.");
                errors.push(FieldError::forbidden(&Path::new(field), &detail));
            }
        }
        let mode = &new["volumeBindingMode"];
        if *mode != old["volumeBindingMode"] {
            let path = Path::new("volumeBindingMode");
            errors.push(FieldError::invalid(&path, mode.clone(), IMMUTABLE));
        }
        errors
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut told = Vec::new();
        for (n, term) in object["allowedTopologies"].as_array().into_iter().flatten().enumerate() {
            let path = Path::new("allowedTopologies").index(n).child("matchLabelExpressions");
            let requirements = term["matchLabelExpressions"].as_array().into_iter().flatten();
            for (n, requirement) in requirements.enumerate() {
                if let Some(message) = deprecated_label(text(requirement, "key")) {
                    told.push(format!("{}: {message}", path.index(n).child("key")));
                }
            }
        }
        told
    }
}

/// Terms of labels with their permitted values, none of them twice.
fn validate_topologies(terms: &Value) -> Errors {
    let mut errors = Errors::new();
    let mut seen: HashSet<BTreeMap<&str, BTreeSet<&str>>> = HashSet::new();
    for (n, term) in terms.as_array().into_iter().flatten().enumerate() {
        let path = Path::new("allowedTopologies").index(n).child("matchLabelExpressions");
        let mut by_key = BTreeMap::new();
        let requirements = term["matchLabelExpressions"].as_array().into_iter().flatten();
        for (n, requirement) in requirements.enumerate() {
            let path = path.index(n);
            let (key, key_path) = (text(requirement, "key"), path.child("key"));
            let values = requirement["values"].as_array().map(Vec::as_slice).unwrap_or_default();
            if values.is_empty() {
                errors.push(FieldError::required(&path.child("values"), ""));
            }
            let mut set = BTreeSet::new();
            for (n, value) in values.iter().filter_map(Value::as_str).enumerate() {
                if !set.insert(value) {
                    errors.push(FieldError::duplicate(&path.child("values").index(n), value));
                }
            }
            errors.extend(FieldError::invalid_each(&key_path, key, &names::qualified_name(key)));
            if by_key.insert(key, set).is_some() {
                errors.push(FieldError::duplicate(&key_path, key));
            }
        }
        if !seen.insert(by_key) {
            errors.push(FieldError::duplicate(&path, ""));
        }
    }
    errors
}
