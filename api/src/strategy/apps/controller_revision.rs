//! ControllerRevision: an immutable snapshot of a template, kept for a rollback.

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::strategy::{Strategy, bounds, set_default};

#[derive(Debug)]
pub(crate) struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn default(&self, object: &mut Value) {
        set_default(object, "revision", 0);
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        if object["data"].is_null() {
            errors.push(FieldError::required(&Path::new("data"), "data is mandatory"));
        }
        errors.extend(bounds::not_negative(&object["revision"], &Path::new("revision")));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        errors.extend(bounds::immutable(&new["data"], &old["data"], &Path::new("data")));
        errors
    }
}
