//! What a policy, or the binding of one, is about: MatchResources.
//!
//! Source: k8s.io/kubernetes/pkg/apis/admissionregistration/validation.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{list, rule, text, texts};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{each, selector, set_default};

pub(super) const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
/// What is deleted cannot be changed on the way.
const MUTABLE: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];
const RULES: [&str; 2] = ["resourceRules", "excludeResourceRules"];

pub(super) fn default(matching: &mut Value) {
    set_default(matching, "matchPolicy", "Equivalent");
    set_default(matching, "namespaceSelector", json!({}));
    set_default(matching, "objectSelector", json!({}));
    for pointer in ["/resourceRules", "/excludeResourceRules"] {
        each(matching, pointer).for_each(rule::default);
    }
}

pub(super) fn validate(matching: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let policy = text(matching, "matchPolicy");
    if !MATCH_POLICIES.contains(&policy) {
        let path = path.child("matchPolicy");
        errors.push(FieldError::not_supported(&path, policy, MATCH_POLICIES));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        errors.extend(selector::validate_value(&matching[field], &path.child(field)));
    }
    for field in RULES {
        for (n, named) in list(matching, field).iter().enumerate() {
            let path = path.child(field).index(n);
            let mut seen = HashSet::new();
            for (n, name) in texts(&named["resourceNames"]).into_iter().enumerate() {
                let at = path.child("resourceNames").index(n);
                errors.extend(FieldError::invalid_each(&at, name, &names::path_segment(name)));
                if !seen.insert(name) {
                    errors.push(FieldError::duplicate(&at, name));
                }
            }
            errors.extend(rule::validate(named, &path));
        }
    }
    errors
}

/// Refuses operations that nothing can be mutated in. (The path has no index in Kubernetes too.)
pub(super) fn validate_mutable(matching: &Value, path: &Path) -> Errors {
    let path = path.child("resourceRules").child("operations");
    let rules = list(matching, "resourceRules").iter();
    rules
        .flat_map(|rule| texts(&rule["operations"]))
        .filter(|operation| !MUTABLE.contains(operation))
        .map(|operation| FieldError::not_supported(&path, operation, MUTABLE))
        .collect()
}
