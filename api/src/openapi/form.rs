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

    /// A schema that says what it is for.
    pub(super) fn described(self, schema: Value, description: &str) -> Value {
        self.extended(schema, Map::from_iter([("description".to_owned(), description.into())]))
    }

    /// A schema with more words beside it, such as extensions. OpenAPI 3.0 ignores what stands beside a `$ref`, so
    /// there the reference moves into an `allOf`; clients of version 2 expect it where it is.
    pub(super) fn extended(self, schema: Value, beside: Map<String, Value>) -> Value {
        if beside.is_empty() {
            return schema;
        }
        let mut fields = match schema {
            Value::Object(fields) if self == Self::V2 || !fields.contains_key("$ref") => fields,
            other => Map::from_iter([("allOf".to_owned(), Value::Array(vec![other]))]),
        };
        fields.extend(beside);
        Value::Object(fields)
    }
}
