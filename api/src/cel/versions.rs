//! Kubernetes' functions for semantic versions.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-semver-library>.

use std::cmp::Ordering;
use std::sync::Arc;

use semver::Version;

use super::Problem;
use super::value::Value;

/// Reads a version; with `normalize` also `v1.2` and `01.2.3`.
pub(super) fn read(text: &str, normalize: bool) -> Result<Version, Problem> {
    let read = if normalize { Version::parse(&normalized(text)) } else { Version::parse(text) };
    read.map_err(|problem| Problem::new(format!("parse semantic version: {problem}")))
}

/// Without a leading `v` and leading zeros, and with three numbers.
fn normalized(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<&str> = numbers
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            significant => significant,
        })
        .collect();
    while parts.len() < 3 {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

/// The order of two versions; builds do not count.
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Version(a), Value::Version(b)) => Some(a.cmp_precedence(b)),
        _ => None,
    }
}

/// Calls a function, if it is one of these.
pub(super) fn call(name: &str, args: &[Value]) -> Option<Result<Value, Problem>> {
    let number =
        |number: u64| i64::try_from(number).map(Value::Int).map_err(|_| Problem::overflow());
    let normalize = match args {
        [_, Value::Bool(normalize)] => *normalize,
        _ => false,
    };
    Some(match (name, args) {
        ("semver", [Value::String(text)] | [Value::String(text), Value::Bool(_)]) => {
            read(text, normalize).map(|version| Value::Version(Arc::new(version)))
        }
        ("isSemver", [Value::String(text)] | [Value::String(text), Value::Bool(_)]) => {
            Ok(Value::Bool(read(text, normalize).is_ok()))
        }
        ("major", [Value::Version(version)]) => number(version.major),
        ("minor", [Value::Version(version)]) => number(version.minor),
        ("patch", [Value::Version(version)]) => number(version.patch),
        ("isLessThan", [a @ Value::Version(_), b]) => {
            return order(a, b).map(|order| Ok(Value::Bool(order == Ordering::Less)));
        }
        ("isGreaterThan", [a @ Value::Version(_), b]) => {
            return order(a, b).map(|order| Ok(Value::Bool(order == Ordering::Greater)));
        }
        ("compareTo", [a @ Value::Version(_), b]) => {
            return order(a, b).map(|order| Ok(Value::Int(order as i64)));
        }
        _ => return None,
    })
}
