//! Lease: heartbeats and leader election.

use serde_json::{Value, json};

use super::{Strategy, set_default};
use crate::field::{Errors, FieldError, Path};

#[derive(Debug)]
pub(crate) struct Lease;

impl Strategy for Lease {
    fn creates_on_update(&self) -> bool {
        true
    }

    /// Two holders must not both believe that they took the lease.
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        if let Some(n) = spec["leaseDurationSeconds"].as_i64().filter(|n| *n <= 0) {
            errors.push(FieldError::invalid(
                &path.child("leaseDurationSeconds"),
                n,
                "must be greater than 0",
            ));
        }
        if let Some(n) = spec["leaseTransitions"].as_i64().filter(|n| *n < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path.child("leaseTransitions"), n, detail));
        }
        errors
    }
}
