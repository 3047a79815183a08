//! MutatingAdmissionPolicyBinding and ValidatingAdmissionPolicyBinding: where a policy applies, with
//! which parameters.
//!
//! Source: k8s.io/kubernetes/pkg/apis/admissionregistration/validation.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{matching, text, texts};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{Strategy, object_at, selector, set_default};

const ACTIONS: &[&str] = &["Audit", "Deny", "Warn"];
const NOT_FOUND_ACTIONS: &[&str] = &["Deny", "Allow"];
const NAME_OR_SELECTOR: &str = "name and selector are mutually exclusive";

/// The strategy of both kinds.
#[derive(Debug)]
pub(crate) struct Binding {
    mutating: bool,
}

impl Binding {
    /// Of MutatingAdmissionPolicyBindings.
    pub(crate) const MUTATING: Self = Self { mutating: true };
    /// Of ValidatingAdmissionPolicyBindings.
    pub(crate) const VALIDATING: Self = Self { mutating: false };
}

impl Strategy for Binding {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        if let Some(resources) = object_at(object, "/spec/matchResources") {
            matching::default(resources);
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Errors::new();
        let (policy, at) = (text(spec, "policyName"), path.child("policyName"));
        if policy.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            errors.extend(FieldError::invalid_each(&at, policy, &names::dns1123_subdomain(policy)));
        }
        if !spec["paramRef"].is_null() {
            errors.extend(validate_param_ref(&spec["paramRef"], &path.child("paramRef")));
        }
        let (resources, at) = (&spec["matchResources"], path.child("matchResources"));
        if !resources.is_null() {
            errors.extend(matching::validate(resources, &at));
            if self.mutating {
                errors.extend(matching::validate_mutable(resources, &at));
            }
        }
        if !self.mutating {
            let actions = &spec["validationActions"];
            errors.extend(validate_actions(actions, &path.child("validationActions")));
        }
        errors
    }

    fn warnings(&self, _object: &Value) -> Vec<String> {
        vec![
            "the binding is stored, but this server does not enforce admission policies yet"
                .to_owned(),
        ]
    }
}

fn validate_param_ref(reference: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (name, selector) = (text(reference, "name"), &reference["selector"]);
    let (name_at, selector_at) = (path.child("name"), path.child("selector"));
    errors.extend(FieldError::invalid_each(&name_at, name, &names::path_segment(name)));
    errors.extend(selector::validate_value(selector, &selector_at));
    match (name.is_empty(), selector.is_null()) {
        (false, false) => {
            errors.push(FieldError::forbidden(&name_at, NAME_OR_SELECTOR));
            errors.push(FieldError::forbidden(&selector_at, NAME_OR_SELECTOR));
        }
        (true, true) => {
            let detail = "one of name or selector must be specified";
            errors.push(FieldError::required(path, detail));
        }
        _ => {}
    }
    let (action, at) =
        (text(reference, "parameterNotFoundAction"), path.child("parameterNotFoundAction"));
    if action.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !NOT_FOUND_ACTIONS.contains(&action) {
        errors.push(FieldError::not_supported(&at, action, NOT_FOUND_ACTIONS));
    }
    errors
}

fn validate_actions(actions: &Value, path: &Path) -> Errors {
    let items = texts(actions);
    let (mut errors, mut seen) = (Errors::new(), HashSet::new());
    for (n, action) in items.iter().enumerate() {
        if !ACTIONS.contains(action) {
            errors.push(FieldError::not_supported(&path.index(n), *action, ACTIONS));
        }
        if !seen.insert(*action) {
            errors.push(FieldError::duplicate(&path.index(n), *action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, actions.clone(), detail));
    }
    if items.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
    errors
}
