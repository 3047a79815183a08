//! Whether a value is of the type that its schema asks for.
//!
//! Source: k8s.io/kube-openapi/pkg/validation/validate/type.go.

use serde_json::Value;

use crate::custom::{Schema, format, number};

/// What a value is instead of what it should be.
#[derive(Debug, PartialEq)]
pub(super) struct Mismatch {
    /// The type, types or format that was asked for.
    pub(super) wanted: String,
    /// The type or format of the value.
    pub(super) found: &'static str,
}

/// What is wrong with the type of a value, if anything is. Null where it is a value is not asked
/// about.
pub(super) fn mismatch(schema: &Schema, value: &Value) -> Option<Mismatch> {
    let types: Vec<&str> = match schema.kind.as_str() {
        _ if schema.int_or_string => vec!["integer", "string"],
        "" => Vec::new(),
        kind => vec![kind],
    };
    let (found, own) = match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    };
    let format = format::of(schema);
    let of_type = || Mismatch { wanted: types.join(","), found };
    if types.is_empty() && (format.is_empty() || value.is_null()) {
        return None;
    }
    if value.is_null() {
        return Some(of_type());
    }
    let float = value.as_f64().filter(|_| found == "number");
    let fits = types.contains(&found)
        || (types.contains(&"integer") && float.is_some_and(number::is_whole))
        || (types.contains(&"number") && found == "integer");
    let text = matches!(value, Value::String(_) | Value::Array(_));
    let numeric = types.iter().any(|kind| matches!(*kind, "integer" | "number"));
    match format {
        "" => (!fits).then(of_type),
        // Formats of texts speak of texts alone.
        _ if text && !numeric => None,
        _ if text => (!fits).then(of_type),
        format => {
            (!fits && own != format).then(|| Mismatch { wanted: format.to_owned(), found: own })
        }
    }
}
