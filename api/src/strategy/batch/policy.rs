//! Which failures of pods end a job, and which successes are enough.

use std::collections::HashSet;

use serde_json::Value;

use super::indexes;
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::bounds;

/// Rules of a policy at most.
const RULES: usize = 20;
/// Exit codes of a rule at most.
const EXIT_CODES: usize = 255;
/// Conditions of a rule at most.
const CONDITIONS: usize = 20;
/// Bytes of a list of indexes at most.
const INDEXES: usize = 64 * 1024;

/// Checks `podFailurePolicy`.
pub(super) fn validate_failure(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let path = path.child("rules");
    let rules = list(&spec["podFailurePolicy"]["rules"]);
    if rules.len() > RULES {
        errors.push(FieldError::too_many(&path, rules.len(), RULES));
    }
    for (n, rule) in rules.iter().enumerate() {
        errors.extend(validate_failure_rule(spec, rule, &path.index(n)));
    }
    errors
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A word that must be one of a few, with the words of a policy.
fn choice(value: &Value, supported: &[&str], path: &Path) -> Option<FieldError> {
    match value.as_str().unwrap_or_default() {
        "" => {
            let quoted: Vec<String> = supported.iter().map(|word| format!("\"{word}\"")).collect();
            let detail = format!("valid values: [{}]", quoted.join(" "));
            Some(FieldError::required(path, &detail))
        }
        word if supported.contains(&word) => None,
        word => Some(FieldError::not_supported(path, word, supported)),
    }
}

fn validate_failure_rule(spec: &Value, rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (action, at) = (&rule["action"], path.child("action"));
    if action == "FailIndex" && spec["backoffLimitPerIndex"].is_null() {
        let detail = "requires the backoffLimitPerIndex to be set";
        errors.push(FieldError::invalid(&at, "FailIndex", detail));
    }
    errors.extend(choice(action, &["Count", "FailIndex", "FailJob", "Ignore"], &at));
    let (codes, conditions) = (&rule["onExitCodes"], list(&rule["onPodConditions"]));
    if !codes.is_null() {
        errors.extend(validate_exit_codes(spec, codes, &path.child("onExitCodes")));
    }
    errors.extend(validate_conditions(conditions, &path.child("onPodConditions")));
    let detail = match (codes.is_null(), conditions.is_empty()) {
        (false, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (true, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return errors,
    };
    errors.push(FieldError::invalid_without_value(path, detail));
    errors
}

fn validate_exit_codes(spec: &Value, codes: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let operator = &codes["operator"];
    errors.extend(choice(operator, &["In", "NotIn"], &path.child("operator")));
    if let Some(name) = codes["containerName"].as_str() {
        let pod = &spec["template"]["spec"];
        let known = ["containers", "initContainers"]
            .iter()
            .any(|all| list(&pod[*all]).iter().any(|container| container["name"] == name));
        if !known {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.push(FieldError::invalid(&path.child("containerName"), name, detail));
        }
    }
    let (values, path) = (list(&codes["values"]), path.child("values"));
    if values.is_empty() {
        let shown = codes["values"].clone();
        errors.push(FieldError::invalid(&path, shown, "at least one value is required"));
    } else if values.len() > EXIT_CODES {
        errors.push(FieldError::too_many(&path, values.len(), EXIT_CODES));
    }
    let numbers: Vec<i64> = values.iter().filter_map(Value::as_i64).collect();
    let mut seen = HashSet::new();
    for (n, code) in numbers.iter().enumerate() {
        if *code == 0 && operator == "In" {
            let detail = "must not be 0 for the In operator";
            errors.push(FieldError::invalid(&path.index(n), 0, detail));
        }
        if !seen.insert(code) {
            errors.push(FieldError::duplicate(&path.index(n), *code));
        }
    }
    if !numbers.is_sorted() {
        errors.push(FieldError::invalid(&path, codes["values"].clone(), "must be ordered"));
    }
    errors
}

fn validate_conditions(conditions: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    if conditions.len() > CONDITIONS {
        errors.push(FieldError::too_many(path, conditions.len(), CONDITIONS));
    }
    for (n, pattern) in conditions.iter().enumerate() {
        let path = path.index(n);
        let kind = pattern["type"].as_str().unwrap_or_default();
        let messages = names::qualified_name(kind);
        errors.extend(FieldError::invalid_each(&path.child("type"), kind, &messages));
        let at = path.child("status");
        errors.extend(choice(&pattern["status"], &["False", "True", "Unknown"], &at));
    }
    errors
}

/// Checks `successPolicy` of an indexed job.
pub(super) fn validate_success(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (rules, path) = (list(&spec["successPolicy"]["rules"]), path.child("rules"));
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&path, detail));
    }
    if rules.len() > RULES {
        errors.push(FieldError::too_many(&path, rules.len(), RULES));
    }
    let completions = spec["completions"].as_i64().unwrap_or(0);
    for (n, rule) in rules.iter().enumerate() {
        errors.extend(validate_success_rule(rule, completions, &path.index(n)));
    }
    errors
}

fn validate_success_rule(rule: &Value, completions: i64, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (count, wanted) = (rule["succeededCount"].as_i64(), rule["succeededIndexes"].as_str());
    if count.is_none() && wanted.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, detail));
    }
    let mut total = 0;
    if let Some(wanted) = wanted {
        let at = path.child("succeededIndexes");
        if wanted.len() > INDEXES {
            errors.push(FieldError::too_long(&at, INDEXES));
        }
        match indexes::parse(wanted, completions) {
            Ok(intervals) => total = indexes::count(&intervals),
            Err(error) => {
                let detail = format!("error parsing succeededIndexes: {error}");
                errors.push(FieldError::invalid(&at, wanted, &detail));
            }
        }
    }
    if let Some(count) = count {
        let at = path.child("succeededCount");
        errors.extend(bounds::not_negative(&count.into(), &at));
        for (most, of) in [
            (Some(completions), "the number of specified completions"),
            (
                wanted.map(|_| total),
                "the number of indexes in the specified succeededIndexes field",
            ),
        ] {
            if let Some(most) = most.filter(|most| count > *most) {
                let detail = format!("must be less than or equal to {most} ({of})");
                errors.push(FieldError::invalid(&at, count, &detail));
            }
        }
    }
    errors
}
