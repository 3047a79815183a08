//! One step of a path: a field, a list item by its keys, a set member by its value, an index.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Number, Value};

use crate::field::go_quote;

/// A step of a path. Ordered as Kubernetes orders them: fields, keyed items, values, indices.
#[derive(Clone, Debug)]
pub enum Element {
    /// A field of a struct or a key of a map: `f:name`.
    Field(Box<str>),
    /// A list item by its keys, sorted by name: `k:{"name":"c"}`.
    Key(Vec<(Box<str>, Value)>),
    /// A member of a set: `v:"x"`.
    Value(Value),
    /// An item of an atomic list: `i:3`.
    Index(i64),
}

/// A key of `fieldsV1` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key:?} is no path element of fieldsV1")]
pub struct ElementError {
    /// The key.
    pub key: String,
}

impl Element {
    /// A field.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// Reads a key of `fieldsV1`. `None` for kinds of elements that a later version may have,
    /// which are dropped.
    ///
    /// # Errors
    /// [`ElementError`] for a key that has no prefix, or whose content does not fit its prefix.
    pub fn parse(text: &str) -> Result<Option<Self>, ElementError> {
        let bad = || ElementError { key: text.to_owned() };
        let (kind, content) = text.split_once(':').ok_or_else(bad)?;
        Ok(Some(match kind {
            "f" => Self::field(content),
            "v" => Self::Value(serde_json::from_str(content).map_err(|_| bad())?),
            "i" => Self::Index(content.parse().map_err(|_| bad())?),
            "k" => {
                let Ok(Value::Object(keys)) = serde_json::from_str(content) else {
                    return Err(bad());
                };
                // The map is sorted by name already.
                Self::Key(keys.into_iter().map(|(name, value)| (name.into(), value)).collect())
            }
            _ if kind.len() == 1 => return Ok(None),
            _ => return Err(bad()),
        }))
    }

    /// The key of `fieldsV1`.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Field(name) => {
                let mut text = String::with_capacity(name.len() + 2);
                text.push_str("f:");
                text.push_str(name);
                text
            }
            Self::Key(keys) => {
                let mut text = "k:{".to_owned();
                for (n, (name, value)) in keys.iter().enumerate() {
                    let comma = if n > 0 { "," } else { "" };
                    text.push_str(comma);
                    text.push_str(&Value::from(&**name).to_string());
                    text.push(':');
                    text.push_str(&value.to_string());
                }
                text.push('}');
                text
            }
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

/// As in messages about conflicts: `.spec`, `[name="c"]`, `[="x"]`, `[3]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (n, (name, value)) in keys.iter().enumerate() {
                    let comma = if n > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", shown(value))?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", shown(value)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), go_quote)
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                for ((a_name, a_value), (b_name, b_value)) in a.iter().zip(b) {
                    let order = a_name.cmp(b_name).then_with(|| compare(a_value, b_value));
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Value(a), Self::Value(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl Element {
    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Element {}

/// A total order of JSON values: numbers (by what they count, not how they are written), strings,
/// booleans, lists, maps, null.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let differing = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne());
            differing.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let pairs = a.iter().zip(b);
            let mut orders =
                pairs.map(|((a_key, a), (b_key, b))| a_key.cmp(b_key).then_with(|| compare(a, b)));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Whether two values are the same: 1 is 1.0.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    a == b || compare(a, b) == Ordering::Equal
}

fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a.cmp(&b);
    }
    let float = |number: &Number| number.as_f64().unwrap_or_default();
    float(a).total_cmp(&float(b))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_read_and_write() {
        let cases = [
            ("f:spec", ".spec"),
            ("f:a.b/c", ".a.b/c"),
            ("k:{\"name\":\"c\"}", "[name=\"c\"]"),
            (
                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}",
                "[containerPort=80,protocol=\"TCP\"]",
            ),
            ("v:\"x\"", "[=\"x\"]"),
            ("v:1", "[=1]"),
            ("i:3", "[3]"),
        ];
        for (key, path) in cases {
            let element = Element::parse(key).expect(key).expect("of this version");
            assert_eq!((element.key().as_str(), element.to_string().as_str()), (key, path));
        }
        assert_eq!(Element::parse("z:new"), Ok(None));
        for bad in ["", "spec", "i:x", "k:1", "k:{", "v:", "field:x"] {
            assert!(Element::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn elements_are_ordered_as_kubernetes_orders_them() {
        let key = |n: i32| Element::Key(vec![("port".into(), json!(n))]);
        let ordered = [
            Element::field("a"),
            Element::field("b"),
            key(80),
            key(443),
            Element::Value(json!(2)),
            Element::Value(json!("1")),
            Element::Value(json!(true)),
            Element::Index(2),
            Element::Index(10),
        ];
        assert!(ordered.is_sorted());
        assert!(equal(&json!({"a": [1]}), &json!({"a": [1.0]})));
        assert!(!equal(&json!({"a": [1]}), &json!({"a": ["1"]})));
    }
}
