//! Dropping what the schema does not name.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning.

use serde_json::Value;

use super::Schema;
use crate::field::go_quote;

/// Unknown fields reported at most; a hostile object could have thousands.
const MAX_PROBLEMS: usize = 100;

/// Drops the unknown fields of a whole object and reports each: `unknown field "spec.a"`.
pub(super) fn prune(schema: &Schema, object: &mut Value, problems: &mut Vec<String>) {
    walk(schema, object, "", true, problems);
}

/// Drops the unknown fields of a part of an object.
pub(super) fn part(schema: &Schema, value: &mut Value, problems: &mut Vec<String>) {
    walk(schema, value, "", schema.embedded, problems);
}

fn walk(schema: &Schema, value: &mut Value, path: &str, whole: bool, problems: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                // Every object has these, whether the schema names them or not.
                if whole && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    return true;
                }
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if let Some(field) = schema.field(name) {
                    walk(field, value, &path, field.embedded, problems);
                    return true;
                }
                if schema.allows_anything() {
                    return true;
                }
                if problems.len() < MAX_PROBLEMS {
                    problems.push(format!("unknown field {}", go_quote(&path)));
                }
                false
            });
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (n, item) in list.iter_mut().enumerate() {
                walk(items, item, &format!("{path}[{n}]"), items.embedded, problems);
            }
        }
        _ => {}
    }
}
