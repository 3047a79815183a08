//! Names of attributes and capacities of devices: `[domain/]identifier`.

use crate::field::{Errors, FieldError, Path};
use crate::strategy::storage::validate_driver_name;

const MAX_IDENTIFIER: usize = 32;
const NO_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";

pub(super) fn validate(name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        [identifier] => errors.extend(validate_identifier(identifier, path)),
        [domain, identifier] => {
            if domain.is_empty() {
                errors.push(FieldError::invalid(path, "", "the domain must not be empty"));
            } else {
                errors.extend(validate_driver_name(domain, path));
            }
            if identifier.is_empty() {
                errors.push(FieldError::invalid(path, "", "the name must not be empty"));
            } else {
                errors.extend(validate_identifier(identifier, path));
            }
        }
        _ => {
            errors.push(FieldError::invalid(path, name, "must not contain more than one slash"));
        }
    }
    errors
}

/// A name with its domain.
pub(super) fn validate_full(name: &str, path: &Path) -> Errors {
    let mut errors = validate(name, path);
    if !name.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

fn validate_identifier(text: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if text.len() > MAX_IDENTIFIER {
        errors.push(FieldError::too_long(path, MAX_IDENTIFIER));
    }
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(starts) || !text.chars().all(|c| starts(c) || c.is_ascii_digit()) {
        errors.push(FieldError::invalid(path, text, NO_IDENTIFIER));
    }
    errors
}
