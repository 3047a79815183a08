//! Values of expressions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Problem;
use super::budget::Budget;
use crate::quantity::Quantity;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    List(Arc<Vec<Value>>),
    Map(Arc<Map>),
    Quantity(Quantity),
    Version(Arc<semver::Version>),
    Optional(Option<Box<Value>>),
    /// What `type()` gives.
    Type(&'static str),
}

/// A key of a map. Numbers that are equal are one key, whatever their type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    /// Only above the largest [`Key::Int`].
    Uint(u64),
    String(Arc<str>),
}

/// A map.
#[derive(Debug, Clone, Default)]
pub(super) struct Map {
    pub(super) entries: BTreeMap<Key, Value>,
    /// A key that is not there has an empty map, as the domains of attributes and capacities do.
    pub(super) or_empty: bool,
}

impl Map {
    pub(super) fn get(&self, key: &Key) -> Option<Value> {
        let found = self.entries.get(key).cloned();
        found.or_else(|| self.or_empty.then(|| Value::Map(Arc::default())))
    }
}

impl Key {
    pub(super) fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// The value as a key, if it can be one.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::Uint(value) => Some(i64::try_from(*value).map_or(Self::Uint(*value), Self::Int)),
            #[allow(clippy::cast_possible_truncation, reason = "only whole numbers in range")]
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => {
                Some(Self::Int(*value as i64))
            }
            Value::String(text) => Some(Self::String(text.clone())),
            _ => None,
        }
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }
}

impl Value {
    pub(super) fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    pub(super) fn list(items: Vec<Value>) -> Self {
        Self::List(Arc::new(items))
    }

    /// What type it is of, in CEL's words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Version(_) => "kubernetes.Semver",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
        }
    }

    /// About how many bytes or items have to be looked at to compare or copy it.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::String(text) => text.len() / 8,
            Self::Bytes(bytes) => bytes.len() / 8,
            Self::List(items) => items.len(),
            Self::Map(map) => map.entries.len(),
            _ => 0,
        }
    }

    /// The order of two numbers, strings, bytes or truths; none if they cannot be compared.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            _ => numbers(self, other),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a double is as near as it gets")]
fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    let whole = |value: &Value| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    let real = |value: &Value| match value {
        Value::Double(value) => Some(*value),
        other => whole(other).map(|value| value as f64),
    };
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => real(a)?.partial_cmp(&real(b)?),
    }
}

impl Value {
    /// Whether two values are equal: those of different types, numbers aside, are not.
    pub(super) fn equals(&self, other: &Self, budget: &mut Budget) -> Result<bool, Problem> {
        budget.spend(1 + self.weight().min(other.weight()))?;
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::List(a), Self::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    if !a.equals(b, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(a), Self::Map(b)) => {
                if !a.entries.keys().eq(b.entries.keys()) {
                    return Ok(false);
                }
                for (a, b) in a.entries.values().zip(b.entries.values()) {
                    if !a.equals(b, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Version(a), Self::Version(b)) => a == b,
            (Self::Optional(Some(a)), Self::Optional(Some(b))) => return a.equals(b, budget),
            (Self::Optional(a), Self::Optional(b)) => a.is_none() && b.is_none(),
            (Self::Type(a), Self::Type(b)) => a == b,
            _ => self.order(other) == Some(Ordering::Equal),
        })
    }

    /// Where a list has a value equal to this one first.
    pub(super) fn position<'a>(
        &self,
        items: impl Iterator<Item = &'a Self>,
        budget: &mut Budget,
    ) -> Result<Option<usize>, Problem> {
        for (at, item) in items.enumerate() {
            if item.equals(self, budget)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value}"),
            Self::String(text) => f.write_str(text),
            Self::Quantity(quantity) => write!(f, "{quantity}"),
            Self::Version(version) => write!(f, "{version}"),
            Self::Type(name) => f.write_str(name),
            other => f.write_str(other.kind()),
        }
    }
}
