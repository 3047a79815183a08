//! Strategic merge patch: a merge patch that knows which lists merge, and by which key.
//!
//! The schema says per field whether a list is merged and what identifies its items. Directives in
//! the patch add what plain JSON cannot say:
//!
//! | directive | meaning |
//! |---|---|
//! | `$patch: replace` in a map | the map replaces the old one |
//! | `$patch: delete` in a map | the map is emptied; in a list item: the item goes |
//! | `$patch: replace` as a list item | the list replaces the old one |
//! | `$deleteFromPrimitiveList/x` | these scalars leave list `x` |
//! | `$setElementOrder/x` | the order of list `x` |
//! | `$retainKeys` | all other keys of this map go (unions) |
//!
//! Source: k8s.io/apimachinery/pkg/util/strategicpatch.

mod list;

use serde_json::{Map, Value};

use super::PatchError;
use crate::schema::{self, PatchRule, Shape};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Applies the patch in `body` to an object of the named schema type.
pub(super) fn apply(schema_type: &str, object: &Value, body: &[u8]) -> Result<Value, PatchError> {
    // Unlike the other kinds, this one is refused with the bare reason.
    let patch = crate::decode::json(body).map_err(PatchError::Directive)?;
    let patch = match patch {
        Value::Object(patch) => patch,
        Value::Null => Map::new(),
        other => {
            return Err(PatchError::Directive(format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                crate::decode::json_type(&other)
            )));
        }
    };
    let original = object.as_object().cloned().unwrap_or_default();
    merge_map(original, patch, Level::of_type(schema_type)).map(Value::Object)
}

/// What the schema says about the value at hand. Unknown types merge like a plain merge patch.
#[derive(Clone, Copy)]
enum Level<'a> {
    Type(&'static schema::Type),
    Values(&'a Shape),
    Unknown,
}

impl<'a> Level<'a> {
    fn of_type(name: &str) -> Self {
        schema::type_named(name).map_or(Self::Unknown, Self::Type)
    }

    fn of_shape(shape: &'a Shape) -> Self {
        match shape {
            Shape::Object(name) => Self::of_type(name),
            Shape::Map(inner) => Self::Values(inner),
            _ => Self::Unknown,
        }
    }

    /// Level and rule of a field.
    fn field(self, name: &str) -> Option<(&'a Shape, PatchRule)> {
        match self {
            Self::Type(of) => of.fields.get(name).map(|field| (&field.shape, field.patch.clone())),
            Self::Values(shape) => Some((shape, PatchRule::default())),
            Self::Unknown => None,
        }
    }
}

fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    level: Level<'_>,
) -> Result<Map<String, Value>, PatchError> {
    match patch.remove(PATCH) {
        None => {}
        Some(Value::String(directive)) if directive == "replace" => return Ok(drop_nulls(patch)),
        Some(Value::String(directive)) if directive == "delete" => return Ok(Map::new()),
        Some(other) => {
            return Err(PatchError::Directive(format!("unknown patch type: {other} in map")));
        }
    }
    retain_keys(&mut original, &mut patch)?;
    set_orders(&mut original, &mut patch, level)?;
    for (name, value) in patch {
        if let Some(list_name) = name.strip_prefix(DELETE_FROM) {
            if let Some(Value::Array(list)) = original.get_mut(list_name) {
                let gone = as_list(&name, value)?;
                list.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if value.is_null() {
            original.remove(&name);
            continue;
        }
        let field = level.field(&name);
        let merged = match (original.remove(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let (inner, rule) = match &field {
                    Some((shape, rule)) => (Level::of_shape(shape), rule.clone()),
                    None => (Level::Unknown, PatchRule::default()),
                };
                if rule.replace {
                    Value::Object(drop_nulls(new))
                } else {
                    Value::Object(merge_map(old, new, inner)?)
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) => match &field {
                Some((Shape::List(item), rule)) if rule.merge => {
                    Value::Array(list::merge(&old, new, item, rule.merge_key)?)
                }
                _ => Value::Array(plain_list(new)),
            },
            (_, new) => without_directives(new),
        };
        original.insert(name, merged);
    }
    Ok(original)
}

/// `$retainKeys`: whatever the list does not name leaves the original.
fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let keys = as_list(RETAIN_KEYS, keys)?;
    let listed = |name: &str| keys.iter().any(|key| key == name);
    if patch.iter().any(|(name, value)| !name.starts_with('$') && !value.is_null() && !listed(name))
    {
        let message = "The format for retainKeys should be a list of primitives including all fields of the patch";
        return Err(PatchError::Directive(message.to_owned()));
    }
    original.retain(|name, _| listed(name));
    Ok(())
}

/// `$setElementOrder/x`: merges list `x` here and brings it into the order asked for.
fn set_orders(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    level: Level<'_>,
) -> Result<(), PatchError> {
    let directives: Vec<String> =
        patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let Some(order) = patch.remove(&directive) else { continue };
        let order = as_list(&directive, order)?;
        let name = &directive[SET_ORDER.len()..];
        let Some((Shape::List(item), rule)) = level.field(name) else { continue };
        if !rule.merge {
            continue;
        }
        // A null in the patch deletes the list; the order has nothing left to say.
        if patch.get(name).is_some_and(Value::is_null) {
            continue;
        }
        let new = patch.remove(name).map(|new| as_list(name, new)).transpose()?;
        if let Some(new) = &new {
            list::check_order(new, &order, rule.merge_key)?;
        }
        // Scalars that leave the list do so before it is ordered.
        let gone = patch.remove(&format!("{DELETE_FROM}{name}"));
        let gone = gone.map(|gone| as_list(name, gone)).transpose()?.unwrap_or_default();
        let old: Option<Vec<Value>> = match original.get(name) {
            Some(Value::Array(old)) => {
                Some(old.iter().filter(|i| !gone.contains(i)).cloned().collect())
            }
            _ => None,
        };
        let merged = match (&old, new) {
            (Some(old), Some(new)) => list::merge(old, new, item, rule.merge_key)?,
            (Some(old), None) => old.clone(),
            (None, Some(new)) => plain_list(new),
            (None, None) => continue,
        };
        let old = old.unwrap_or_default();
        let ordered = list::in_order(merged, &order, &old, rule.merge_key);
        original.insert(name.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

fn as_list(name: &str, value: Value) -> Result<Vec<Value>, PatchError> {
    match value {
        Value::Array(list) => Ok(list),
        _ => Err(PatchError::Directive(format!("{name} must be a list"))),
    }
}

/// A value that meets nothing in the original: directives and nulls have nothing to act on.
fn without_directives(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(drop_nulls(map)),
        Value::Array(list) => Value::Array(plain_list(list)),
        scalar => scalar,
    }
}

fn drop_nulls(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .filter(|(name, value)| !value.is_null() && !is_directive(name))
        .map(|(name, value)| (name, without_directives(value)))
        .collect()
}

fn is_directive(name: &str) -> bool {
    name == PATCH
        || name == RETAIN_KEYS
        || name.starts_with(DELETE_FROM)
        || name.starts_with(SET_ORDER)
}

/// A list without its special items.
fn plain_list(list: Vec<Value>) -> Vec<Value> {
    list.into_iter()
        .filter(|item| item.get(PATCH).is_none_or(|directive| directive == "merge"))
        .map(without_directives)
        .collect()
}

#[cfg(test)]
mod tests;
