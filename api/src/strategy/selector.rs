//! LabelSelectors inside objects.
//!
//! Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation (ValidateLabelSelector).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::typed;
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// Checks a LabelSelector. An absent one is for the caller to judge.
pub(crate) fn validate_label_selector(selector: Option<&LabelSelector>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(selector) = selector else { return errors };
    let at = path.child("matchLabels");
    for (key, value) in selector.match_labels.iter().flatten() {
        errors.extend(
            names::qualified_name(key).iter().map(|m| FieldError::invalid(&at, key.as_str(), m)),
        );
        errors.extend(
            names::label_value(value).iter().map(|m| FieldError::invalid(&at, value.as_str(), m)),
        );
    }
    for (n, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(n);
        let values = requirement.values.as_deref().unwrap_or_default();
        errors.extend(validate_values(&requirement.operator, values, &path.child("values")));
        match requirement.operator.as_str() {
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let detail = "not a valid selector operator";
                errors.push(FieldError::invalid(&path.child("operator"), other, detail));
            }
        }
        errors.extend(validate_words(&requirement.key, values, &path));
    }
    errors
}

/// Checks key and values of a requirement on labels.
pub(crate) fn validate_words(key: &str, values: &[String], path: &Path) -> Errors {
    let mut errors = FieldError::invalid_each(&path.child("key"), key, &names::qualified_name(key));
    for (n, value) in values.iter().enumerate() {
        let at = path.child("values").index(n);
        errors.extend(FieldError::invalid_each(&at, value, &names::label_value(value)));
    }
    errors
}

/// Checks that there are values where the operator of a requirement on labels needs some, and none where
/// it takes none.
pub(crate) fn validate_values(
    operator: &str,
    values: &[String],
    path: &Path,
) -> Option<FieldError> {
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            Some(FieldError::required(path, detail))
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            Some(FieldError::forbidden(path, detail))
        }
        _ => None,
    }
}

/// Checks a LabelSelector in its JSON form; null is absent.
pub(crate) fn validate_value(selector: &Value, path: &Path) -> Errors {
    if selector.is_null() {
        return Errors::new();
    }
    match typed::<LabelSelector>(selector) {
        Ok(selector) => validate_label_selector(Some(&selector), path),
        Err(errors) => errors,
    }
}

/// Whether a LabelSelector has no condition, and so would select everything.
pub(crate) fn is_empty(selector: &Value) -> bool {
    let none = |field: &str| match &selector[field] {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    };
    none("matchLabels") && none("matchExpressions")
}
