//! ResourceQuota: how much of everything a namespace may use.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateResourceQuota).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::resource_name;
use crate::field::{Errors, FieldError, Path};
use crate::strategy::{Strategy, set_default};

/// The scopes that exist.
const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// Scopes that nothing can be in at the same time.
const CONFLICTS: [(&str, &str); 2] =
    [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];

/// What pods can be limited in.
const COMPUTE: &[&str] =
    &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

#[derive(Debug)]
pub(crate) struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(object, "status", json!({}));
    }

    fn first_status(&self) -> Option<Value> {
        Some(json!({}))
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = validate_amounts(&spec["hard"], &path.child("hard"));
        errors.extend(validate_scopes(spec, &path.child("scopes")));
        let selector = path.child("scopeSelector").child("matchExpressions");
        errors.extend(validate_selector(spec, &selector));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        let scopes = |object: &Value| {
            let list = object["spec"]["scopes"].as_array().cloned().unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<BTreeSet<_>>()
        };
        if scopes(new) != scopes(old) {
            let (path, shown) = (Path::new("spec").child("scopes"), new["spec"]["scopes"].clone());
            errors.push(FieldError::invalid(&path, shown, "field is immutable"));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let path = Path::new("status");
        let mut errors = validate_amounts(&new["status"]["hard"], &path.child("hard"));
        errors.extend(validate_amounts(&new["status"]["used"], &path.child("used")));
        errors
    }
}

fn validate_amounts(amounts: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (name, amount) in amounts.as_object().into_iter().flatten() {
        let at = path.key(name);
        errors.extend(resource_name::validate_for_quota(name, &at));
        errors.extend(resource_name::validate_amount(name, amount, &at));
    }
    errors
}

/// Whether objects in a scope use the resource at all.
fn applies(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || COMPUTE.contains(&resource),
        "VolumeAttributesClass" => {
            matches!(resource, "persistentvolumeclaims" | "requests.storage")
        }
        _ => true,
    }
}

/// One error for each limited resource that the scope has nothing to do with.
fn misapplied(spec: &Value, scope: &str, shown: &Value, path: &Path) -> Errors {
    let hard = spec["hard"].as_object().into_iter().flatten();
    hard.filter(|(name, _)| resource_name::is_standard_for_quota(name) && !applies(scope, name))
        .map(|_| FieldError::invalid(path, shown.clone(), "unsupported scope applied to resource"))
        .collect()
}

fn conflicts(scopes: &BTreeSet<&str>, shown: &Value, path: &Path) -> Errors {
    CONFLICTS
        .iter()
        .filter(|(one, other)| scopes.contains(one) && scopes.contains(other))
        .map(|_| FieldError::invalid(path, shown.clone(), "conflicting scopes"))
        .collect()
}

fn validate_scopes(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let shown = &spec["scopes"];
    let mut scopes = BTreeSet::new();
    for scope in shown.as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(path, shown.clone(), "unsupported scope"));
        }
        errors.extend(misapplied(spec, scope, shown, path));
        scopes.insert(scope);
    }
    errors.extend(conflicts(&scopes, shown, path));
    errors
}

fn validate_selector(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let selector = &spec["scopeSelector"];
    let mut scopes = BTreeSet::new();
    for requirement in selector["matchExpressions"].as_array().into_iter().flatten() {
        let text = |field: &str| requirement[field].as_str().unwrap_or_default();
        let (scope, operator) = (text("scopeName"), text("operator"));
        if !SCOPES.contains(&scope) {
            let at = path.child("scopeName");
            errors.push(FieldError::invalid(&at, scope, "unsupported scope"));
        }
        errors.extend(misapplied(spec, scope, selector, path));
        let at = path.child("operator");
        let named = matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if SCOPES.contains(&scope) && !named && operator != "Exists" {
            let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid(&at, operator, detail));
        }
        let values = requirement["values"].as_array().is_some_and(|values| !values.is_empty());
        match operator {
            "In" | "NotIn" if !values => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for \
                    scope selector";
                errors.push(FieldError::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if values => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for \
                    scope selector";
                let (at, shown) = (path.child("values"), requirement["values"].clone());
                errors.push(FieldError::invalid(&at, shown, detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(FieldError::invalid(&at, other, "not a valid selector operator"));
            }
        }
        scopes.insert(scope);
    }
    errors.extend(conflicts(&scopes, &spec["scopes"], path));
    errors
}
