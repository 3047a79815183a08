//! Which requests a webhook or a policy is about: operations on resources.
//!
//! Source: k8s.io/kubernetes/pkg/apis/admissionregistration/validation.

use std::collections::HashSet;

use serde_json::Value;

use super::texts;
use crate::field::{Errors, FieldError, Path};
use crate::strategy::set_default;

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];

pub(super) fn default(rule: &mut Value) {
    set_default(rule, "scope", "*");
}

pub(super) fn validate(rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (field, others) in
        [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")]
    {
        errors.extend(validate_list(&rule[field], &path.child(field), others));
        for (n, item) in texts(&rule[field]).iter().enumerate() {
            let at = path.child(field).index(n);
            if field == "operations" && !OPERATIONS.contains(item) {
                errors.push(FieldError::not_supported(&at, *item, OPERATIONS));
            }
            if field == "apiVersions" && item.is_empty() {
                errors.push(FieldError::required(&at, ""));
            }
        }
    }
    errors.extend(validate_resources(&rule["resources"], &path.child("resources")));
    if let Some(scope) = rule["scope"].as_str().filter(|scope| !SCOPES.contains(scope)) {
        errors.push(FieldError::not_supported(&path.child("scope"), scope, SCOPES));
    }
    errors
}

/// At least one item, and `*` alone.
fn validate_list(list: &Value, path: &Path, others: &str) -> Option<FieldError> {
    let items = texts(list);
    if items.is_empty() {
        return Some(FieldError::required(path, ""));
    }
    (items.len() > 1 && items.contains(&"*")).then(|| {
        let detail = format!("if '*' is present, must not specify other {others}");
        FieldError::invalid(path, list.clone(), &detail)
    })
}

/// Resources `a`, subresources `a/b`, and `*` for either part; none may cover another.
fn validate_resources(resources: &Value, path: &Path) -> Errors {
    let items = texts(resources);
    let mut errors = Errors::new();
    if items.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    // Resources all of whose subresources were named, and subresources named for all resources.
    let (mut all_of, mut of_all) = (HashSet::new(), HashSet::new());
    for (n, item) in items.iter().enumerate() {
        let at = path.index(n);
        if item.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        let Some((resource, sub)) = item.split_once('/') else { continue };
        let mut refuse = |wider: String| {
            let detail = format!("if '{wider}' is present, must not specify {item}");
            errors.push(FieldError::invalid(&at, *item, &detail));
        };
        if all_of.contains(resource) {
            refuse(format!("{resource}/*"));
        }
        if of_all.contains(sub) {
            refuse(format!("*/{sub}"));
        }
        if sub == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            of_all.insert(sub);
        }
    }
    if items.len() > 1 && items.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, resources.clone(), detail));
    }
    let plain = |item: &&&str| !item.is_empty() && !item.contains('/') && **item != "*";
    if items.contains(&"*") && items.iter().any(|item| plain(&item)) {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, resources.clone(), detail));
    }
    errors
}
