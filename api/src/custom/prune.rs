//! Dropping what the schema does not name.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning.

use serde_json::Value;

use super::Schema;
use super::schema::Additional;
use crate::decode;
use crate::field::go_quote;

/// Unknown fields reported at most; a hostile object could have thousands.
const MAX_PROBLEMS: usize = 100;

/// What holds for a value besides its own schema.
#[derive(Clone, Copy)]
struct Around {
    /// It is an object with `apiVersion`, `kind` and `metadata`.
    whole: bool,
    /// It is in a list that keeps what is unknown.
    kept: bool,
}

/// Drops the unknown fields of a whole object and reports each: `unknown field "spec.a"`.
pub(super) fn prune(schema: &Schema, object: &mut Value, problems: &mut Vec<String>) {
    walk(schema, object, "", Around { whole: true, kept: false }, problems);
}

/// Drops the unknown fields of a part of an object.
pub(super) fn part(schema: &Schema, value: &mut Value, problems: &mut Vec<String>) {
    walk(schema, value, "", Around { whole: schema.embedded, kept: false }, problems);
}

fn walk(
    schema: &Schema,
    value: &mut Value,
    path: &str,
    around: Around,
    problems: &mut Vec<String>,
) {
    let kept = around.kept || schema.preserve_unknown;
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                let path = below(path, name);
                // Every object has these, whether the schema names them or not.
                if around.whole && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    if name == "metadata" && path.contains('.') {
                        metadata(value, &path, problems);
                    }
                    return true;
                }
                if let Some(field) = schema.field(name) {
                    let around = Around { whole: field.embedded, kept: false };
                    walk(field, value, &path, around, problems);
                    return true;
                }
                if let Some(Additional::Allowed(_)) = schema.additional_properties {
                    empty(value, &path, problems);
                    return true;
                }
                if !kept {
                    report(&path, problems);
                }
                kept
            });
        }
        Value::Array(list) => {
            for (n, item) in list.iter_mut().enumerate() {
                let path = format!("{path}[{n}]");
                match &schema.items {
                    Some(items) => {
                        let around = Around { whole: items.embedded, kept };
                        walk(items, item, &path, around, problems);
                    }
                    None if kept => {}
                    None => empty(item, &path, problems),
                }
            }
        }
        _ => {}
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn report(path: &str, problems: &mut Vec<String>) {
    if problems.len() < MAX_PROBLEMS {
        problems.push(format!("unknown field {}", go_quote(path)));
    }
}

/// Drops the fields of all objects in a value that may be anything, but of which nothing is known.
fn empty(value: &mut Value, path: &str, problems: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.keys().for_each(|name| report(&below(path, name), problems));
            map.clear();
        }
        Value::Array(list) => {
            for (n, item) in list.iter_mut().enumerate() {
                empty(item, &format!("{path}[{n}]"), problems);
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
