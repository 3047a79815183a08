//! The columns that a version adds to those of its Table.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::json_path::JsonPath;
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
    /// Reads a version's `additionalPrinterColumns`; `None` if it has none, which shows the age.
    pub(super) fn read(version: &Value) -> Option<Columns> {
        let columns: Vec<Column> = version["additionalPrinterColumns"]
            .as_array()?
            .iter()
            .filter_map(|column| {
                let text = |field: &str| column[field].as_str().unwrap_or_default();
                let name = text("name");
                let described = match text("description") {
                    "" => format!(
                        "Custom resource definition column (in JSONPath format): {}",
                        text("jsonPath")
                    ),
                    description => description.to_owned(),
                };
                let definition = json!({
                    "name": name, "type": text("type"), "format": text("format"),
                    "description": described, "priority": column["priority"].as_i64().unwrap_or(0),
                });
                let path = JsonPath::parse(text("jsonPath")).ok()?;
                Some(Column { definition, kind: text("type").to_owned(), path })
            })
            .collect();
        (!columns.is_empty()).then_some(Columns(columns))
    }

    /// The definitions of the columns.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = Value> {
        self.0.iter().map(|column| column.definition.clone())
    }

    /// The cells of an object.
    pub(crate) fn cells(&self, object: &Value, now: Timestamp) -> impl Iterator<Item = Value> {
        self.0.iter().map(move |column| {
            // One value is shown, however many there are.
            let found = column.path.find(object);
            found.first().map_or(Value::Null, |value| cell(&column.kind, value, now))
        })
    }
}

/// A value as a cell of that type; null for a value of another type.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_))
        | ("boolean", Value::Bool(_))
        | ("number", Value::Number(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => match number.as_f64() {
            Some(float) if number.is_f64() => json!(float.trunc() as i64),
            _ => value.clone(),
        },
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => human_duration(now.as_second().saturating_sub(time.as_second())).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}
