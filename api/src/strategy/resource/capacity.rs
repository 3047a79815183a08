//! Capacities of devices that several claims may share: how much of one a claim may ask for.

use std::collections::HashSet;

use serde_json::Value;

use super::{list, text};
use crate::field::{Errors, FieldError, Path};
use crate::quantity::Quantity;

const MAX_VALUES: usize = 10;
const ONE_POLICY: &str = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";

fn quantity(map: &Value, field: &str) -> Option<Quantity> {
    map[field].as_str().and_then(|text| text.parse().ok())
}

/// Checks a capacity of a device; `shared` when it may be allocated several times.
pub(super) fn validate(capacity: &Value, shared: bool, path: &Path) -> Errors {
    let (policy, path) = (&capacity["requestPolicy"], path.child("requestPolicy"));
    if policy.is_null() {
        return Errors::new();
    }
    if !shared {
        return vec![FieldError::forbidden(&path, "allowMultipleAllocations must be true")];
    }
    let (values, range) =
        (!list(policy, "validValues").is_empty(), !policy["validRange"].is_null());
    let field = match (values, range) {
        (true, true) => return vec![FieldError::forbidden(&path, ONE_POLICY)],
        (false, false) => return Errors::new(),
        (true, false) => "validValues",
        (false, true) => "validRange",
    };
    let Some(default) = quantity(policy, "default") else {
        let detail = format!("required when {field} is defined");
        return vec![FieldError::required(&path.child("default"), &detail)];
    };
    let most = Bound {
        amount: quantity(capacity, "value").unwrap_or(Quantity::ZERO),
        shown: text(capacity, "value"),
    };
    let default = Bound { amount: default, shown: text(policy, "default") };
    if values {
        validate_values(policy, &default, &most, &path.child(field))
    } else {
        validate_range(&policy[field], &default, &most, &path.child(field))
    }
}

/// An amount, and how it was written.
struct Bound<'a> {
    amount: Quantity,
    shown: &'a str,
}

fn validate_values(policy: &Value, default: &Bound<'_>, most: &Bound<'_>, path: &Path) -> Errors {
    let items = list(policy, "validValues");
    if items.len() > MAX_VALUES {
        return vec![FieldError::too_many(path, items.len(), MAX_VALUES)];
    }
    let (mut errors, mut seen, mut before) = (Errors::new(), HashSet::new(), None);
    let mut found = false;
    for (n, item) in items.iter().enumerate() {
        let (shown, at) = (item.as_str().unwrap_or_default(), path.index(n));
        let Ok(amount) = shown.parse::<Quantity>() else { continue };
        if before.is_some_and(|before| before > amount) {
            let detail = "values must be sorted in ascending order";
            errors.push(FieldError::invalid(&at, shown, detail));
        }
        before = Some(amount);
        if amount > most.amount {
            let detail = format!("option is larger than capacity value: {}", most.shown);
            errors.push(FieldError::invalid(&at, shown, &detail));
        }
        if !seen.insert(amount.value()) {
            errors.push(FieldError::duplicate(&at, amount.value().to_string()));
        }
        found |= amount == default.amount;
    }
    if !found {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(path, default.shown, detail));
    }
    errors
}

fn validate_range(range: &Value, default: &Bound<'_>, capacity: &Bound<'_>, path: &Path) -> Errors {
    let Some(min) = quantity(range, "min") else {
        return vec![FieldError::required(
            &path.child("min"),
            "required when validRange is defined",
        )];
    };
    let mut errors = Errors::new();
    let (min_shown, max_shown) = (text(range, "min"), text(range, "max"));
    let mut refuse = |field: &str, value: &str, detail: String| {
        errors.push(FieldError::invalid(&path.child(field), value, &detail));
    };
    if min > capacity.amount {
        let detail = format!("min is larger than capacity value: {}", capacity.shown);
        refuse("min", min_shown, detail);
    }
    if default.amount < min {
        refuse("default", default.shown, format!("default is less than min: {min_shown}"));
    }
    let max = quantity(range, "max");
    if let Some(max) = max {
        if min > max {
            refuse("max", min_shown, format!("min is larger than max: {max_shown}"));
        }
        if max > capacity.amount {
            let detail = format!("max is larger than capacity value: {}", capacity.shown);
            refuse("max", max_shown, detail);
        }
        if default.amount > max {
            refuse("default", default.shown, format!("default is more than max: {max_shown}"));
        }
    }
    let Some(step) = quantity(range, "step") else { return errors };
    let step_shown = text(range, "step");
    if step.is_zero() || step.is_negative() {
        refuse("step", step_shown, "must be greater than zero".to_owned());
        return errors;
    }
    let wide = |amount: Quantity| i128::from(amount.value());
    for (amount, shown) in [(Some(default.amount), default.shown), (max, max_shown)] {
        if amount.is_some_and(|amount| (wide(amount) - wide(min)) % wide(step) != 0) {
            let detail = format!(
                "value is not a multiple of a given step ({step_shown}) from ({min_shown})"
            );
            refuse("step", shown, detail);
        }
    }
    if wide(min) + wide(step) > wide(capacity.amount) {
        let one = (wide(min) + wide(step)).to_string();
        let detail = format!("one step {one} is larger than capacity value: {}", capacity.shown);
        refuse("step", step_shown, detail);
    }
    errors
}
