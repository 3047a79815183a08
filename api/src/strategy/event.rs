//! Event (`v1`), also the form in which events of both groups are stored.

use serde_json::{Value, json};

use super::{Strategy, set_default};
use crate::field::{Errors, FieldError, Path};

#[derive(Debug)]
pub(crate) struct Event;

impl Strategy for Event {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "source", json!({}));
        set_default(object, "involvedObject", json!({}));
        for field in ["reportingComponent", "reportingInstance"] {
            set_default(object, field, "");
        }
        // Kubernetes writes these three even when empty.
        for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
            set_default(object, field, Value::Null);
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let involved = object["involvedObject"]["namespace"].as_str().unwrap_or_default();
        // Events about cluster-scoped objects live in "default" (or kube-system).
        let fits = if involved.is_empty() {
            matches!(namespace, "" | "default" | "kube-system")
        } else {
            involved == namespace
        };
        if !fits {
            let path = Path::new("involvedObject").child("namespace");
            errors.push(FieldError::invalid(&path, involved, "does not match event.namespace"));
        }
        errors
    }
}
