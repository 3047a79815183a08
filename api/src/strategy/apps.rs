//! The workloads of the group `apps`, and what they have in common.
//!
//! Source: k8s.io/kubernetes/pkg/apis/apps/validation and pkg/apis/apps/v1/defaults.go.

pub(crate) mod controller_revision;
pub(crate) mod daemon_set;
pub(crate) mod deployment;
pub(crate) mod replica_set;
pub(crate) mod stateful_set;

use serde_json::{Value, json};

use super::{bounds, pod, selector, set_default, template};
use crate::field::{Errors, FieldError, Path};
use crate::selector::LabelSelector;

/// How many old revisions of a template are kept for a rollback.
const REVISION_HISTORY: i64 = 10;

/// Sees to it that spec, template and status are there, the template with its defaults.
fn default_workload(object: &mut Value) {
    set_default(object, "spec", json!({}));
    set_default(&mut object["spec"], "template", json!({}));
    pod::default_template(&mut object["spec"]["template"]);
    set_default(object, "status", json!({}));
}

/// Checks the selector of a Deployment or ReplicaSet and the template that it must match.
fn validate_replicated(spec: &Value, path: &Path) -> Errors {
    let mut errors = required_selector(spec, "deployment", path);
    let at = path.child("template");
    match LabelSelector::from_object(&spec["selector"]) {
        Ok(found) => {
            let template = &spec["template"];
            if !found.is_everything() {
                errors.extend(template::matches(&found, template, &at));
            }
            errors.extend(template::validate(template, &at));
            errors.extend(template::runs_for_ever(template, "ReplicaSet", &at));
        }
        Err(_) => {
            let (at, shown) = (path.child("selector"), spec["selector"].clone());
            errors.push(FieldError::invalid(&at, shown, "invalid label selector"));
        }
    }
    errors
}

/// A selector must be there, be well-formed and not select everything.
fn required_selector(spec: &Value, kind: &str, path: &Path) -> Errors {
    let (found, at) = (&spec["selector"], path.child("selector"));
    if found.is_null() {
        return vec![FieldError::required(&at, "")];
    }
    let mut errors = selector::validate_value(found, &at);
    if selector::is_empty(found) {
        let detail = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid(&at, found.clone(), &detail));
    }
    errors
}

/// The selector decides which pods belong to the workload: it stays as it is.
fn immutable_selector(new: &Value, old: &Value) -> Option<FieldError> {
    let path = Path::new("spec").child("selector");
    bounds::immutable(&new["spec"]["selector"], &old["spec"]["selector"], &path)
}

/// Checks the counts in a status: none negative, and no part greater than the whole.
fn validate_counts(new: &Value, parts: &[&str], others: &[&str], ready: &str) -> Errors {
    let (status, path) = (&new["status"], Path::new("status"));
    let mut errors = bounds::none_negative(status, &path, &["replicas"]);
    errors.extend(bounds::none_negative(status, &path, parts));
    errors.extend(bounds::none_negative(status, &path, others));
    let detail = "cannot be greater than status.replicas";
    errors.extend(bounds::at_most(status, &path, parts, "replicas", detail));
    let detail = format!("cannot be greater than {ready}");
    let available = &["availableReplicas"];
    errors.extend(bounds::at_most(status, &path, available, "readyReplicas", &detail));
    errors
}

#[cfg(test)]
mod tests;
