//! A walk over a value along its schema.

use serde_json::Value;

use super::Schema;
use crate::field::Path;

/// Calls `visit` with the value and everything within it that the schema describes, each before
/// what is within it.
pub(super) fn walk(
    schema: &Schema,
    value: &Value,
    path: &Path,
    visit: &mut impl FnMut(&Schema, &Value, &Path),
) {
    visit(schema, value, path);
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(field) = schema.properties.get(name) {
                    walk(field, value, &path.child(name), visit);
                } else if let Some(values) = schema.field(name) {
                    walk(values, value, &path.key(name), visit);
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (n, item) in list.iter().enumerate() {
                walk(items, item, &path.index(n), visit);
            }
        }
        _ => {}
    }
}
