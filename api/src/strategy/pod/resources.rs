//! Requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::field::{Errors, FieldError, Path};
use crate::quantity::Quantity;
use crate::strategy::core::resource_name;

/// What a pod as a whole can be given, besides huge pages of any size.
const OF_POD: &[&str] = &["cpu", "memory"];
const HUGE_PAGES: &str = "hugepages-";

/// Whose requests and limits they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Container,
    Pod,
}

/// Checks requests and limits. What cannot be shared cannot be promised and limited differently.
pub(super) fn validate(resources: &ResourceRequirements, of: Of, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let none = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&none);
    let requests = resources.requests.as_ref().unwrap_or(&none);
    if limits.is_empty() && requests.is_empty() {
        return errors;
    }
    let (limits_path, at) = (path.child("limits"), path.child("requests"));
    for (name, amount) in limits {
        errors.extend(validate_of(of, name, amount, &limits_path.key(name)));
    }
    for (name, amount) in requests {
        errors.extend(validate_of(of, name, amount, &at.key(name)));
        let shared = resource_name::can_be_overcommitted(name);
        let Some(limit) = limits.get(name) else {
            if !shared {
                let detail = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(&limits_path, detail));
            }
            continue;
        };
        let (Ok(request), Ok(limit)) = (Quantity::try_from(amount), Quantity::try_from(limit))
        else {
            continue;
        };
        if !shared && request != limit {
            let detail = format!("must be equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&at, request.to_string(), &detail));
        } else if request > limit {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&at, request.to_string(), &detail));
        }
    }
    let mut names = limits.keys().chain(requests.keys());
    let huge = names.clone().any(|name| name.starts_with(HUGE_PAGES));
    if huge && !names.any(|name| OF_POD.contains(&name.as_str())) {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
    errors
}

/// Checks what running a pod costs besides its containers, in the words for limits.
pub(super) fn validate_overhead(overhead: &BTreeMap<String, Text>, path: &Path) -> Errors {
    let limits = ResourceRequirements { limits: Some(overhead.clone()), ..Default::default() };
    validate(&limits, Of::Container, path)
}

/// One amount of a container: a resource that exists, not negative, whole unless it can be divided.
pub(in crate::strategy) fn validate_amount(name: &str, amount: &Text, path: &Path) -> Errors {
    validate_of(Of::Container, name, amount, path)
}

fn validate_of(of: Of, name: &str, text: &Text, path: &Path) -> Errors {
    let mut errors = match of {
        // The names that nearly all containers use.
        Of::Container if matches!(name, "cpu" | "memory" | "ephemeral-storage") => Errors::new(),
        Of::Container => resource_name::validate_for_container(name, path),
        Of::Pod => validate_for_pod(name, path),
    };
    let amount = match Quantity::try_from(text) {
        Ok(amount) => amount,
        Err(error) => {
            errors.push(FieldError::invalid(path, text.0.as_str(), &error.to_string()));
            return errors;
        }
    };
    if amount.is_negative() {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path, amount.to_string(), detail));
    }
    if resource_name::is_counted(name) && amount.milli_value() % 1000 != 0 {
        errors.push(FieldError::invalid(path, amount.to_string(), "must be an integer"));
    }
    if let Some(size) = name.strip_prefix(HUGE_PAGES)
        && !is_multiple(amount, size)
    {
        let detail = format!("{amount} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, amount.to_string(), &detail));
    }
    errors
}

fn validate_for_pod(name: &str, path: &Path) -> Errors {
    let errors = resource_name::validate(name, path);
    if errors.is_empty() && !OF_POD.contains(&name) && !name.starts_with(HUGE_PAGES) {
        return vec![FieldError::not_supported(path, name, &["cpu", HUGE_PAGES, "memory"])];
    }
    errors
}

/// Whether it is a whole number of pages.
fn is_multiple(amount: Quantity, page: &str) -> bool {
    let page = page.parse::<Quantity>().ok().filter(|page| page.is_whole() && page.value() > 0);
    page.is_some_and(|page| amount.value() % page.value() == 0)
}
