//! IngressClass. Source: k8s.io/kubernetes/pkg/apis/networking/validation.

use serde_json::{Value, json};

use super::{text, validate_reference};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{Strategy, object_at, set_default};

const MAX_CONTROLLER: usize = 250;
const SCOPES: &[&str] = &["Cluster", "Namespace"];

#[derive(Debug)]
pub(crate) struct IngressClass;

impl Strategy for IngressClass {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        if let Some(parameters) = object_at(object, "/spec/parameters") {
            set_default(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let spec = &object["spec"];
        let (controller, path) = (text(spec, "controller"), Path::new("spec").child("controller"));
        let mut errors = Errors::new();
        if controller.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else {
            if controller.len() > MAX_CONTROLLER {
                errors.push(FieldError::too_long(&path, MAX_CONTROLLER));
            }
            errors.extend(validate_prefixed_path(controller, &path));
        }
        if !spec["parameters"].is_null() {
            let path = Path::new("spec").child("parameters");
            errors.extend(validate_parameters(&spec["parameters"], &path));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = Errors::new();
        let controller = &new["spec"]["controller"];
        if *controller != old["spec"]["controller"] {
            let path = Path::new("spec").child("controller");
            errors.push(FieldError::invalid(&path, controller.clone(), "field is immutable"));
        }
        errors.extend(self.validate(new));
        errors
    }
}

/// A domain, a slash, and a path: `example.com/ingress-controller`.
fn validate_prefixed_path(value: &str, path: &Path) -> Errors {
    let (domain, rest) = value.split_once('/').unwrap_or_default();
    if domain.is_empty() || rest.is_empty() {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![FieldError::invalid(path, value, detail)];
    }
    let mut errors = FieldError::invalid_each(path, domain, &names::dns1123_subdomain(domain));
    // RFC 3986: unreserved and percent-encoded characters, sub-delimiters, colon.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !rest.bytes().all(allowed) {
        let detail =
            "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.push(FieldError::invalid(path, rest, detail));
    }
    errors
}

fn validate_parameters(parameters: &Value, path: &Path) -> Errors {
    let mut errors = validate_reference(parameters, path);
    let namespace = parameters["namespace"].as_str();
    let at = path.child("namespace");
    match (text(parameters, "scope"), namespace) {
        ("Namespace", None) => {
            errors.push(FieldError::required(&at, "`parameters.scope` is set to 'Namespace'"));
        }
        ("Namespace", Some(namespace)) => {
            let messages = names::dns1123_label(namespace);
            errors.extend(FieldError::invalid_each(&at, namespace, &messages));
        }
        ("Cluster", Some(_)) => {
            errors.push(FieldError::forbidden(&at, "`parameters.scope` is set to 'Cluster'"));
        }
        ("Cluster", None) => {}
        (other, _) => {
            errors.push(FieldError::not_supported(&path.child("scope"), other, SCOPES));
        }
    }
    errors
}
