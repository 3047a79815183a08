//! While a pod waits behind a gate, the nodes that it may go to can be narrowed.
//!
//! Source: KEP-3838.

use serde_json::{Value, json};

use super::without_nulls;
use crate::field::{Errors, FieldError, Path};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// Checks how the choice of nodes changed, and puts the old one back into `spec`.
pub(super) fn validate(spec: &mut Value, had: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (new, old) = (spec["nodeSelector"].clone(), &had["nodeSelector"]);
    let kept = |(key, value): (&String, &Value)| new.get(key) == Some(value);
    if !old.as_object().into_iter().flatten().all(kept) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(&path.child("nodeSelector"), new.clone(), detail));
    }
    spec["nodeSelector"] = old.clone();

    let affinity = |spec: &Value| without_nulls(&spec["affinity"]["nodeAffinity"]);
    let (new, old) = (affinity(spec), affinity(had));
    if new == old {
        return errors;
    }
    let path = path.child("affinity").child("nodeAffinity").child(REQUIRED);
    errors.extend(narrowed(&new, &old, &path.child("nodeSelectorTerms")));
    if spec["affinity"].is_null() {
        spec["affinity"] = json!({});
    }
    spec["affinity"]["nodeAffinity"] = had["affinity"]["nodeAffinity"].clone();
    let others = ["podAffinity", "podAntiAffinity"];
    if had["affinity"].is_null() && others.iter().all(|kind| spec["affinity"][*kind].is_null()) {
        spec["affinity"] = Value::Null;
    }
    errors
}

/// Every term of the old affinity is there, perhaps with more requirements at its end.
fn narrowed(new: &Value, old: &Value, path: &Path) -> Errors {
    let terms = |affinity: &Value| {
        affinity[REQUIRED]["nodeSelectorTerms"].as_array().cloned().unwrap_or_default()
    };
    let (new, old) = (terms(new), terms(old));
    if !old.is_empty() && old.len() != new.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return vec![FieldError::invalid(path, json!(new), detail)];
    }
    let mut errors = Errors::new();
    for (n, (new, old)) in new.iter().zip(&old).enumerate() {
        let list = |term: &Value, field: &str| term[field].as_array().cloned().unwrap_or_default();
        let begins = |field: &str| list(new, field).starts_with(&list(old, field));
        let fields = ["matchExpressions", "matchFields"];
        // A term without requirements fits no node, and goes on to fit none.
        let empty = |term: &Value| fields.iter().all(|field| list(term, field).is_empty());
        if !fields.iter().all(|field| begins(field)) || (empty(old) && !empty(new)) {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(&path.index(n), new.clone(), detail));
        }
    }
    errors
}
