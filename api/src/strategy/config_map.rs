//! ConfigMap. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateConfigMap).

use serde_json::Value;

use super::Strategy;
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// Total size of the values of a ConfigMap or Secret, in bytes.
pub(super) const MAX_SIZE: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let mut total = 0;
        let binary = object["binaryData"].as_object();
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            let path = Path::new("data").key(key);
            errors.extend(
                names::config_key(key).iter().map(|m| FieldError::invalid(&path, key.as_str(), m)),
            );
            if binary.is_some_and(|binary| binary.contains_key(key)) {
                errors.push(FieldError::invalid(
                    &path,
                    key.as_str(),
                    "duplicate of key present in binaryData",
                ));
            }
            total += value.as_str().map_or(0, str::len);
        }
        for (key, value) in binary.into_iter().flatten() {
            let path = Path::new("binaryData").key(key);
            errors.extend(
                names::config_key(key).iter().map(|m| FieldError::invalid(&path, key.as_str(), m)),
            );
            total += decoded_len(value);
        }
        if total > MAX_SIZE {
            // So Go prints the path of an element without a name.
            errors.push(FieldError::too_long(&Path::new("[]"), MAX_SIZE));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = validate_immutable(new, old, &["data", "binaryData"]);
        errors.extend(self.validate(new));
        errors
    }
}

/// Bytes that a base64 string stands for.
pub(super) fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// An object marked immutable keeps its data, and stays immutable.
pub(super) fn validate_immutable(new: &Value, old: &Value, fields: &[&str]) -> Errors {
    let mut errors = Errors::new();
    if old["immutable"] != true {
        return errors;
    }
    let detail = "field is immutable when `immutable` is set";
    if new["immutable"] != true {
        errors.push(FieldError::forbidden(&Path::new("immutable"), detail));
    }
    for field in fields {
        if new.get(field) != old.get(field) {
            errors.push(FieldError::forbidden(&Path::new(field), detail));
        }
    }
    errors
}
