//! FlowSchema: which requests belong to which priority level.
//!
//! Source: k8s.io/kubernetes/pkg/apis/flowcontrol/validation.

use serde_json::{Value, json};

use super::{default_number, mandatory, rules, text, validate_conditions};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{Strategy, set_default};

/// Schemas are tried from the lowest precedence to this one.
const MAX_PRECEDENCE: i64 = 10_000;
const DEFAULT_PRECEDENCE: i64 = 1000;
const METHODS: &[&str] = &["ByNamespace", "ByUser"];

#[derive(Debug)]
pub(crate) struct FlowSchema;

impl Strategy for FlowSchema {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        default_number(&mut object["spec"], "matchingPrecedence", DEFAULT_PRECEDENCE);
        set_default(object, "status", json!({}));
    }

    fn first_status(&self) -> Option<Value> {
        Some(json!({}))
    }

    fn status_is_alone(&self) -> bool {
        true
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        if subresource == "status" { &[&["metadata"], &["spec"]] } else { &[&["status"]] }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let name = text(&object["metadata"], "name");
        let mut errors = validate_precedence(spec, name, &path.child("matchingPrecedence"));
        if let Some(method) = spec["distinguisherMethod"]["type"].as_str()
            && !METHODS.contains(&method)
        {
            let path = path.child("distinguisherMethod").child("type");
            errors.push(FieldError::not_supported(&path, method, METHODS));
        }
        let level = text(&spec["priorityLevelConfiguration"], "name");
        let at = path.child("priorityLevelConfiguration").child("name");
        if level.is_empty() {
            errors.push(FieldError::required(&at, "must reference a priority level"));
        } else {
            errors.extend(FieldError::invalid_each(&at, level, &names::dns1123_subdomain(level)));
        }
        for (n, rule) in spec["rules"].as_array().into_iter().flatten().enumerate() {
            errors.extend(rules::validate(rule, &path.child("rules").index(n)));
        }
        if mandatory::flow_schema(name).is_some_and(|fixed| fixed != *spec) {
            let detail = format!("spec of '{name}' must equal the fixed value");
            errors.push(FieldError::invalid(&path, spec.clone(), &detail));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        validate_conditions(&new["status"])
    }
}

fn validate_precedence(spec: &Value, name: &str, path: &Path) -> Errors {
    let precedence = spec["matchingPrecedence"].as_i64().unwrap_or(0);
    let mut errors = Errors::new();
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(path, precedence, detail));
    if precedence <= 0 {
        refuse("must be a positive value");
    }
    if precedence > MAX_PRECEDENCE {
        refuse(&format!("must not be greater than {MAX_PRECEDENCE}"));
    }
    if precedence == 1 && name != mandatory::EXEMPT {
        refuse("only the schema named 'exempt' may have matchingPrecedence 1");
    }
    errors
}
