//! Names of resources that can be counted and limited: `cpu`, `requests.storage`, `example.com/gpu`.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/helper and pkg/apis/core/validation.

use serde_json::Value;

use super::quantity;
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// What a container may ask for, besides huge pages.
const CONTAINER: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// What can be counted, in whole numbers.
const OBJECTS: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// What else a quota can limit.
const AMOUNTS: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

/// Whether a quota knows the resource by itself.
pub(super) fn is_standard_for_quota(name: &str) -> bool {
    OBJECTS.contains(&name)
        || AMOUNTS.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Whether the resource belongs to Kubernetes: no domain, or one of kubernetes.io.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource may be promised more than once.
pub(in crate::strategy) fn can_be_overcommitted(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}

/// Checks the name of any resource.
pub(in crate::strategy) fn validate(name: &str, path: &Path) -> Errors {
    let errors = FieldError::invalid_each(path, name, &names::qualified_name(name));
    if errors.is_empty() && !name.contains('/') {
        let standard = is_standard_for_quota(name) || name == "storage";
        if !standard {
            let detail = "must be a standard resource type or fully qualified";
            return vec![FieldError::invalid(path, name, detail)];
        }
    }
    errors
}

/// Checks the name of a resource that containers ask for.
pub(in crate::strategy) fn validate_for_container(name: &str, path: &Path) -> Errors {
    let mut errors = validate(name, path);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !name.starts_with("hugepages-") {
            let detail = "must be a standard resource for containers";
            errors.push(FieldError::invalid(path, name, detail));
        }
    } else if !is_native(name) && !is_extended(name) {
        let detail = "doesn't follow extended resource name standard";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

/// Checks the name of a resource that a quota limits.
pub(super) fn validate_for_quota(name: &str, path: &Path) -> Errors {
    let mut errors = validate(name, path);
    if !name.contains('/') && !is_standard_for_quota(name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for quota"));
    }
    errors
}

/// Whether it names something that an administrator or a driver adds to nodes.
pub(in crate::strategy) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether it comes in pieces.
pub(in crate::strategy) fn is_counted(name: &str) -> bool {
    OBJECTS.contains(&name) || is_extended(name)
}

/// Checks an amount of a resource: not negative, and whole where halves make no sense.
pub(in crate::strategy) fn validate_amount(name: &str, value: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(amount) = quantity(value) else { return errors };
    if amount.is_negative() {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path, value.clone(), detail));
    }
    if is_counted(name) && !amount.is_whole() {
        errors.push(FieldError::invalid(path, value.clone(), "must be an integer"));
    }
    errors
}
