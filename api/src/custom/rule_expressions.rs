//! How rules in CEL (`x-kubernetes-validations`) are written down. What they say is not looked at.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.

use serde_json::Value;

use super::Schema;
use super::field_path::FieldPath;
use crate::field::{Errors, FieldError, Path};

const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Checks the rules of a schema at `path`.
pub(super) fn check(schema: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let rules = schema["x-kubernetes-validations"].as_array().map_or(&[][..], Vec::as_slice);
    if rules.is_empty() {
        return errors;
    }
    let read = Schema::read(schema).ok();
    for (n, rule) in rules.iter().enumerate() {
        let path = path.child("x-kubernetes-validations").index(n);
        one(rule, read.as_ref(), &path, &mut errors);
    }
    errors
}

fn one(rule: &Value, schema: Option<&Schema>, path: &Path, errors: &mut Errors) {
    let text = |field: &str| rule[field].as_str().unwrap_or_default();
    let blank = |field: &str| !text(field).is_empty() && text(field).trim().is_empty();
    let broken = |text: &str| text.contains(['\n', '\r']);
    let (expression, message) = (text("rule").trim(), text("message").trim());
    if expression.is_empty() {
        errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
    } else if blank("message") {
        let detail = "message must be non-empty if specified";
        errors.push(FieldError::invalid(&path.child("message"), text("message"), detail));
    } else if broken(message) {
        let detail = "message must not contain line breaks";
        errors.push(FieldError::invalid(&path.child("message"), text("message"), detail));
    } else if broken(expression) && message.is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(&path.child("message"), detail));
    }
    if blank("messageExpression") {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(&path.child("messageExpression"), detail));
    }
    if let Some(reason) = rule["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(&path.child("reason"), reason, REASONS));
    }
    let at = path.child("fieldPath");
    if blank("fieldPath") {
        let detail = "fieldPath must be non-empty if specified";
        errors.push(FieldError::invalid(&at, text("fieldPath"), detail));
    }
    if broken(text("fieldPath")) {
        let detail = "fieldPath must not contain line breaks";
        errors.push(FieldError::invalid(&at, text("fieldPath"), detail));
    }
    let leads = |schema| FieldPath::find(text("fieldPath"), schema, true).is_ok();
    if !schema.is_none_or(leads) {
        let detail = "fieldPath must be a valid path";
        errors.push(FieldError::invalid(&at, text("fieldPath"), detail));
    }
}
