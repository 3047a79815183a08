//! Objects within objects (`x-kubernetes-embedded-resource`): they have a version, a kind and
//! metadata that make sense.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta/validation.go.

use serde_json::Value;

use super::Schema;
use super::walk::walk;
use crate::field::{Errors, FieldError, Path};
use crate::meta;
use crate::names::{self, NameRule};

/// An `apiVersion` that stands for those of all embedded objects.
const EMBEDDED: &str = "embedded.example.com/v1";

/// Checks all such objects within a value, which may be one itself.
pub(super) fn check(schema: &Schema, value: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    walk(schema, value, path, &mut |schema, value, path| {
        if schema.embedded && value.is_object() {
            errors.extend(one(value, path));
        }
    });
    errors
}

/// Checks one such object, and nothing within it.
pub(super) fn one(object: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["apiVersion", "kind"] {
        let at = path.child(field);
        let problem = match &object[field] {
            Value::Null => {
                errors.push(FieldError::required(&at, "must not be empty"));
                continue;
            }
            Value::String(text) if text.is_empty() => Some("must not be empty".to_owned()),
            Value::String(text) if field == "kind" => names::kind(text),
            Value::String(text) if text.matches('/').count() > 1 => {
                Some(format!("unexpected GroupVersion string: {text}"))
            }
            Value::String(_) => None,
            _ => Some("must be a string".to_owned()),
        };
        errors.extend(
            problem.map(|problem| FieldError::invalid(&at, object[field].clone(), &problem)),
        );
    }
    let metadata = &object["metadata"];
    if metadata.is_null() {
        return errors;
    }
    let at = path.child("metadata");
    match crate::decode::clean_metadata(&at.to_string(), metadata.clone(), &mut Vec::new()) {
        Err(problem) => errors.push(FieldError::invalid(&at, metadata.clone(), &problem)),
        Ok(_) => errors.extend(metadata_errors(metadata, path)),
    }
    errors
}

/// The errors of metadata that may have no name yet.
fn metadata_errors(metadata: &Value, path: &Path) -> Errors {
    let mut metadata = metadata.clone();
    if metadata["name"].as_str().unwrap_or_default().is_empty() {
        metadata["name"] = "unnamed".into();
    }
    let namespaced = !metadata["namespace"].as_str().unwrap_or_default().is_empty();
    // No group of Kubernetes' own, whose finalizers are known: whatever is embedded may have others.
    let object = serde_json::json!({"apiVersion": EMBEDDED, "metadata": metadata});
    super::validate::prefixed(meta::validate(&object, namespaced, NameRule::PathSegment), path)
}
