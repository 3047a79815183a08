//! Kubernetes' functions for quantities.

use std::cmp::Ordering;

use super::Problem;
use super::value::Value;
use crate::quantity::{Format, Quantity};

const NANO: f64 = 1e9;

/// The order of two quantities.
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Quantity(a), Value::Quantity(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Calls a function, if it is one of these.
pub(super) fn call(name: &str, args: &[Value]) -> Option<Result<Value, Problem>> {
    Some(match (name, args) {
        ("quantity", [Value::String(text)]) => text
            .parse()
            .map(Value::Quantity)
            .map_err(|problem: crate::quantity::QuantityError| Problem::new(problem.to_string())),
        ("isQuantity", [Value::String(text)]) => Ok(Value::Bool(text.parse::<Quantity>().is_ok())),
        (_, [Value::Quantity(of), rest @ ..]) => return of_quantity(name, *of, rest),
        _ => return None,
    })
}

fn of_quantity(name: &str, of: Quantity, rest: &[Value]) -> Option<Result<Value, Problem>> {
    let fits = of.is_whole() && Quantity::from_value(of.value(), Format::DecimalSi) == of;
    Some(Ok(match (name, rest) {
        ("isInteger", []) => Value::Bool(fits),
        ("asInteger", []) if fits => Value::Int(of.value()),
        ("asInteger", []) => {
            return Some(Err(Problem::new("cannot convert value to integer")));
        }
        ("asApproximateFloat", []) => Value::Double(approximate(of)),
        ("sign", []) => Value::Int(match of.cmp(&Quantity::ZERO) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }),
        ("isLessThan", [Value::Quantity(other)]) => Value::Bool(of < *other),
        ("isGreaterThan", [Value::Quantity(other)]) => Value::Bool(of > *other),
        ("compareTo", [Value::Quantity(other)]) => Value::Int(of.cmp(other) as i64),
        ("add" | "sub", [amount]) => {
            let amount = match amount {
                Value::Quantity(amount) => *amount,
                Value::Int(amount) => Quantity::from_value(*amount, Format::DecimalSi),
                _ => return None,
            };
            Value::Quantity(if name == "add" { of + amount } else { of - amount })
        }
        _ => return None,
    }))
}

#[allow(clippy::cast_precision_loss, reason = "it is approximate")]
fn approximate(quantity: Quantity) -> f64 {
    quantity.nanos() as f64 / NANO
}
