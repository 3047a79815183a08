//! Priority and fairness: which requests share which part of the server's capacity.

mod flow_schema;
mod mandatory;
mod priority_level;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};

pub(crate) use flow_schema::FlowSchema;
pub(crate) use priority_level::PriorityLevelConfiguration;

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

/// Gives a number that is absent or 0 its default.
fn default_number(map: &mut Value, field: &str, number: i64) {
    if map.is_object() && map[field].as_i64().unwrap_or(0) == 0 {
        map[field] = number.into();
    }
}

/// Every condition has a type, and no two have the same.
fn validate_conditions(status: &Value) -> Errors {
    let (mut errors, mut seen) = (Errors::new(), HashSet::new());
    let path = Path::new("status").child("conditions");
    for (n, condition) in status["conditions"].as_array().into_iter().flatten().enumerate() {
        let path = path.index(n).child("type");
        let kind = text(condition, "type");
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(&path, "must not be empty"));
        }
    }
    errors
}
