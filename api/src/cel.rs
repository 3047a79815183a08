//! Expressions that select devices, in the Common Expression Language.
//!
//! ```text
//! text ── words ── tree (names, functions and types checked) ── evaluated on a device ── true or false
//! ```
//!
//! The language is CEL with the macros `has`, `all`, `exists`, `exists_one`, `filter`, `map` and `cel.bind`,
//! optional values, strings' functions, and Kubernetes' functions for lists, regular expressions,
//! quantities and semantic versions. Times and durations are missing: a device has none. A selector sees
//! one variable:
//!
//! | expression | is |
//! |---|---|
//! | `device.driver` | the name of the driver |
//! | `device.attributes["domain"].name` | an attribute: a boolean, integer, string or version, or a list |
//! | `device.capacity["domain"].name` | a capacity: a quantity |
//!
//! A name without a domain is in that of the driver. A domain that does not exist is empty; a name that
//! does not exist is an error, so one asks with `has` or `in` first.
//!
//! Whoever may write a claim may write an expression, so neither reading nor evaluating one goes deep or
//! takes long: the tree has at most 120 levels, and an evaluation at most a million steps, as many as in
//! Kubernetes.
//!
//! Called by the API server, which refuses what does not compile, and by the scheduler.
//!
//! Sources: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>,
//! k8s.io/dynamic-resource-allocation/cel.

mod budget;
mod eval;
mod functions;
mod lex;
mod operators;
mod parse;
mod quantities;
mod syntax;
#[cfg(test)]
mod tests;
mod value;
mod versions;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::resource::v1::{Device as ApiDevice, DeviceAttribute};

use crate::quantity::Quantity;
use eval::Evaluation;
pub(crate) use lex::RESERVED;
use syntax::Expr;
use value::{Key, Map, Value};

/// The variable of a selector.
const DEVICE: &str = "device";
/// Its fields, with their types.
const DEVICE_FIELDS: [(&str, &str); 3] =
    [("driver", "string"), ("attributes", "map"), ("capacity", "map")];

/// An expression that cannot be a selector, in cel-go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(String);

impl CompileError {
    /// Points at a byte of the text.
    fn at(text: &str, at: usize, why: String) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let shown = text.lines().nth(line).unwrap_or_default();
        let mark = format!("{}^", ".".repeat(column));
        Self(format!(
            "compilation failed: ERROR: <input>:{}:{}: {why}\n | {shown}\n | {mark}",
            line + 1,
            column + 1
        ))
    }
}

/// Why an expression has no value for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    message: String,
    /// Nothing can be evaluated any more.
    over: bool,
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), over: false }
    }

    fn spent() -> Self {
        let message = "operation cancelled: actual cost limit exceeded".to_owned();
        Self { message, over: true }
    }

    fn overflow() -> Self {
        Self::new("integer overflow")
    }

    fn overload(name: &str, args: &[Value]) -> Self {
        let kinds: Vec<&str> = args.iter().map(Value::kind).collect();
        Self::new(format!("no such overload: {name}({})", kinds.join(", ")))
    }

    fn is_final(&self) -> bool {
        self.over
    }
}

/// A device as expressions see it.
#[derive(Debug, Clone)]
pub struct Device(Value);

impl Device {
    /// Reads a device of a driver.
    ///
    /// # Errors
    /// An attribute or a capacity has no value that is known.
    pub fn read(driver: &str, device: &ApiDevice) -> Result<Self, Problem> {
        let mut attributes = BTreeMap::new();
        for (name, attribute) in device.attributes.iter().flatten() {
            let value = attribute_value(attribute)
                .map_err(|problem| Problem::new(format!("attribute {name}: {problem}")))?;
            insert(&mut attributes, driver, name, value);
        }
        let mut capacity = BTreeMap::new();
        for (name, given) in device.capacity.iter().flatten() {
            let value = Quantity::try_from(&given.value)
                .map_err(|problem| Problem::new(format!("capacity {name}: {problem}")))?;
            insert(&mut capacity, driver, name, Value::Quantity(value));
        }
        let fields = [
            ("driver", Value::string(driver)),
            ("attributes", domains(attributes)),
            ("capacity", domains(capacity)),
        ];
        let entries = fields.into_iter().map(|(name, value)| (Key::string(name), value)).collect();
        Ok(Self(Value::Map(Arc::new(Map { entries, or_empty: false }))))
    }
}

/// Values by the domains of their names.
type Domains = BTreeMap<Key, BTreeMap<Key, Value>>;

fn insert(domains: &mut Domains, driver: &str, name: &str, value: Value) {
    let (domain, name) = name.split_once('/').unwrap_or((driver, name));
    domains.entry(Key::string(domain)).or_default().insert(Key::string(name), value);
}

fn domains(domains: Domains) -> Value {
    let inner = |entries| Value::Map(Arc::new(Map { entries, or_empty: false }));
    let entries = domains.into_iter().map(|(domain, entries)| (domain, inner(entries))).collect();
    Value::Map(Arc::new(Map { entries, or_empty: true }))
}

fn attribute_value(attribute: &DeviceAttribute) -> Result<Value, Problem> {
    let version = |text: &String| {
        versions::read(text, false).map(|version| Value::Version(Arc::new(version)))
    };
    let DeviceAttribute { bool, bools, int, ints, string, strings, version: one, versions: many } =
        attribute;
    let one = one.as_ref().map(version).transpose()?;
    let many = many.as_ref().map(|all| all.iter().map(version).collect::<Result<_, _>>());
    let single = int
        .map(Value::Int)
        .or(bool.map(Value::Bool))
        .or(string.as_deref().map(Value::string))
        .or(one);
    let list = || {
        let bools = bools.as_ref().map(|all| all.iter().copied().map(Value::Bool).collect());
        let ints = ints.as_ref().map(|all| all.iter().copied().map(Value::Int).collect());
        let strings =
            strings.as_ref().map(|all| all.iter().map(|text| Value::string(text)).collect());
        bools.or(ints).or(strings)
    };
    let list = match many.transpose()? {
        Some(versions) => Some(versions),
        None => list(),
    };
    single.or(list.map(Value::list)).ok_or_else(|| Problem::new("unsupported attribute value"))
}

/// A compiled expression.
#[derive(Debug)]
pub struct Selector(Expr);

impl Selector {
    /// Compiles an expression.
    ///
    /// # Errors
    /// It is no expression, names what does not exist, or cannot be true or false.
    pub fn compile(expression: &str) -> Result<Self, CompileError> {
        let (tree, kind) = parse::parse(expression)?;
        if !matches!(kind, "bool" | "dyn") {
            let why = format!("must evaluate to bool or the unknown type, not {kind}");
            return Err(CompileError(why));
        }
        Ok(Self(tree))
    }

    /// Whether the expression is true of a device.
    ///
    /// # Errors
    /// What went wrong; too many steps as well.
    pub fn matches(&self, device: &Device) -> Result<bool, Problem> {
        match Evaluation::new(DEVICE, device.0.clone()).value(&self.0)? {
            Value::Bool(value) => Ok(value),
            other => Err(Problem::new(format!(
                "CEL result of type {} could not be converted to bool",
                other.kind()
            ))),
        }
    }
}
