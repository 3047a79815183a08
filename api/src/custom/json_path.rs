//! The part of JSONPath that printer columns use: `.a.b`, `['a.b']`, `[0]`, `[*]`, `[?(@.a=="b")]`.
//!
//! Source: k8s.io/client-go/util/jsonpath,
//! <https://kubernetes.io/docs/reference/kubectl/jsonpath/>.

use serde_json::Value;

/// A path into an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// From the end when negative.
    Index(i64),
    All,
    Filter {
        path: JsonPath,
        operator: Operator,
        value: Value,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

const OPERATORS: &[(&str, Operator)] = &[
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessEqual),
    (">=", Operator::GreaterEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl JsonPath {
    /// Reads a path that starts with a dot.
    ///
    /// # Errors
    /// What is wrong with it, or not understood.
    pub(crate) fn parse(text: &str) -> Result<JsonPath, String> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = if let Some(inside) = rest.strip_prefix('[') {
                let end = closing(inside).ok_or("a bracket is not closed")?;
                steps.push(bracket(&inside[..end])?);
                &inside[end + 1..]
            } else {
                let field = rest.strip_prefix('.').ok_or("a field must follow a dot")?;
                let (name, after) = field_name(field);
                match name.as_str() {
                    "" if after.starts_with('[') => {}
                    "" if steps.is_empty() && after.is_empty() => {}
                    "" => return Err("a field's name is missing".to_owned()),
                    "*" => steps.push(Step::All),
                    _ => steps.push(Step::Field(name)),
                }
                after
            };
        }
        Ok(JsonPath(steps))
    }

    /// The names of a path that is fields only.
    pub(crate) fn fields(&self) -> Option<Vec<&str>> {
        let name = |step: &'_ Step| matches!(step, Step::Field(_));
        self.0.iter().all(name).then(|| {
            let names = self.0.iter();
            names
                .filter_map(|s| if let Step::Field(name) = s { Some(name.as_str()) } else { None })
                .collect()
        })
    }

    /// The values that the path leads to, in order.
    pub(crate) fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        self.0.iter().fold(vec![value], |at, step| {
            at.into_iter().flat_map(|value| step.from(value)).collect()
        })
    }
}

impl Step {
    fn from<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
            (Step::Index(index), Value::Array(list)) => {
                let at = if *index < 0 { index + list.len() as i64 } else { *index };
                usize::try_from(at).ok().and_then(|at| list.get(at)).into_iter().collect()
            }
            (Step::All, Value::Array(list)) => list.iter().collect(),
            (Step::All, Value::Object(map)) => map.values().collect(),
            (Step::Filter { path, operator, value: wanted }, Value::Array(list)) => list
                .iter()
                .filter(|item| path.find(item).first().is_some_and(|v| operator.holds(v, wanted)))
                .collect(),
            _ => Vec::new(),
        }
    }
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ => left.as_f64().zip(right.as_f64()).and_then(|(l, r)| l.partial_cmp(&r)),
        };
        match self {
            Operator::Equal => left == right || order.is_some_and(|order| order.is_eq()),
            Operator::NotEqual => left != right && !order.is_some_and(|order| order.is_eq()),
            Operator::Less => order.is_some_and(|order| order.is_lt()),
            Operator::LessEqual => order.is_some_and(|order| order.is_le()),
            Operator::Greater => order.is_some_and(|order| order.is_gt()),
            Operator::GreaterEqual => order.is_some_and(|order| order.is_ge()),
        }
    }
}

/// A field's name (in which a backslash takes the next character as it is) and what follows.
fn field_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, &text[at..]),
            _ => name.push(c),
        }
    }
    (name, "")
}

/// Where the bracket ends, not counting those within quotes and within filters.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Result<Step, String> {
    let text = text.trim();
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        return self::filter(filter);
    }
    if let Some(name) = quoted(text) {
        return Ok(Step::Field(name.to_owned()));
    }
    text.parse().map(Step::Index).map_err(|_| format!("[{text}] is not understood"))
}

fn quoted(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

fn filter(text: &str) -> Result<Step, String> {
    let (at, (sign, operator)) = OPERATORS
        .iter()
        .filter_map(|operator| Some((text.find(operator.0)?, *operator)))
        .min_by_key(|(at, _)| *at)
        .ok_or_else(|| format!("{text} compares nothing"))?;
    let (left, right) = (text[..at].trim(), text[at + sign.len()..].trim());
    let path = left.strip_prefix('@').ok_or_else(|| format!("{left} does not begin with @"))?;
    let value = match quoted(right) {
        Some(text) => text.into(),
        None => serde_json::from_str(right).map_err(|_| format!("{right} is no value"))?,
    };
    Ok(Step::Filter { path: JsonPath::parse(path)?, operator, value })
}
