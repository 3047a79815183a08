//! JSONPath as printer columns use it: `.a.b`, `.a\.b`, `[0]`, `[-1:]`, `[*]`, `..a`, `['a','b']`,
//! `[?(@.a=="b")]`.
//!
//! What leads nowhere finds nothing; what makes no sense for a value (an index of a map) is an error.
//!
//! Source: k8s.io/client-go/util/jsonpath,
//! <https://kubernetes.io/docs/reference/kubectl/jsonpath/>.

mod parse;

use std::cmp::Ordering;

use serde_json::Value;

/// A path into an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// All fields of an object, all items of a list.
    All,
    Items(Slice),
    Filter(Box<Filter>),
    /// The value and everything within it.
    Within,
    /// What several paths lead to, one after the other.
    Union(Vec<JsonPath>),
    /// A value of its own, as filters compare with.
    Value(Value),
    /// A word that is understood nowhere.
    Word,
}

/// Items of a list; places are counted from the end when negative.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    from: i64,
    /// `None`: to the end.
    to: Option<i64>,
    /// Every how manyth.
    step: i64,
}

/// Keeps the items of a list for which it holds.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: JsonPath,
    /// `None`: whether there is anything on the left.
    comparison: Option<(Operator, JsonPath)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// One that does not exist.
    Unknown,
}

/// That a path makes no sense for a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Senseless;

type Found<'v> = Result<Vec<&'v Value>, Senseless>;

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, or not understood.
    pub(crate) fn parse(text: &str) -> Result<JsonPath, String> {
        parse::path(text)
    }

    /// The values that the path leads to, in order.
    ///
    /// # Errors
    /// Where the path makes no sense.
    pub(crate) fn find<'v>(&'v self, value: &'v Value) -> Found<'v> {
        self.0.iter().try_fold(vec![value], |at, step| step.from(&at))
    }
}

impl Step {
    fn from<'v>(&'v self, values: &[&'v Value]) -> Found<'v> {
        let present = values.iter().copied().filter(|value| !value.is_null());
        match self {
            Step::Field(name) => Ok(present.filter_map(|value| value.get(name)).collect()),
            Step::All => Ok(present.flat_map(children).collect()),
            Step::Items(slice) => {
                let each: Result<Vec<_>, _> = present.map(|value| slice.of(value)).collect();
                Ok(each?.concat())
            }
            Step::Filter(filter) => {
                let each: Result<Vec<_>, _> = values.iter().map(|value| filter.of(value)).collect();
                Ok(each?.concat())
            }
            Step::Within => Ok(present.flat_map(within).collect()),
            Step::Union(paths) => {
                let each = paths
                    .iter()
                    .map(|path| path.0.iter().try_fold(values.to_vec(), |at, step| step.from(&at)));
                Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
            }
            Step::Value(value) => Ok(vec![value]),
            Step::Word => Err(Senseless),
        }
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(map) => map.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => Vec::new(),
    }
}

/// A value that has something within it, and all such values within it.
fn within(value: &Value) -> Vec<&Value> {
    let (children, text) = (children(value), value.as_str().unwrap_or_default());
    if children.is_empty() && text.is_empty() {
        return Vec::new();
    }
    [value].into_iter().chain(children.into_iter().flat_map(within)).collect()
}

impl Slice {
    fn of<'v>(&self, value: &'v Value) -> Found<'v> {
        let list = value.as_array().ok_or(Senseless)?;
        let length = i64::try_from(list.len()).map_err(|_| Senseless)?;
        let place = |at: i64| if at < 0 { at + length } else { at };
        let (from, to) = (place(self.from), self.to.map_or(length, place));
        if from == to {
            return Ok(Vec::new());
        }
        let inside = from >= 0 && from < length && to >= 0 && to <= length && from < to;
        if !inside || self.step < 1 {
            return Err(Senseless);
        }
        let at = |place: i64| usize::try_from(place).map_err(|_| Senseless);
        let items = list.get(at(from)?..at(to)?).ok_or(Senseless)?;
        Ok(items.iter().step_by(at(self.step)?).collect())
    }
}

impl Filter {
    fn of<'v>(&'v self, value: &'v Value) -> Found<'v> {
        let list = value.as_array().ok_or(Senseless)?;
        let mut kept = Vec::new();
        for item in list {
            if self.holds(item)? {
                kept.push(item);
            }
        }
        Ok(kept)
    }

    fn holds(&self, item: &Value) -> Result<bool, Senseless> {
        let left = self.left.find(item);
        let Some((operator, right)) = &self.comparison else {
            return Ok(left.is_ok_and(|found| !found.is_empty()));
        };
        let (left, right) = (left?, right.find(item)?);
        match (&left[..], &right[..]) {
            ([], _) | (_, []) => Ok(false),
            ([left], [right]) => operator.holds(left, right),
            _ => Err(Senseless),
        }
    }
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> Result<bool, Senseless> {
        let order = match (left, right) {
            (Value::String(left), Value::String(right)) => left.cmp(right),
            (Value::Bool(left), Value::Bool(right)) => {
                if !matches!(self, Operator::Equal | Operator::NotEqual) {
                    return Err(Senseless);
                }
                left.cmp(right)
            }
            (Value::Number(left), Value::Number(right)) if left.is_f64() == right.is_f64() => {
                match (left.as_i64(), right.as_i64()) {
                    (Some(left), Some(right)) => left.cmp(&right),
                    _ => left.as_f64().partial_cmp(&right.as_f64()).ok_or(Senseless)?,
                }
            }
            // Kinds are not mixed.
            _ => return Err(Senseless),
        };
        match self {
            Operator::Equal => Ok(order == Ordering::Equal),
            Operator::NotEqual => Ok(order != Ordering::Equal),
            Operator::Less => Ok(order == Ordering::Less),
            Operator::LessEqual => Ok(order != Ordering::Greater),
            Operator::Greater => Ok(order == Ordering::Greater),
            Operator::GreaterEqual => Ok(order != Ordering::Less),
            Operator::Unknown => Err(Senseless),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let value = json!({"a": {"b.c": [1, 2, 3, 4], "b": {"c": 9}, "s": "x", "null": null,
            "d": [{"n": "x", "v": 1, "t": true}, {"n": "y", "v": 2}, {"v": 1.5}]}});
        for (path, want) in [
            (".", json!([value])),
            (".a.s", json!(["x"])),
            ("a.s", json!(null)),
            (".a.b\\.c[-1]", json!([4])),
            (".a.b\\.c[*]", json!([1, 2, 3, 4])),
            (".a.b\\.c[1:3]", json!([2, 3])),
            (".a.b\\.c[-2:]", json!([3, 4])),
            (".a.b\\.c[:2]", json!([1, 2])),
            (".a.b\\.c[::2]", json!([1, 3])),
            (".a.b\\.c[0,2]", json!([1, 3])),
            (".a.b\\.c[2:2]", json!([])),
            // A name in quotes is a path, too.
            (".a['b\\.c'][0]", json!([1])),
            (".a['b.c']", json!([9])),
            (".a['s','b']", json!(["x", {"c": 9}])),
            (".a.d[?(@.n=='y')].v", json!([2])),
            (".a.d[?(@.n == \"y\")].v", json!([2])),
            (".a.d[?(@.t)].n", json!(["x"])),
            (".a.d[?(@.t==true)].n", json!(["x"])),
            (".a.d[0:2][?(@.v>1)].n", json!(null)),
            (".a.d[*].n", json!(["x", "y"])),
            (".a.d[0]['n']", json!(["x"])),
            (".a.b.*", json!([9])),
            ("..c", json!([9])),
            (".a..n", json!(["x", "y"])),
            (".a.none", json!([])),
            (".a.none[0].x", json!([])),
            (".a.null", json!([null])),
            (".a.null.x[0]", json!([])),
            (".a.s.x", json!([])),
            // No list, no such item, kinds that do not compare.
            (".a[0]", json!(null)),
            (".a.b\\.c[4]", json!(null)),
            (".a.b\\.c[-5]", json!(null)),
            (".a.b\\.c[3:1]", json!(null)),
            (".a.b\\.c[-1:0]", json!(null)),
            (".a.b\\.c[::0]", json!(null)),
            (".a[?(@.n=='y')]", json!(null)),
            (".a.d[?(@.v==1)].n", json!(null)),
            (".a.d[?(@.n=<'y')].v", json!(null)),
            (".a.d[?(@.t<true)].n", json!(null)),
        ] {
            let path = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let found = path.find(&value).map_or(Value::Null, |found| json!(found));
            assert_eq!(found, want, "{path:?}");
        }
    }

    #[test]
    fn what_is_no_path_is_told() {
        for wrong in [
            ".a[",
            ".a[b]",
            ".a[\"b\"]",
            ".a[?(@.b",
            ".a[?(@.b)",
            "....a",
            ".a[1:2:3:4]",
            ".a[?(@.a=='b)]",
            ".a[?(#)]",
            ".a[9999999999999999999]",
        ] {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong}");
        }
    }
}
