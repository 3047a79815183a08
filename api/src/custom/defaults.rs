//! Filling in what an object leaves out.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting.

use serde_json::Value;

use super::Schema;

/// Fills in the defaults of absent fields, from the outside inwards, and drops nulls where null is
/// no value.
pub(super) fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, field) in &schema.properties {
                let absent = map.get(name).is_none_or(|had| had.is_null() && !field.nullable);
                if let Some(default) = field.default.as_ref().filter(|_| absent) {
                    map.insert(name.clone(), default.clone());
                }
            }
            map.retain(|name, value| match schema.field(name) {
                Some(field) if value.is_null() => field.nullable,
                Some(field) => {
                    default(field, value);
                    true
                }
                None => true,
            });
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for item in list {
                let null = item.is_null() && !items.nullable;
                if let Some(default) = items.default.as_ref().filter(|_| null) {
                    *item = default.clone();
                }
                default(items, item);
            }
        }
        _ => {}
    }
}
