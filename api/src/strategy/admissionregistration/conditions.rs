//! Expressions by which webhooks and policies narrow down what they are about.
//!
//! Expressions are not compiled: only that there is one is checked.

use std::collections::HashSet;

use serde_json::Value;

use super::{list, text};
use crate::cel::RESERVED;
use crate::field::{Errors, FieldError, Path};
use crate::names;

const MAX_CONDITIONS: usize = 64;
/// Words that cannot name a variable in an expression, besides those that CEL keeps to itself.
const LITERALS: [&str; 4] = ["true", "false", "null", "in"];

/// Checks `matchConditions`.
pub(super) fn validate(of: &Value, path: &Path) -> Errors {
    let (conditions, path) = (list(of, "matchConditions"), path.child("matchConditions"));
    let (mut errors, mut seen) = (Errors::new(), HashSet::new());
    if conditions.len() > MAX_CONDITIONS {
        errors.push(FieldError::too_many(&path, conditions.len(), MAX_CONDITIONS));
    }
    for (n, condition) in conditions.iter().enumerate() {
        let path = path.index(n);
        errors.extend(required(condition, "expression", &path, ""));
        let (name, at) = (text(condition, "name"), path.child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        errors.extend(FieldError::invalid_each(&at, name, &names::qualified_name(name)));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    errors
}

/// Checks `variables`.
pub(super) fn validate_variables(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, variable) in list(spec, "variables").iter().enumerate() {
        let path = path.child("variables").index(n);
        let (name, at) = (text(variable, "name"), path.child("name"));
        if name.trim().is_empty() {
            errors.push(FieldError::required(&at, "name is not specified"));
        } else if !is_identifier(name) {
            errors.push(FieldError::invalid(&at, name, "name is not a valid CEL identifier"));
        }
        errors.extend(required(variable, "expression", &path, "expression is not specified"));
    }
    errors
}

/// A field that holds an expression, and must.
pub(super) fn required(of: &Value, field: &str, path: &Path, detail: &str) -> Option<FieldError> {
    let blank = text(of, field).trim().is_empty();
    blank.then(|| FieldError::required(&path.child(field), detail))
}

fn is_identifier(name: &str) -> bool {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(starts)
        && name.chars().all(|c| starts(c) || c.is_ascii_digit())
        && !LITERALS.contains(&name)
        && !RESERVED.contains(&name)
}
