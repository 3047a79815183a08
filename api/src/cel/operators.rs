//! Operators of two values.

use std::cmp::Ordering;

use super::Problem;
use super::budget::Budget;
use super::functions::is_in;
use super::value::Value;

/// Applies an operator, as it is written.
pub(super) fn binary(
    operator: &str,
    a: &Value,
    b: &Value,
    budget: &mut Budget,
) -> Result<Value, Problem> {
    budget.spend(1 + a.weight() + b.weight())?;
    let refused = || Problem::overload(&format!("_{operator}_"), &[a.clone(), b.clone()]);
    let is = |wanted: &[Ordering]| {
        let order = a.order(b).map(|order| wanted.contains(&order));
        // Nothing is less or greater than what is no number.
        let nan = |value: &Value| matches!(value, Value::Double(number) if number.is_nan());
        order.or((nan(a) || nan(b)).then_some(false)).map(Value::Bool).ok_or_else(refused)
    };
    match operator {
        "==" => a.equals(b, budget).map(Value::Bool),
        "!=" => a.equals(b, budget).map(|equal| Value::Bool(!equal)),
        "in" => is_in(a, b, budget).map(Value::Bool),
        "<" => is(&[Ordering::Less]),
        "<=" => is(&[Ordering::Less, Ordering::Equal]),
        ">" => is(&[Ordering::Greater]),
        ">=" => is(&[Ordering::Greater, Ordering::Equal]),
        _ => arithmetic(operator, a, b).unwrap_or_else(|| Err(refused())),
    }
}

fn arithmetic(operator: &str, a: &Value, b: &Value) -> Option<Result<Value, Problem>> {
    let by_zero = matches!(b, Value::Int(0) | Value::Uint(0));
    match (operator, a, b) {
        ("/", Value::Int(_), Value::Int(_)) | ("/", Value::Uint(_), Value::Uint(_)) if by_zero => {
            Some(Err(Problem::new("division by zero")))
        }
        ("%", Value::Int(_), Value::Int(_)) | ("%", Value::Uint(_), Value::Uint(_)) if by_zero => {
            Some(Err(Problem::new("modulus by zero")))
        }
        (_, Value::Int(a), Value::Int(b)) => {
            let result = match operator {
                "+" => a.checked_add(*b),
                "-" => a.checked_sub(*b),
                "*" => a.checked_mul(*b),
                "/" => a.checked_div(*b),
                "%" => a.checked_rem(*b),
                _ => return None,
            };
            Some(result.map(Value::Int).ok_or_else(Problem::overflow))
        }
        (_, Value::Uint(a), Value::Uint(b)) => {
            let result = match operator {
                "+" => a.checked_add(*b),
                "-" => a.checked_sub(*b),
                "*" => a.checked_mul(*b),
                "/" => a.checked_div(*b),
                "%" => a.checked_rem(*b),
                _ => return None,
            };
            Some(result.map(Value::Uint).ok_or_else(Problem::overflow))
        }
        (_, Value::Double(a), Value::Double(b)) => Some(Ok(Value::Double(match operator {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" => a / b,
            _ => return None,
        }))),
        ("+", Value::String(a), Value::String(b)) => Some(Ok(Value::string(&format!("{a}{b}")))),
        ("+", Value::Bytes(a), Value::Bytes(b)) => {
            Some(Ok(Value::Bytes([&**a, &**b].concat().into())))
        }
        ("+", Value::List(a), Value::List(b)) => {
            Some(Ok(Value::list(a.iter().chain(b.iter()).cloned().collect())))
        }
        _ => None,
    }
}
