//! The columns that a version adds to those of its Table.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::json_path::JsonPath;
use super::number;
use crate::table::human_duration;

/// The columns after the name.
#[derive(Debug)]
pub(crate) struct Columns(Vec<Column>);

#[derive(Debug)]
struct Column {
    definition: Value,
    kind: String,
    path: JsonPath,
}

impl Columns {
    /// Reads a version's `additionalPrinterColumns`; `None` if it has none, which shows the age. The
    /// first one that leads nowhere ends them: definitions are not refused for that.
    pub(super) fn read(version: &Value) -> Option<Columns> {
        let columns = version["additionalPrinterColumns"].as_array()?;
        (!columns.is_empty()).then(|| Columns(columns.iter().map_while(Column::read).collect()))
    }

    /// The definitions of the columns.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = Value> {
        self.0.iter().map(|column| column.definition.clone())
    }

    /// The cells of an object.
    pub(crate) fn cells(&self, object: &Value, now: Timestamp) -> impl Iterator<Item = Value> {
        self.0.iter().map(move |column| column.cell(object, now))
    }
}

impl Column {
    fn read(column: &Value) -> Option<Column> {
        let text = |field: &str| column[field].as_str().unwrap_or_default();
        let path = JsonPath::parse(text("jsonPath")).ok()?;
        let description = match text("description") {
            "" => {
                let path = text("jsonPath");
                format!("Custom resource definition column (in JSONPath format): {path}")
            }
            description => description.to_owned(),
        };
        let definition = json!({
            "name": text("name"), "type": text("type"), "format": text("format"),
            "description": description, "priority": column["priority"].as_i64().unwrap_or(0),
        });
        Some(Column { definition, kind: text("type").to_owned(), path })
    }

    /// One value is shown, however many there are.
    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.find(object).unwrap_or_default();
        found.first().map_or(Value::Null, |value| cell(&self.kind, value, now))
    }
}

/// A value as a cell of that type; null for a value of another type.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("string", value) => text(value).into(),
        (_, Value::Null) => Value::Null,
        ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) => value.clone(),
        ("integer", Value::Number(number)) => match number.as_f64() {
            Some(float) if number.is_f64() => json!(float.trunc() as i64),
            _ => value.clone(),
        },
        ("date", Value::String(text)) if matches!(text.as_str(), "" | "null") => "<unknown>".into(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => human_duration(now.as_second().saturating_sub(time.as_second())).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

/// A value as text: what has parts as JSON, in which Go writes some characters by number.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => number::shown(float),
            None => number.to_string(),
        },
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
        }
    }
}
