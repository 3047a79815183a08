//! Label selectors: `a=b,c in (d,e),!f`, and LabelSelector objects.
//!
//! Source: k8s.io/apimachinery/pkg/labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::SelectorError;
use super::parser;
use crate::field::go_quote;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `key = value`.
    Equals,
    /// `key != value`; holds when the key is absent.
    NotEquals,
    /// `key in (values)`.
    In,
    /// `key notin (values)`; holds when the key is absent.
    NotIn,
    /// `key`.
    Exists,
    /// `!key`.
    DoesNotExist,
    /// `key > integer`.
    GreaterThan,
    /// `key < integer`.
    LessThan,
}

/// One condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Comparison.
    pub operator: Operator,
    /// Values, sorted, without repetitions.
    pub values: BTreeSet<String>,
}

impl Requirement {
    /// Whether labels satisfy the condition. `get` looks a label up.
    fn matches<'a>(&self, get: &impl Fn(&str) -> Option<&'a str>) -> bool {
        let value = get(&self.key);
        let compare = |op: fn(&i64, &i64) -> bool| {
            let wanted = self.values.first().and_then(|v| v.parse::<i64>().ok());
            let have = value.and_then(|v| v.parse::<i64>().ok());
            matches!((have, wanted), (Some(have), Some(wanted)) if op(&have, &wanted))
        };
        match self.operator {
            Operator::Equals | Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotEquals | Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(i64::gt),
            Operator::LessThan => compare(i64::lt),
        }
    }
}

/// Conditions that must all hold. Without conditions it selects everything; [`LabelSelector::nothing`]
/// selects nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Selects everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects nothing (an absent LabelSelector).
    #[must_use]
    pub fn nothing() -> Self {
        Self { nothing: true, ..Self::default() }
    }

    /// Whether every object matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The conditions, sorted by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Parses the `labelSelector` query parameter.
    ///
    /// # Errors
    /// [`SelectorError::Label`] with Kubernetes' words.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = parser::parse(text).map_err(SelectorError::Label)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// The selector of a plain label map, as in a Service or ReplicationController.
    #[must_use]
    pub fn from_map<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut requirements: Vec<_> = labels
            .into_iter()
            .map(|(key, value)| Requirement {
                key: key.to_owned(),
                operator: Operator::Equals,
                values: BTreeSet::from([value.to_owned()]),
            })
            .collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// The selector of a `meta/v1` LabelSelector object; null selects nothing, `{}` everything.
    ///
    /// # Errors
    /// [`SelectorError::Object`] for an unknown operator or values that do not fit it.
    pub fn from_object(object: &Value) -> Result<Self, SelectorError> {
        if object.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in object["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement {
                key: key.clone(),
                operator: Operator::Equals,
                values: value.as_str().map(str::to_owned).into_iter().collect(),
            });
        }
        for expression in object["matchExpressions"].as_array().into_iter().flatten() {
            requirements.push(expression_requirement(expression)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// The selector of a workload, whichever of the two forms it uses.
    #[must_use]
    pub fn from_workload(selector: &Value) -> Option<Self> {
        let map = selector.as_object()?;
        if map.values().all(Value::is_string) && !map.is_empty() {
            return Some(Self::from_map(
                map.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())),
            ));
        }
        Self::from_object(selector).ok()
    }

    /// Whether the labels of an object match.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    /// Whether the object's `metadata.labels` match.
    #[must_use]
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.matches_with(|key| labels.get(key).and_then(Value::as_str))
    }

    /// Whether labels found by `get` match.
    pub fn matches_with<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(&get))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Requirement { key, operator, values }) in self.requirements.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            let first = values.first().map_or("", String::as_str);
            let list = values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            match operator {
                Operator::Equals => write!(f, "{key}={first}")?,
                Operator::NotEquals => write!(f, "{key}!={first}")?,
                Operator::In => write!(f, "{key} in ({list})")?,
                Operator::NotIn => write!(f, "{key} notin ({list})")?,
                Operator::Exists => write!(f, "{key}")?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
                Operator::GreaterThan => write!(f, "{key}>{first}")?,
                Operator::LessThan => write!(f, "{key}<{first}")?,
            }
        }
        Ok(())
    }
}

fn expression_requirement(expression: &Value) -> Result<Requirement, SelectorError> {
    let key = expression["key"].as_str().unwrap_or_default().to_owned();
    let values: BTreeSet<String> = expression["values"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect();
    let name = expression["operator"].as_str().unwrap_or_default();
    let (operator, wants_values) = match name {
        "In" => (Operator::In, true),
        "NotIn" => (Operator::NotIn, true),
        "Exists" => (Operator::Exists, false),
        "DoesNotExist" => (Operator::DoesNotExist, false),
        _ => {
            let message = format!("{} is not a valid label selector operator", go_quote(name));
            return Err(SelectorError::Object(message));
        }
    };
    if wants_values == values.is_empty() {
        let rule = if wants_values {
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
        } else {
            "values: Invalid value: values set must be empty for exists and does not exist"
        };
        return Err(SelectorError::Object(rule.to_owned()));
    }
    Ok(Requirement { key, operator, values })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn matches_like_kubernetes() {
        let have = labels(&[("a", "b"), ("n", "5"), ("in", "x"), ("e", "")]);
        let cases = [
            ("", true),
            ("a=b", true),
            ("a==b", true),
            ("a = b , n=5", true),
            ("a!=b", false),
            ("z!=b", true),
            ("a in (b, c)", true),
            ("a notin (b,c)", false),
            ("z notin (b)", true),
            ("a", true),
            ("!a", false),
            ("!z", true),
            ("n>4", true),
            ("n>5", false),
            ("n<6", true),
            ("a>1", false),
            ("e=", true),
            ("a=", false),
            ("in=x", true),
            ("in in (x)", true),
            ("e in (,b)", true),
        ];
        for (text, expected) in cases {
            let selector = LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(selector.matches(&have), expected, "{text}");
            let again = LabelSelector::parse(&selector.to_string()).expect("printed form parses");
            assert_eq!(again, selector, "{text} survives printing");
        }
    }

    #[test]
    fn refuses_with_kubernetes_words() {
        let cases = [
            ("a===b", "unable to parse requirement: found '=', expected: identifier"),
            ("!!", "unable to parse requirement: found '!', expected: identifier"),
            ("a,", "unable to parse requirement: found '', expected: identifier after ','"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ];
        for (text, message) in cases {
            let error = LabelSelector::parse(text).expect_err(text);
            assert_eq!(error.to_string(), message);
        }
        for text in ["a in (b", "a b", "a=b c", "=b", "-a=b", "a=-", "n>x"] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn objects() {
        let have = labels(&[("a", "b")]);
        let object = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "z", "operator": "DoesNotExist"}, {"key": "a", "operator": "In", "values": ["b"]}]});
        assert!(LabelSelector::from_object(&object).expect("valid").matches(&have));
        assert!(LabelSelector::from_object(&json!({})).expect("valid").matches(&have));
        assert!(!LabelSelector::from_object(&Value::Null).expect("valid").matches(&have));
        let bad = json!({"matchExpressions": [{"key": "a", "operator": "Like"}]});
        assert!(LabelSelector::from_object(&bad).is_err());
    }
}
