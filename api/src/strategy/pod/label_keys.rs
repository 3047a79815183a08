//! `matchLabelKeys` and `mismatchLabelKeys`: labels whose value is that of the pod itself.

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::each;

const MATCH: &str = "matchLabelKeys";
const MISMATCH: &str = "mismatchLabelKeys";

/// Checks the keys of a term or of a constraint at `path`.
pub(super) fn validate(
    matching: &[String],
    other: &[String],
    selector: Option<&LabelSelector>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    for (field, keys) in [(MATCH, matching), (MISMATCH, other)] {
        let path = path.child(field);
        if !keys.is_empty() && selector.is_none() {
            let detail = "must not be specified when labelSelector is not set";
            errors.push(FieldError::forbidden(&path, detail));
            continue;
        }
        for (n, key) in keys.iter().enumerate() {
            errors.extend(FieldError::invalid_each(
                &path.index(n),
                key,
                &names::qualified_name(key),
            ));
        }
    }
    // The first expression may be the one that was made of the key.
    let labels = selector.and_then(|selector| selector.match_labels.as_ref());
    let mut seen: HashSet<&str> =
        labels.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    for expression in selector.iter().flat_map(|s| s.match_expressions.iter().flatten()) {
        let key = expression.key.as_str();
        if !seen.insert(key)
            && let Some(n) = matching.iter().rposition(|matching| matching == key)
        {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(&path.index(n), key, detail));
        }
    }
    for (n, key) in matching.iter().enumerate().filter(|(_, key)| other.contains(key)) {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.push(FieldError::invalid(&path.child(MATCH).index(n), key.as_str(), detail));
    }
    errors
}

/// Writes into the selectors of a new pod what their keys stand for.
pub(super) fn merge(spec: &mut Value, labels: &Value) {
    if !spec["topologySpreadConstraints"].is_null() {
        for constraint in each(spec, "/topologySpreadConstraints") {
            apply(constraint, labels);
        }
    }
    if spec["affinity"].is_null() {
        return;
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let at = format!("/affinity/{kind}");
        for term in each(spec, &format!("{at}/requiredDuringSchedulingIgnoredDuringExecution")) {
            apply(term, labels);
        }
        for term in each(spec, &format!("{at}/preferredDuringSchedulingIgnoredDuringExecution")) {
            if let Some(term) = term.get_mut("podAffinityTerm") {
                apply(term, labels);
            }
        }
    }
}

fn apply(term: &mut Value, labels: &Value) {
    let mut more = Vec::new();
    for (field, operator) in [(MATCH, "In"), (MISMATCH, "NotIn")] {
        for key in term[field].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                more.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    let Some(selector) = term.get_mut("labelSelector").filter(|s| s.is_object()) else { return };
    if more.is_empty() {
        return;
    }
    match &mut selector["matchExpressions"] {
        Value::Array(expressions) => expressions.extend(more),
        none => *none = more.into(),
    }
}
