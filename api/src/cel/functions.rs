//! Functions: those of CEL, of its string extension, and Kubernetes' own for quantities and versions.
//!
//! Sources: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>,
//! <https://kubernetes.io/docs/reference/using-api/cel/>.

use std::cmp::Ordering;
use std::sync::Arc;

use regex::RegexBuilder;

use super::budget::Budget;
use super::value::{Key, Value};
use super::{Problem, operators, quantities, versions};
use crate::go_regexp;

/// Bytes of a compiled pattern at most.
const PATTERN: usize = 64 * 1024;
/// What compiling a pattern costs beside its length.
const COMPILING: usize = 100;

/// The functions there are, with the fewest and the most arguments. One that is called on something
/// counts that as its first.
pub(super) const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("add", 2, 2),
    ("asApproximateFloat", 1, 1),
    ("asInteger", 1, 1),
    ("bool", 1, 1),
    ("bytes", 1, 1),
    ("charAt", 2, 2),
    ("compareTo", 2, 2),
    ("contains", 2, 2),
    ("double", 1, 1),
    ("dyn", 1, 1),
    ("endsWith", 2, 2),
    ("find", 2, 2),
    ("findAll", 2, 3),
    ("hasValue", 1, 1),
    ("indexOf", 2, 3),
    ("int", 1, 1),
    ("isGreaterThan", 2, 2),
    ("isInteger", 1, 1),
    ("isLessThan", 2, 2),
    ("isQuantity", 1, 1),
    ("isSemver", 1, 2),
    ("isSorted", 1, 1),
    ("join", 1, 2),
    ("lastIndexOf", 2, 3),
    ("lowerAscii", 1, 1),
    ("major", 1, 1),
    ("matches", 2, 2),
    ("max", 1, 1),
    ("min", 1, 1),
    ("minor", 1, 1),
    ("or", 2, 2),
    ("orValue", 2, 2),
    ("patch", 1, 1),
    ("quantity", 1, 1),
    ("replace", 3, 4),
    ("reverse", 1, 1),
    ("semver", 1, 2),
    ("sets.contains", 2, 2),
    ("sets.equivalent", 2, 2),
    ("sets.intersects", 2, 2),
    ("optional.none", 0, 0),
    ("optional.of", 1, 1),
    ("optional.ofNonZeroValue", 1, 1),
    ("sign", 1, 1),
    ("size", 1, 1),
    ("split", 2, 3),
    ("startsWith", 2, 2),
    ("string", 1, 1),
    ("sub", 2, 2),
    ("substring", 2, 3),
    ("sum", 1, 1),
    ("trim", 1, 1),
    ("type", 1, 1),
    ("uint", 1, 1),
    ("upperAscii", 1, 1),
    ("value", 1, 1),
];

/// Calls a function. What it is called on is the first argument.
pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Result<Value, Problem> {
    budget.spend(1 + args.iter().map(Value::weight).sum::<usize>())?;
    if let Some(result) = quantities::call(name, args).or_else(|| versions::call(name, args)) {
        return result;
    }
    match (name, args) {
        ("dyn", [value]) => Ok(value.clone()),
        ("type", [value]) => Ok(Value::Type(value.kind())),
        ("size", [value]) => size(value),
        ("int" | "uint" | "double" | "string" | "bool" | "bytes", [value]) => convert(name, value),
        ("isSorted" | "sum" | "min" | "max", [Value::List(items)]) => {
            aggregate(name, items, budget)
        }
        ("indexOf" | "lastIndexOf", [Value::List(items), wanted]) => {
            let found = if name == "indexOf" {
                wanted.position(items.iter(), budget)?
            } else {
                let from_behind = wanted.position(items.iter().rev(), budget)?;
                from_behind.map(|at| items.len() - 1 - at)
            };
            Ok(Value::Int(found.map_or(-1, length)))
        }
        ("join", [Value::List(items), rest @ ..]) => join(items, rest, budget),
        ("reverse", [Value::List(items)]) => Ok(Value::list(items.iter().rev().cloned().collect())),
        (
            "sets.contains" | "sets.equivalent" | "sets.intersects",
            [Value::List(a), Value::List(b)],
        ) => Ok(Value::Bool(match name {
            "sets.contains" => shared(b, a, budget)? == b.len(),
            "sets.equivalent" => {
                shared(a, b, budget)? == a.len() && shared(b, a, budget)? == b.len()
            }
            _ => shared(a, b, budget)? > 0,
        })),
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.of", [value]) => Ok(Value::Optional(Some(Box::new(value.clone())))),
        ("optional.ofNonZeroValue", [value]) => {
            let some = (!is_zero(value)).then(|| Box::new(value.clone()));
            Ok(Value::Optional(some))
        }
        ("hasValue", [Value::Optional(value)]) => Ok(Value::Bool(value.is_some())),
        ("value", [Value::Optional(Some(value))]) => Ok((**value).clone()),
        ("value", [Value::Optional(None)]) => Err(Problem::new("optional.none() dereference")),
        ("orValue", [Value::Optional(value), other]) => {
            Ok(value.as_ref().map_or_else(|| other.clone(), |value| (**value).clone()))
        }
        ("or", [value @ Value::Optional(Some(_)), _]) => Ok(value.clone()),
        ("or", [Value::Optional(None), other @ Value::Optional(_)]) => Ok(other.clone()),
        (_, [Value::String(text), rest @ ..]) => strings(name, text, rest, budget),
        _ => Err(Problem::overload(name, args)),
    }
}

/// How many of these items are among those.
fn shared(these: &[Value], those: &[Value], budget: &mut Budget) -> Result<usize, Problem> {
    let mut shared = 0;
    for item in these {
        shared += usize::from(item.position(those.iter(), budget)?.is_some());
    }
    Ok(shared)
}

fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn size(value: &Value) -> Result<Value, Problem> {
    Ok(Value::Int(length(match value {
        Value::String(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.entries.len(),
        other => return Err(Problem::overload("size", std::slice::from_ref(other))),
    })))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Int(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.entries.is_empty(),
        Value::Optional(value) => value.is_none(),
        Value::Quantity(_) | Value::Version(_) | Value::Type(_) => false,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "checked before, or what CEL asks for"
)]
fn convert(to: &str, value: &Value) -> Result<Value, Problem> {
    let text = match value {
        Value::String(text) => Some(&**text),
        _ => None,
    };
    let unreadable =
        || Problem::new(format!("type conversion error from {} to {to}", value.kind()));
    let in_range = |value: f64, from: f64, to: f64| value.is_finite() && value > from && value < to;
    match (to, value) {
        ("int", Value::Int(_))
        | ("uint", Value::Uint(_))
        | ("double", Value::Double(_))
        | ("string", Value::String(_))
        | ("bool", Value::Bool(_))
        | ("bytes", Value::Bytes(_)) => return Ok(value.clone()),
        ("int", Value::Uint(value)) => {
            return i64::try_from(*value).map(Value::Int).map_err(|_| Problem::overflow());
        }
        ("int", Value::Double(value)) if in_range(*value, -9.2e18, 9.2e18) => {
            return Ok(Value::Int(*value as i64));
        }
        ("uint", Value::Int(value)) => {
            return u64::try_from(*value).map(Value::Uint).map_err(|_| Problem::overflow());
        }
        ("uint", Value::Double(value)) if in_range(*value, -1.0, 1.8e19) => {
            return Ok(Value::Uint(*value as u64));
        }
        ("int" | "uint", Value::Double(_)) => return Err(Problem::overflow()),
        ("double", Value::Int(value)) => return Ok(Value::Double(*value as f64)),
        ("double", Value::Uint(value)) => return Ok(Value::Double(*value as f64)),
        (
            "string",
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Quantity(_),
        ) => return Ok(Value::string(&value.to_string())),
        ("string", Value::Bytes(bytes)) => {
            return std::str::from_utf8(bytes).map(Value::string).map_err(|_| unreadable());
        }
        _ => {}
    }
    let Some(text) = text else { return Err(Problem::overload(to, std::slice::from_ref(value))) };
    let read = match to {
        "int" => text.parse().ok().map(Value::Int),
        "uint" => text.parse().ok().map(Value::Uint),
        "double" => text.parse().ok().map(Value::Double),
        "bool" => match text {
            "true" | "True" | "TRUE" | "t" | "1" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => Some(Value::Bytes(text.as_bytes().into())),
    };
    read.ok_or_else(unreadable)
}

fn aggregate(name: &str, items: &[Value], budget: &mut Budget) -> Result<Value, Problem> {
    budget.spend(items.iter().map(Value::weight).sum())?;
    let order = |a: &Value, b: &Value| -> Result<Ordering, Problem> {
        let special = quantities::order(a, b).or_else(|| versions::order(a, b));
        let order = special.or_else(|| a.order(b));
        order.ok_or_else(|| Problem::overload(name, &[a.clone(), b.clone()]))
    };
    if name == "isSorted" {
        for pair in items.windows(2) {
            if order(&pair[0], &pair[1])? == Ordering::Greater {
                return Ok(Value::Bool(false));
            }
        }
        return Ok(Value::Bool(true));
    }
    let Some((first, rest)) = items.split_first() else {
        if name == "sum" {
            return Ok(Value::Int(0));
        }
        return Err(Problem::new(format!("{name} called on empty list")));
    };
    rest.iter().try_fold(first.clone(), |best, item| {
        let better = match name {
            "sum" => return operators::binary("+", &best, item, budget),
            "min" => Ordering::Less,
            _ => Ordering::Greater,
        };
        Ok(if order(item, &best)? == better { item.clone() } else { best })
    })
}

fn join(items: &[Value], rest: &[Value], budget: &mut Budget) -> Result<Value, Problem> {
    let separator = match rest {
        [] => "",
        [Value::String(separator)] => separator,
        other => return Err(Problem::overload("join", other)),
    };
    let mut joined = String::new();
    for (at, item) in items.iter().enumerate() {
        let Value::String(text) = item else {
            return Err(Problem::overload("join", std::slice::from_ref(item)));
        };
        budget.spend(1 + (text.len() + separator.len()) / 8)?;
        if at > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text);
    }
    Ok(Value::string(&joined))
}

/// Functions of a string.
fn strings(
    name: &str,
    text: &Arc<str>,
    rest: &[Value],
    budget: &mut Budget,
) -> Result<Value, Problem> {
    let refused = || {
        let mut args = vec![Value::String(text.clone())];
        args.extend_from_slice(rest);
        Problem::overload(name, &args)
    };
    match (name, rest) {
        ("contains", [Value::String(part)]) => Ok(Value::Bool(text.contains(&**part))),
        ("startsWith", [Value::String(part)]) => Ok(Value::Bool(text.starts_with(&**part))),
        ("endsWith", [Value::String(part)]) => Ok(Value::Bool(text.ends_with(&**part))),
        ("lowerAscii", []) => Ok(Value::string(&text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Value::string(&text.to_ascii_uppercase())),
        ("trim", []) => Ok(Value::string(text.trim())),
        ("reverse", []) => Ok(Value::string(&text.chars().rev().collect::<String>())),
        ("matches" | "find", [Value::String(pattern)])
        | ("findAll", [Value::String(pattern)] | [Value::String(pattern), Value::Int(_)]) => {
            search(name, text, pattern, rest.get(1), budget)
        }
        ("replace", [Value::String(from), Value::String(to), limit @ ..]) => {
            let limit = count(limit).ok_or_else(refused)?;
            let times = text.matches(&**from).take(limit).count();
            budget.spend(times.saturating_mul(to.len()) / 8)?;
            Ok(Value::string(&text.replacen(&**from, to, limit)))
        }
        ("split", [Value::String(separator), limit @ ..]) => {
            let limit = count(limit).ok_or_else(refused)?;
            budget.spend(text.len())?;
            if limit == 0 {
                return Ok(Value::list(Vec::new()));
            }
            if separator.is_empty() {
                // Into characters, as in Go.
                let mut parts: Vec<String> = text.chars().map(String::from).collect();
                if parts.len() > limit {
                    let last = parts.split_off(limit - 1).concat();
                    parts.push(last);
                }
                return Ok(Value::list(parts.iter().map(|part| Value::string(part)).collect()));
            }
            Ok(Value::list(text.splitn(limit, &**separator).map(Value::string).collect()))
        }
        ("charAt", [Value::Int(at)]) => {
            let (at, chars) = (usize::try_from(*at).ok(), text.chars().count());
            let at = at.filter(|at| *at <= chars).ok_or_else(|| out_of_range(rest))?;
            let char: String = text.chars().skip(at).take(1).collect();
            Ok(Value::string(&char))
        }
        ("substring", [Value::Int(from)] | [Value::Int(from), Value::Int(_)]) => {
            let chars: Vec<char> = text.chars().collect();
            let to = match rest.get(1) {
                Some(Value::Int(to)) => usize::try_from(*to).ok(),
                _ => Some(chars.len()),
            };
            let range = usize::try_from(*from).ok().zip(to).and_then(|(a, b)| chars.get(a..b));
            let part: String = range.ok_or_else(|| out_of_range(rest))?.iter().collect();
            Ok(Value::string(&part))
        }
        ("indexOf" | "lastIndexOf", [Value::String(part)]) => {
            let at = if name == "indexOf" { text.find(&**part) } else { text.rfind(&**part) };
            Ok(Value::Int(at.map_or(-1, |at| length(text[..at].chars().count()))))
        }
        _ => Err(refused()),
    }
}

fn out_of_range(args: &[Value]) -> Problem {
    let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
    Problem::new(format!("index out of range: {}", shown.join(", ")))
}

/// A limit of replacements or parts: none given or a negative one is none.
fn count(limit: &[Value]) -> Option<usize> {
    match limit {
        [] => Some(usize::MAX),
        [Value::Int(limit)] => Some(usize::try_from(*limit).unwrap_or(usize::MAX)),
        _ => None,
    }
}

/// Compiles a pattern.
pub(super) fn pattern(pattern: &str) -> Result<regex::Regex, Problem> {
    let refused = |error: go_regexp::Malformed| Problem::new(error.to_string());
    let translated = go_regexp::translate(pattern).map_err(refused)?;
    let built = RegexBuilder::new(&translated).size_limit(PATTERN).dfa_size_limit(PATTERN).build();
    built.map_err(|_| Problem::new(format!("error parsing regexp: {pattern:?}")))
}

fn search(
    name: &str,
    text: &str,
    with: &str,
    limit: Option<&Value>,
    budget: &mut Budget,
) -> Result<Value, Problem> {
    budget.spend(COMPILING + with.len() + (1 + text.len() / 8) * (1 + with.len() / 4))?;
    let pattern = pattern(with)?;
    Ok(match name {
        "matches" => Value::Bool(pattern.is_match(text)),
        "find" => Value::string(pattern.find(text).map_or("", |found| found.as_str())),
        _ => {
            let limit = count(limit.map(std::slice::from_ref).unwrap_or_default());
            let found = pattern.find_iter(text).take(limit.unwrap_or(usize::MAX));
            Value::list(found.map(|found| Value::string(found.as_str())).collect())
        }
    })
}

/// Whether `wanted` is in a list, or a key of a map.
pub(super) fn is_in(wanted: &Value, within: &Value, budget: &mut Budget) -> Result<bool, Problem> {
    match within {
        Value::List(items) => Ok(wanted.position(items.iter(), budget)?.is_some()),
        Value::Map(map) => Ok(Key::of(wanted).is_some_and(|key| map.get(&key).is_some())),
        other => Err(Problem::overload("@in", &[wanted.clone(), other.clone()])),
    }
}
