//! VolumeAttributesClass. Source: k8s.io/kubernetes/pkg/apis/storage/validation.

use serde_json::Value;

use super::{text, validate_parameters, validate_provisioner};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::{Strategy, core};

/// Keeps a class while volumes name it; taken away by the controller that watches them.
const PROTECTION: &str = "kubernetes.io/vac-protection";

#[derive(Debug)]
pub(crate) struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn prepare_for_create(&self, object: &mut Value) {
        core::protect(object, PROTECTION);
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = validate_provisioner(text(object, "driverName"), &Path::new("driverName"));
        let (parameters, path) = (&object["parameters"], Path::new("parameters"));
        errors.extend(validate_parameters(parameters, &path));
        if parameters.as_object().is_none_or(serde_json::Map::is_empty) {
            errors.push(FieldError::required(&path, "must contain at least one key/value pair"));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = Errors::new();
        for field in ["driverName", "parameters"] {
            if new[field] != old[field] {
                let detail = format!("updates to {field} are forbidden.");
                errors.push(FieldError::forbidden(&Path::new(field), &detail));
            }
        }
        errors.extend(self.validate(new));
        errors
    }
}
