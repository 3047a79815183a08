//! Amounts of pods as a number or a share: `3` or `30%`.
//!
//! Source: k8s.io/kubernetes/pkg/apis/apps/validation (ValidatePositiveIntOrPercent).

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;

/// Checks a number that is not negative or a percentage up to 100; null is valid.
pub(super) fn validate(value: &Value, path: &Path) -> Errors {
    match value {
        Value::String(text) => {
            let messages = names::percent(text);
            if messages.is_empty() && share(text).is_none_or(|percent| percent > 100) {
                return vec![FieldError::invalid(
                    path,
                    text.as_str(),
                    "must not be greater than 100%",
                )];
            }
            FieldError::invalid_each(path, text, &messages)
        }
        Value::Number(number) if number.as_i64().is_some_and(|n| n < 0) => {
            vec![FieldError::invalid(path, value.clone(), "must be greater than or equal to 0")]
        }
        _ => Errors::new(),
    }
}

/// The percentage of `30%`; none if it does not fit a number.
fn share(text: &str) -> Option<u64> {
    text.strip_suffix('%')?.parse().ok()
}

/// Checks a number that is not negative or any percentage; null is valid.
pub(super) fn validate_unbounded(value: &Value, path: &Path) -> Errors {
    match value {
        Value::String(text) => FieldError::invalid_each(path, text, &names::percent(text)),
        other => validate(other, path),
    }
}

/// The number, or that of the percentage; 0 for anything else.
pub(super) fn number_of(value: &Value) -> u64 {
    value.as_u64().or_else(|| share(value.as_str()?)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_percentages() {
        let path = Path::new("p");
        for (value, number, unbounded, bounded) in [
            (json!(3), 3, true, true),
            (json!(0), 0, true, true),
            (json!(-1), 0, false, false),
            (json!("25%"), 25, true, true),
            (json!("101%"), 101, true, false),
            (json!("%"), 0, false, false),
            (json!("-1%"), 0, false, false),
            (json!("5"), 0, false, false),
            (json!("99999999999999999999%"), 0, true, false),
        ] {
            assert_eq!(number_of(&value), number, "{value}");
            assert_eq!(validate_unbounded(&value, &path).is_empty(), unbounded, "{value}");
            assert_eq!(validate(&value, &path).is_empty(), bounded, "{value}");
        }
    }
}
