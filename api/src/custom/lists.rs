//! Lists that are sets or maps hold nothing twice.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Schema;
use crate::field::{Errors, FieldError, Path};

/// Reports the items of a list that repeat an earlier one, by what identifies them.
pub(super) fn duplicates(schema: &Schema, list: &[Value], path: &Path) -> Errors {
    let identity = |item: &Value| match schema.list_type.as_str() {
        "set" => Some(item.clone()),
        "map" => item.as_object().map(|map| {
            let keys = schema.list_keys.iter();
            let had = keys.filter_map(|key| Some((key.clone(), map.get(key)?.clone())));
            Value::Object(had.collect::<Map<_, _>>())
        }),
        _ => None,
    };
    let mut seen = HashSet::new();
    let mut errors = Errors::new();
    for (n, item) in list.iter().enumerate() {
        if let Some(identity) = identity(item)
            && !seen.insert(identity.to_string())
        {
            errors.push(FieldError::duplicate(&path.index(n), identity));
        }
    }
    errors
}
