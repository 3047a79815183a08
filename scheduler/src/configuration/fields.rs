//! Reading a document field by field, so that what is wrong is named by its path.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Problem;

type Outcome<T> = Result<T, Problem>;

/// A value somewhere in a document.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    /// The document itself.
    pub(super) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    pub(super) fn problem(&self, problem: impl Into<String>) -> Problem {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        Problem::new(path, problem)
    }

    /// An object with no fields but these.
    pub(super) fn object(&self, allowed: &[&str]) -> Outcome<&'a Map<String, Value>> {
        let Some(object) = self.value.as_object() else {
            return Err(self.problem(format!("must be an object, not {}", kind(self.value))));
        };
        if let Some(name) = object.keys().find(|name| !allowed.contains(&name.as_str())) {
            let problem = format!("unknown field; allowed are {}", allowed.join(", "));
            return Err(Problem::new(self.child_path(name), problem));
        }
        Ok(object)
    }

    fn child_path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A field of this object that is given and not null.
    pub(super) fn get(&self, name: &str) -> Option<Field<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Field { path: self.child_path(name), value })
    }

    /// A field that must be given.
    pub(super) fn required(&self, name: &str) -> Outcome<Field<'a>> {
        self.get(name).ok_or_else(|| Problem::new(self.child_path(name), "must be given"))
    }

    pub(super) fn list(&self) -> Outcome<Vec<Field<'a>>> {
        let Some(list) = self.value.as_array() else {
            return Err(self.problem(format!("must be a list, not {}", kind(self.value))));
        };
        let item = |(at, value)| Field { path: format!("{}[{at}]", self.path), value };
        Ok(list.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Outcome<&'a str> {
        let text = self.value.as_str();
        text.ok_or_else(|| self.problem(format!("must be a string, not {}", kind(self.value))))
    }

    pub(super) fn boolean(&self) -> Outcome<bool> {
        let value = self.value.as_bool();
        value.ok_or_else(|| self.problem("must be true or false"))
    }

    /// One of a few words.
    pub(super) fn one_of(&self, allowed: &[&str]) -> Outcome<&'a str> {
        let text = self.text()?;
        if allowed.contains(&text) {
            return Ok(text);
        }
        Err(self.problem(format!("{text:?} must be one of {}", allowed.join(", "))))
    }

    /// A whole number within bounds, both included.
    pub(super) fn integer(&self, least: i64, most: i64) -> Outcome<i64> {
        let number = self.value.as_i64().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| {
            let allowed = if most == i64::MAX {
                format!("of at least {least}")
            } else {
                format!("from {least} to {most}")
            };
            self.problem(format!("{} must be a whole number {allowed}", self.value))
        })
    }

    /// A type of the API.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Outcome<T> {
        serde_json::from_value(self.value.clone()).map_err(|error| self.problem(error.to_string()))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
