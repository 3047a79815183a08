//! The limits of numbers. An integer is compared as an integer, whatever is behind the point of its
//! limit; where a format is given, the limits have to be of it as well.
//!
//! Source: k8s.io/kube-openapi/pkg/validation/validate/{validator,values}.go.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::shown;
use crate::custom::{Schema, format, number};
use crate::field::{Errors, FieldError, Path};

/// Checks a number at `path`.
pub(super) fn check(schema: &Schema, value: &Number, path: &Path, errors: &mut Errors) {
    let format = format::of(schema);
    let at = || shown(path);
    let refuse = |detail: String| {
        let detail = format!("{} in body should be {detail}", at());
        FieldError::invalid(path, value.clone(), &detail)
    };
    let out_of_range = |what: &str| {
        let kind = &schema.kind;
        let detail =
            format!("{what} value must be of type {kind} with format {format} in {}", at());
        FieldError::invalid(&Path::root(), "", &detail)
    };
    let fits =
        |limit: f64| Number::from_f64(limit).is_some_and(|limit| number::fits(format, &limit));
    if !number::fits(format, value) {
        errors.push(out_of_range("Checked"));
    }
    if let Some(factor) = schema.multiple_of {
        if !fits(factor) {
            errors.push(out_of_range("MultipleOf"));
        }
        match multiple(value, factor, fits(factor)) {
            Multiple::Yes => {}
            Multiple::No(factor) => errors.push(refuse(format!("a multiple of {factor}"))),
            Multiple::Negative(factor, shown) => {
                let detail =
                    format!("factor MultipleOf declared for {} must be positive: {shown}", at());
                errors.push(FieldError::invalid(path, factor, &detail));
            }
        }
    }
    for (limit, exclusive, what, beyond, words) in [
        (schema.minimum, schema.exclusive_minimum, "Minimum boundary", Ordering::Less, "greater"),
        (schema.maximum, schema.exclusive_maximum, "Maximum boundary", Ordering::Greater, "less"),
    ] {
        let Some(limit) = limit else { continue };
        if !fits(limit) {
            errors.push(out_of_range(what));
        }
        let (order, shown) = compared(value, limit, fits(limit));
        if order == beyond || (exclusive && order == Ordering::Equal) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            errors.push(refuse(format!("{words} than{or_equal} {shown}")));
        }
    }
}

/// A number beside a limit, and the limit as it is shown. `exact`: whether integers are compared as
/// such.
fn compared(value: &Number, limit: f64, exact: bool) -> (Ordering, String) {
    match value.as_i64().filter(|_| exact) {
        Some(value) => {
            let limit = limit as i64;
            (value.cmp(&limit), limit.to_string())
        }
        None => {
            let value = value.as_f64().unwrap_or(0.0);
            (value.partial_cmp(&limit).unwrap_or(Ordering::Equal), number::shown(limit))
        }
    }
}

/// Whether a number is a multiple of a factor, which is shown if not.
enum Multiple {
    Yes,
    No(String),
    /// There are none of a factor below zero.
    Negative(Value, String),
}

fn multiple(value: &Number, factor: f64, exact: bool) -> Multiple {
    let (multiple, given, shown) = match value.as_i64().filter(|_| exact && factor.trunc() != 0.0) {
        Some(value) => {
            let factor = factor as i64;
            let rest = value.checked_rem(factor).unwrap_or(0);
            (rest == 0, Value::from(factor), factor.to_string())
        }
        None => {
            let value = value.as_f64().unwrap_or(0.0);
            let multiple = factor == 0.0 || number::is_multiple(value, factor);
            (multiple, Value::from(factor), number::shown(factor))
        }
    };
    match multiple {
        _ if factor < 0.0 => Multiple::Negative(given, shown),
        true => Multiple::Yes,
        false => Multiple::No(shown),
    }
}
