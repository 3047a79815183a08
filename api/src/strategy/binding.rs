//! Binding: posted to a pod to give it a node, never stored. [`crate::pod::bind`] carries it out.

use serde_json::Value;

use super::Strategy;
use crate::field::{Errors, FieldError, Path};

#[derive(Debug)]
pub(crate) struct Binding;

impl Strategy for Binding {
    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let (target, path) = (&object["target"], Path::new("target"));
        let kind = target["kind"].as_str().unwrap_or_default();
        if !matches!(kind, "" | "Node") {
            errors.push(FieldError::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
        }
        if target["name"].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        errors
    }
}
