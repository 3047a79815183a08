//! DeviceClass: devices of a kind, and how they are set up.

use serde_json::{Value, json};

use super::{MAX_CONFIGS, each_of, validate_configuration, validate_selectors};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::core::is_extended_resource;
use crate::strategy::{Strategy, set_default};

#[derive(Debug)]
pub(crate) struct DeviceClass;

impl Strategy for DeviceClass {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = validate_selectors(spec, &path);
        errors.extend(each_of(spec, "config", MAX_CONFIGS, &path, validate_configuration));
        if let Some(name) = spec["extendedResourceName"].as_str()
            && !is_extended_resource(name)
        {
            let path = path.child("extendedResourceName");
            let detail = "must be a valid extended resource name";
            errors.push(FieldError::invalid(&path, name, detail));
        }
        errors
    }
}
