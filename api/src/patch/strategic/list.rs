//! Merging and ordering of lists.

use serde_json::Value;

use super::{Level, PATCH, merge_map, plain_list};
use crate::patch::PatchError;
use crate::schema::Shape;

/// Merges two lists: scalars as sets, maps by key.
pub(super) fn merge(
    original: &[Value],
    patch: Vec<Value>,
    item: &Shape,
    merge_key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    let Some(key) = merge_key else {
        let mut merged: Vec<Value> = original.to_vec();
        for value in &patch {
            if value.is_object() {
                let message = "cannot merge lists without merge key";
                return Err(PatchError::Directive(message.to_owned()));
            }
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
        return Ok(in_order(merged, &patch, original, None));
    };
    let (kept, patch, replaced) = special_items(original, patch, key)?;
    if replaced {
        return Ok(plain_list(patch));
    }
    let mut merged = kept;
    for value in &patch {
        let Some(identity) = value.get(key) else {
            return Err(missing_key(value, key));
        };
        let Value::Object(new) = value else { continue };
        match merged.iter_mut().find(|old| old.get(key) == Some(identity)) {
            Some(slot) => {
                let old = slot.as_object().cloned().unwrap_or_default();
                *slot = Value::Object(merge_map(old, new.clone(), Level::of_shape(item))?);
            }
            None => merged.extend(plain_list(vec![value.clone()])),
        }
    }
    Ok(in_order(merged, &patch, original, Some(key)))
}

/// Carries out the `$patch` items; returns what is left of both lists, and whether the patch
/// replaces the list.
fn special_items(
    original: &[Value],
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>, bool), PatchError> {
    let (mut kept, mut plain, mut replaced) = (original.to_vec(), Vec::new(), false);
    for value in patch {
        if !value.is_object() {
            return Err(PatchError::Directive("list element types are not identical".to_owned()));
        }
        match value.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()) {
            None => plain.push(value),
            Some("delete") => {
                let identity = value.get(key).ok_or_else(|| missing_key(&value, key))?;
                kept.retain(|old| old.get(key) != Some(identity));
            }
            Some("replace") => {
                replaced = true;
                // The other fields of a replacing item belong to no item of the list.
            }
            Some("merge") => {
                let message = "merging lists cannot yet be specified in the patch";
                return Err(PatchError::Directive(message.to_owned()));
            }
            Some(other) => {
                let message = format!("unknown patch type: {other} found in list patch");
                return Err(PatchError::Directive(message));
            }
        }
    }
    Ok((kept, plain, replaced))
}

fn missing_key(value: &Value, key: &str) -> PatchError {
    PatchError::Directive(format!("map: {value} does not contain declared merge key: {key}"))
}

fn same(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}

/// Orders `merged`: items named in `order` in that order, the others in the order they had in
/// `live`, the two interleaved by where they stood in `live`.
pub(super) fn in_order(
    merged: Vec<Value>,
    order: &[Value],
    live: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let at = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item, key));
    let (mut left, mut right): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| at(order, item).is_some());
    left.sort_by_key(|item| at(order, item));
    // What the live list does not know keeps its place behind what it knows.
    right.sort_by_key(|item| at(live, item).unwrap_or(usize::MAX));
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut out = Vec::new();
    loop {
        let left_first = match (left.peek(), right.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => matches!((at(live, l), at(live, r)), (Some(l), Some(r)) if l < r),
        };
        out.extend(if left_first { left.next() } else { right.next() });
    }
}

/// The items of a patch must come in the order that `$setElementOrder` gives.
pub(super) fn check_order(
    patch: &[Value],
    order: &[Value],
    key: Option<&str>,
) -> Result<(), PatchError> {
    let mut rest = order.iter();
    let in_order = patch
        .iter()
        .filter(|item| item.get(PATCH).is_none())
        .all(|item| rest.any(|wanted| same(wanted, item, key)));
    if in_order || order.is_empty() {
        return Ok(());
    }
    let shown = |list: &[Value]| Value::Array(list.to_vec()).to_string();
    Err(PatchError::Order { patch: shown(patch), wanted: shown(order) })
}
