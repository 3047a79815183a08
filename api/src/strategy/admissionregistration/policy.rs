//! MutatingAdmissionPolicy and ValidatingAdmissionPolicy.
//!
//! Source: k8s.io/kubernetes/pkg/apis/admissionregistration/validation. Expressions are not compiled.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{FAILURE_POLICIES, REINVOCATION_POLICIES, conditions, list, matching, text};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{
    Strategy, conditions as status_conditions, keep_field, object_at, set_default,
};

const MAX_AUDIT_ANNOTATIONS: usize = 20;
/// Bytes of the expression that computes an annotation.
const MAX_AUDIT_EXPRESSION: usize = 5 * 1024;
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
const NO_RULES: &str = "validations or auditAnnotations must contain at least one item";
const PATCH_TYPES: &[&str] = &["ApplyConfiguration", "JSONPatch"];

/// The strategy of both kinds.
#[derive(Debug)]
pub(crate) struct Policy {
    mutating: bool,
}

impl Policy {
    /// Of MutatingAdmissionPolicies.
    pub(crate) const MUTATING: Self = Self { mutating: true };
    /// Of ValidatingAdmissionPolicies, which have a status.
    pub(crate) const VALIDATING: Self = Self { mutating: false };
}

impl Strategy for Policy {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(&mut object["spec"], "failurePolicy", "Fail");
        if let Some(constraints) = object_at(object, "/spec/matchConstraints") {
            matching::default(constraints);
        }
        if !self.mutating {
            set_default(object, "status", json!({}));
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        if !self.mutating {
            object["status"] = json!({});
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        if !self.mutating {
            keep_field(new, old, "status");
        }
    }

    fn status_is_alone(&self) -> bool {
        true
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        if subresource == "status" { &[&["metadata"], &["spec"]] } else { &[&["status"]] }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Errors::new();
        let failure = text(spec, "failurePolicy");
        if !FAILURE_POLICIES.contains(&failure) {
            let path = path.child("failurePolicy");
            errors.push(FieldError::not_supported(&path, failure, FAILURE_POLICIES));
        }
        if !spec["paramKind"].is_null() {
            errors.extend(validate_param_kind(&spec["paramKind"], &path.child("paramKind")));
        }
        errors.extend(
            self.validate_constraints(&spec["matchConstraints"], &path.child("matchConstraints")),
        );
        errors.extend(conditions::validate(spec, &path));
        errors.extend(conditions::validate_variables(spec, &path));
        if self.mutating {
            errors.extend(validate_mutations(spec, &path));
        } else {
            errors.extend(validate_rules(spec, text(&object["metadata"], "name"), &path));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let (status, path) = (&new["status"], Path::new("status"));
        let mut errors = Errors::new();
        let at = path.child("typeChecking").child("expressionWarnings");
        let warnings = list(&status["typeChecking"], "expressionWarnings");
        for (n, warning) in warnings.iter().enumerate() {
            for field in ["warning", "fieldRef"] {
                if text(warning, field).trim().is_empty() {
                    errors.push(FieldError::required(&at.index(n).child(field), ""));
                }
            }
        }
        errors
            .extend(status_conditions::validate(&status["conditions"], &path.child("conditions")));
        errors
    }

    fn warnings(&self, _object: &Value) -> Vec<String> {
        vec!["the admission policy is stored, but this server does not enforce it yet".to_owned()]
    }
}

impl Policy {
    fn validate_constraints(&self, constraints: &Value, path: &Path) -> Errors {
        if constraints.is_null() {
            return vec![FieldError::required(path, "")];
        }
        let mut errors = matching::validate(constraints, path);
        if list(constraints, "resourceRules").is_empty() {
            errors.push(FieldError::required(&path.child("resourceRules"), ""));
        }
        if self.mutating {
            errors.extend(matching::validate_mutable(constraints, path));
        }
        errors
    }
}

/// The kind of the objects that hold a policy's parameters.
fn validate_param_kind(param: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (version_at, kind_at) = (path.child("apiVersion"), path.child("kind"));
    let (api_version, kind) = (text(param, "apiVersion"), text(param, "kind"));
    let mut refuse = |at: &Path, value: &str, messages: &[String]| {
        if !messages.is_empty() {
            errors.push(FieldError::invalid(at, value, &messages.join(",")));
        }
    };
    let parts: Vec<&str> = api_version.split('/').collect();
    match parts[..] {
        [""] => {}
        [version] => refuse(&version_at, version, &names::dns1035_label(version)),
        [group, version] => {
            if !group.is_empty() {
                refuse(&version_at, group, &names::dns1123_subdomain(group));
            }
            if version.is_empty() {
                refuse(&version_at, api_version, &["version must be specified".to_owned()]);
            } else {
                refuse(&version_at, version, &names::dns1035_label(version));
            }
        }
        _ => {
            let message = format!("unexpected GroupVersion string: {api_version}");
            refuse(&version_at, api_version, &[message]);
        }
    }
    if let Some(problem) = names::kind(kind).filter(|_| !kind.is_empty()) {
        refuse(&kind_at, kind, &[problem]);
    }
    for (value, at) in [(api_version, &version_at), (kind, &kind_at)] {
        if value.is_empty() {
            errors.push(FieldError::required(at, ""));
        }
    }
    errors
}

/// What a validating policy has to say.
fn validate_rules(spec: &Value, name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (rules, annotations) = (list(spec, "validations"), list(spec, "auditAnnotations"));
    if rules.is_empty() && annotations.is_empty() {
        for field in ["validations", "auditAnnotations"] {
            errors.push(FieldError::required(&path.child(field), NO_RULES));
        }
    }
    for (n, rule) in rules.iter().enumerate() {
        errors.extend(validate_rule(rule, &path.child("validations").index(n)));
    }
    let path = path.child("auditAnnotations");
    if annotations.len() > MAX_AUDIT_ANNOTATIONS {
        let detail = format!("must not have more than {MAX_AUDIT_ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid(&path, spec["auditAnnotations"].clone(), &detail));
    }
    let mut seen = HashSet::new();
    for (n, annotation) in annotations.iter().enumerate() {
        let (path, key) = (path.index(n), text(annotation, "key"));
        let at = path.child("key");
        let full = format!("{name}/{key}");
        errors.extend(FieldError::invalid_each(&at, &full, &names::qualified_name(&full)));
        let detail = "valueExpression is not specified";
        errors.extend(conditions::required(annotation, "valueExpression", &path, detail));
        if text(annotation, "valueExpression").trim().len() > MAX_AUDIT_EXPRESSION {
            let detail = format!("must not exceed {MAX_AUDIT_EXPRESSION} bytes in length");
            errors.push(FieldError::required(&path.child("valueExpression"), &detail));
        }
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(&at, key));
        }
    }
    errors
}

fn validate_rule(rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    errors.extend(conditions::required(rule, "expression", path, "expression is not specified"));
    let blank = |field: &str| !text(rule, field).is_empty() && text(rule, field).trim().is_empty();
    let mut refuse = |field: &str, detail: &str| {
        errors.push(FieldError::invalid(&path.child(field), text(rule, field), detail));
    };
    if blank("messageExpression") {
        refuse("messageExpression", "must be non-empty if specified");
    }
    if blank("message") {
        refuse("message", "message must be non-empty if specified");
    } else if text(rule, "message").trim().contains(['\n', '\r']) {
        refuse("message", "message must not contain line breaks");
    }
    if let Some(reason) = rule["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(&path.child("reason"), reason, REASONS));
    }
    errors
}

/// What a mutating policy changes, and whether it is asked again after later changes.
fn validate_mutations(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (mutations, at) = (list(spec, "mutations"), path.child("mutations"));
    if mutations.is_empty() {
        errors.push(FieldError::required(&at, "mutations must contain at least one item"));
    }
    for (n, mutation) in mutations.iter().enumerate() {
        errors.extend(validate_mutation(mutation, &at.index(n)));
    }
    let (policy, at) = (text(spec, "reinvocationPolicy"), path.child("reinvocationPolicy"));
    if policy.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !REINVOCATION_POLICIES.contains(&policy) {
        errors.push(FieldError::not_supported(&at, policy, REINVOCATION_POLICIES));
    }
    errors
}

fn validate_mutation(mutation: &Value, path: &Path) -> Errors {
    let kind = text(mutation, "patchType");
    let (own, other) = match kind {
        "" => return vec![FieldError::required(&path.child("patchType"), "")],
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        _ => return vec![FieldError::not_supported(&path.child("patchType"), kind, PATCH_TYPES)],
    };
    let mut errors = Errors::new();
    let at = path.child(own);
    if mutation[own].is_null() {
        let detail = format!("must be specified when patchType is {kind}");
        errors.push(FieldError::required(&at, &detail));
    } else {
        errors.extend(conditions::required(&mutation[own], "expression", &at, ""));
    }
    if !mutation[other].is_null() {
        let detail = format!("must not be specified when patchType is {kind}");
        let value = format!("{{{other}}}");
        errors.push(FieldError::invalid(&path.child(other), value, &detail));
    }
    errors
}
