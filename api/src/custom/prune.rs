//! Dropping what the schema does not name.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning.

use serde_json::Value;

use super::Schema;
use crate::decode;
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
                let root = path.is_empty();
                let path = if root { name.clone() } else { format!("{path}.{name}") };
                // Every object has these, whether the schema names them or not.
                if whole && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    if name == "metadata" && !root {
                        metadata(value, &path, problems);
                    }
                    return true;
                }
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

/// Cleans the metadata of an object within an object. What is no metadata stays, to be refused.
fn metadata(value: &mut Value, path: &str, problems: &mut Vec<String>) {
    if let Ok(cleaned) = decode::clean_metadata(path, value.clone(), problems) {
        *value = cleaned;
    }
}
