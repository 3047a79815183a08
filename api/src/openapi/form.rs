//! What differs between the two versions of OpenAPI.

use serde_json::{Map, Value, json};

/// The version a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// OpenAPI 2.0, also called Swagger.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Form {
    /// A reference to a definition.
    pub(super) fn reference(self, definition: &str) -> Value {
        let place = match self {
            Self::V2 => "definitions",
            Self::V3 => "components/schemas",
        };
        json!({"$ref": format!("#/{place}/{definition}")})
    }

    /// A schema with extensions beside it. OpenAPI 3.0 ignores what stands beside a `$ref`, so
    /// there the reference moves into an `allOf`; clients of version 2 expect it where it is.
    pub(super) fn extended(self, schema: Value, extensions: Map<String, Value>) -> Value {
        if extensions.is_empty() {
            return schema;
        }
        let mut fields = match schema {
            Value::Object(fields) if self == Self::V2 || !fields.contains_key("$ref") => fields,
            other => Map::from_iter([("allOf".to_owned(), Value::Array(vec![other]))]),
        };
        fields.extend(extensions);
        Value::Object(fields)
    }
}
