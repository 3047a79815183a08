//! Lists that are sets or maps hold nothing twice.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::Schema;
use super::walk::walk;
use crate::field::{Errors, FieldError, Path};

/// Reports the items of all lists of an object that repeat an earlier one, by what identifies them.
pub(super) fn check(schema: &Schema, value: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    walk(schema, value, path, &mut |schema, value, path| {
        if let Value::Array(list) = value {
            duplicates(schema, list, path, &mut errors);
        }
    });
    errors
}

fn duplicates(schema: &Schema, list: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (n, item) in list.iter().enumerate() {
        let identity = match schema.list_type.as_str() {
            "set" => item.clone(),
            "map" => match keys_of(schema, item) {
                Some(keys) => keys,
                None => continue,
            },
            _ => return,
        };
        if !seen.insert(identity.to_string()) {
            errors.push(FieldError::duplicate(&path.index(n), identity));
        }
    }
}

/// What identifies an item of a map. A key that the item leaves out is left out.
fn keys_of(schema: &Schema, item: &Value) -> Option<Value> {
    let map = item.as_object()?;
    let had = schema.list_keys.iter().filter_map(|key| Some((key.clone(), map.get(key)?.clone())));
    Some(Value::Object(had.collect::<Map<_, _>>()))
}

/// The items of a list of type `map` by what identifies them; of other lists none, because their
/// items cannot be told apart.
pub(super) fn by_keys<'v>(schema: &Schema, list: &'v Value) -> HashMap<String, &'v Value> {
    let items = list.as_array().filter(|_| schema.list_type == "map").into_iter().flatten();
    items.filter_map(|item| Some((identity(schema, item)?, item))).collect()
}

/// What identifies an item of a list of type `map`, as text.
pub(super) fn identity(schema: &Schema, item: &Value) -> Option<String> {
    Some(keys_of(schema, item)?.to_string())
}
