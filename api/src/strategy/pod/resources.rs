//! Requests and limits.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::Quantity;

const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];

pub(super) fn validate(resources: &ResourceRequirements, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (name, amount) in resources.limits.iter().flatten() {
        errors.extend(validate_amount(name, amount, &path.child("limits").key(name)));
    }
    let at = path.child("requests");
    for (name, amount) in resources.requests.iter().flatten() {
        let limit = resources.limits.as_ref().and_then(|limits| limits.get(name));
        errors.extend(validate_amount(name, amount, &at.key(name)));
        let (Ok(request), Some(Ok(limit))) =
            (Quantity::try_from(amount), limit.map(Quantity::try_from))
        else {
            continue;
        };
        // What cannot be shared cannot be promised and limited differently.
        if !STANDARD.contains(&name.as_str()) && request != limit {
            let detail = format!("must be equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&at, request.to_string(), &detail));
        } else if request > limit {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&at, request.to_string(), &detail));
        }
    }
    for (n, claim) in resources.claims.iter().flatten().enumerate() {
        if claim.name.is_empty() {
            errors.push(FieldError::required(&path.child("claims").index(n), ""));
        }
    }
    errors
}

/// One amount: a resource that exists, not negative, whole unless it can be divided.
pub(in crate::strategy) fn validate_amount(name: &str, amount: &Text, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for message in names::qualified_name(name) {
        errors.push(FieldError::invalid(path, name, &message));
    }
    let huge_pages = name.starts_with("hugepages-");
    if !STANDARD.contains(&name) && !huge_pages && !name.contains('/') {
        let detail = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path, name, detail));
        let detail = "must be a standard resource for containers";
        errors.push(FieldError::invalid(path, name, detail));
    }
    match Quantity::try_from(amount) {
        Err(error) => errors.push(FieldError::invalid(path, amount.0.as_str(), &error.to_string())),
        Ok(amount) if amount.is_negative() => {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(path, amount.to_string(), detail));
        }
        Ok(amount) if !amount.is_whole() && name.contains('/') => {
            errors.push(FieldError::invalid(path, amount.to_string(), "must be an integer"));
        }
        Ok(_) => {}
    }
    errors
}
