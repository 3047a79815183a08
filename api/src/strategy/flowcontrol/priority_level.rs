//! PriorityLevelConfiguration: a part of the server's capacity, and who waits for it how.
//!
//! Source: k8s.io/kubernetes/pkg/apis/flowcontrol/validation.

use serde_json::{Value, json};

use super::{default_number, mandatory, text, validate_conditions};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::{Strategy, object_at, set_default};

const MAX_QUEUES: i64 = 10_000_000;
/// Bits of a request's hash that may be used to deal it a hand of queues.
const MAX_HASH_BITS: i64 = 60;
const TYPES: &[&str] = &["Exempt", "Limited"];
const RESPONSES: &[&str] = &["Queue", "Reject"];
const DEFAULT_SHARES: i64 = 30;
const DEFAULT_QUEUING: [(&str, i64); 3] =
    [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)];

#[derive(Debug)]
pub(crate) struct PriorityLevelConfiguration;

impl Strategy for PriorityLevelConfiguration {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        if let Some(exempt) = object_at(object, "/spec/exempt") {
            set_default(exempt, "nominalConcurrencyShares", 0);
            set_default(exempt, "lendablePercent", 0);
        }
        if let Some(limited) = object_at(object, "/spec/limited") {
            set_default(limited, "nominalConcurrencyShares", DEFAULT_SHARES);
            set_default(limited, "limitResponse", json!({}));
            set_default(limited, "lendablePercent", 0);
        }
        if let Some(queuing) = object_at(object, "/spec/limited/limitResponse/queuing") {
            for (field, number) in DEFAULT_QUEUING {
                default_number(queuing, field, number);
            }
        }
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
        let (name, kind) = (text(&object["metadata"], "name"), text(spec, "type"));
        let mut errors = Errors::new();
        if (name == mandatory::EXEMPT) != (kind == "Exempt") {
            let detail = "type must be 'Exempt' if and only if name is 'exempt'";
            errors.push(FieldError::invalid(&path.child("type"), kind, detail));
        }
        errors.extend(validate_spec(spec, kind, &path));
        errors.extend(validate_mandatory(spec, name, &path));
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        validate_conditions(&new["status"])
    }
}

fn validate_spec(spec: &Value, kind: &str, path: &Path) -> Errors {
    let (exempt, limited) = (&spec["exempt"], &spec["limited"]);
    let mut errors = Errors::new();
    let mut refuse = |field: &str| {
        let detail = format!("must be nil if the type is {kind}");
        errors.push(FieldError::forbidden(&path.child(field), &detail));
    };
    match kind {
        "Exempt" => {
            if !limited.is_null() {
                refuse("limited");
            }
            if !exempt.is_null() {
                errors.extend(validate_shares(exempt, &path.child("exempt")));
            }
        }
        "Limited" => {
            if !exempt.is_null() {
                refuse("exempt");
            }
            let path = path.child("limited");
            if limited.is_null() {
                let detail = "must not be empty when type is Limited";
                errors.push(FieldError::required(&path, detail));
            } else {
                errors.extend(validate_limited(limited, &path));
            }
        }
        other => errors.push(FieldError::not_supported(&path.child("type"), other, TYPES)),
    }
    errors
}

fn validate_mandatory(spec: &Value, name: &str, path: &Path) -> Option<FieldError> {
    let fixed = mandatory::priority_level(name)?;
    let exempt = name == mandatory::EXEMPT;
    let strip = |mut spec: Value| {
        if exempt && let Some(map) = spec.as_object_mut() {
            map.remove("exempt");
        }
        spec
    };
    let but = if exempt { " except the 'spec.exempt' field" } else { "" };
    let detail = format!("spec of '{name}'{but} must equal the fixed value");
    (strip(fixed) != strip(spec.clone())).then(|| FieldError::invalid(path, spec.clone(), &detail))
}

/// The capacity that a level has, and how much of it others may borrow.
fn validate_shares(level: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut refuse = |field: &str, detail: &str| {
        errors.push(FieldError::invalid(&path.child(field), level[field].clone(), detail));
    };
    if level["nominalConcurrencyShares"].as_i64().is_some_and(|shares| shares < 0) {
        refuse("nominalConcurrencyShares", "must be a non-negative integer");
    }
    if level["lendablePercent"].as_i64().is_some_and(|percent| !(0..=100).contains(&percent)) {
        refuse("lendablePercent", "must be between 0 and 100, inclusive");
    }
    errors
}

fn validate_limited(limited: &Value, path: &Path) -> Errors {
    let mut errors = validate_shares(limited, path);
    if let Some(percent) = limited["borrowingLimitPercent"].as_i64().filter(|n| *n < 0) {
        let path = path.child("borrowingLimitPercent");
        let detail = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path, percent, detail));
    }
    let (response, path) = (&limited["limitResponse"], path.child("limitResponse"));
    let (queuing, at) = (&response["queuing"], path.child("queuing"));
    match (text(response, "type"), queuing.is_null()) {
        ("Reject", true) => {}
        ("Reject", false) => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(&at, detail));
        }
        ("Queue", true) => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(&at, detail));
        }
        ("Queue", false) => errors.extend(validate_queuing(queuing, &at)),
        (other, _) => {
            errors.push(FieldError::not_supported(&path.child("type"), other, RESPONSES));
        }
    }
    errors
}

fn validate_queuing(queuing: &Value, path: &Path) -> Errors {
    let number = |field: &str| queuing[field].as_i64().unwrap_or(0);
    let (queues, hand) = (number("queues"), number("handSize"));
    let mut errors = Errors::new();
    let mut refuse = |field: &str, detail: &str| {
        errors.push(FieldError::invalid(&path.child(field), number(field), detail));
    };
    if number("queueLengthLimit") <= 0 {
        refuse("queueLengthLimit", "must be positive");
    }
    if queues <= 0 {
        refuse("queues", "must be positive");
    } else if queues > MAX_QUEUES {
        refuse("queues", &format!("must not be greater than {MAX_QUEUES}"));
    }
    if hand <= 0 {
        refuse("handSize", "must be positive");
    } else if hand > queues {
        refuse("handSize", &format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > MAX_HASH_BITS as f64 {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}"
        );
        refuse("handSize", &detail);
    }
    errors
}

/// Bits that it takes to choose each of a hand's queues.
fn entropy_bits(queues: i64, hand: i64) -> f64 {
    ((queues as f64).log2() * hand as f64).ceil()
}
