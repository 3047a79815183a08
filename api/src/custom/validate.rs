//! Checking a value against a schema, in the words of kube-openapi's validator.
//!
//! Source: k8s.io/kube-openapi/pkg/validation/{validate,errors},
//! k8s.io/apiextensions-apiserver/pkg/apiserver/validation.

mod kinds;
mod numbers;

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::schema::Additional;
use super::{Schema, format, lists};
use crate::field::{Errors, FieldError, Kind, Path, go_quote};

/// Checks a value; `path` is where it is (the root for a whole object).
pub(crate) fn validate(schema: &Schema, value: &Value, path: &Path) -> Errors {
    validate_change(schema, value, None, path)
}

/// Checks a value that takes the place of an older one. Parts that have not changed are let pass,
/// so that a stricter schema does not stand in the way of other changes.
pub(super) fn validate_change(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    check(schema, value, old, path, &mut errors);
    errors
}

/// The errors of a value that was checked as if it were a whole, at the place where it is. The
/// messages go on speaking of places in the value.
pub(crate) fn prefixed(mut errors: Errors, base: &Path) -> Errors {
    if *base == Path::root() {
        return errors;
    }
    let root = Path::root().to_string();
    for error in &mut errors {
        error.field = match error.field.as_str() {
            field if field == root => base.to_string(),
            field if field.starts_with('[') => format!("{base}{field}"),
            field => format!("{base}.{field}"),
        };
    }
    errors
}

fn check(schema: &Schema, value: &Value, old: Option<&Value>, path: &Path, errors: &mut Errors) {
    if value.is_null() && schema.nullable || old == Some(value) {
        return;
    }
    if let Some(mismatch) = kinds::mismatch(schema, value) {
        let kinds::Mismatch { wanted, found } = mismatch;
        let detail =
            format!("{} in body must be of type {wanted}: {}", shown(path), go_quote(found));
        errors.push(typed(path, found.into(), &detail));
    }
    if !value.is_null() {
        junctors(schema, value, path, errors);
    }
    if !schema.values.is_empty() && !schema.values.iter().any(|one| is_same(value, one)) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let values: Vec<String> = schema.values.iter().map(text).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        errors.push(FieldError::not_supported(path, value.clone(), &values));
    }
    match value {
        Value::String(text) => check_text(schema, text, path, errors),
        Value::Number(number) => numbers::check(schema, number, path, errors),
        Value::Array(list) => check_list(schema, list, old, path, errors),
        Value::Object(map) => check_object(schema, map, old, path, errors),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Whether a value is this one of an enumeration. Numbers are taken for what the other one is, so
/// 1.5 is 1.
fn is_same(value: &Value, one: &Value) -> bool {
    match (value.as_f64(), one.as_i64(), one.as_f64()) {
        (Some(value), Some(_), Some(one)) => value.trunc() == one,
        (Some(value), None, Some(one)) => value == one,
        _ => value == one,
    }
}

/// A message's own mention of the place.
fn shown(path: &Path) -> String {
    let text = path.to_string();
    if text == "<nil>" { String::new() } else { text }
}

fn typed(path: &Path, value: Value, detail: &str) -> FieldError {
    FieldError { kind: Kind::TypeInvalid, ..FieldError::invalid(path, value, detail) }
}

fn junctors(schema: &Schema, value: &Value, path: &Path, errors: &mut Errors) {
    let at = go_quote(&shown(path));
    let refuse = |detail: String| FieldError::invalid(path, "", &detail);
    let fitting = |all: &[Schema]| {
        let each = all.iter().map(|schema| validate(schema, value, path));
        let (fits, fails): (Vec<_>, Vec<_>) = each.partition(Vec::is_empty);
        // The one that came closest says most about what is wrong.
        (fits.len(), fails.into_iter().min_by_key(Vec::len).unwrap_or_default())
    };
    if !schema.any_of.is_empty() {
        let (fits, closest) = fitting(&schema.any_of);
        if fits == 0 {
            errors.push(refuse(format!("{at} must validate at least one schema (anyOf)")));
            errors.extend(closest);
        }
    }
    if !schema.one_of.is_empty() {
        let (fits, closest) = fitting(&schema.one_of);
        if fits != 1 {
            let found = if fits == 0 {
                "Found none valid".to_owned()
            } else {
                format!("Found {fits} valid alternatives")
            };
            let rule = "must validate one and only one schema (oneOf)";
            errors.push(refuse(format!("{at} {rule}. {found}")));
            if fits == 0 {
                errors.extend(closest);
            }
        }
    }
    let failed: Vec<_> = schema
        .all_of
        .iter()
        .map(|all| validate(all, value, path))
        .filter(|e| !e.is_empty())
        .collect();
    if !failed.is_empty() {
        let none = if failed.len() == schema.all_of.len() { ". None validated" } else { "" };
        errors.push(refuse(format!("{at} must validate all the schemas (allOf){none}")));
        errors.extend(failed.into_iter().flatten());
    }
    if schema.not.as_deref().is_some_and(|not| validate(not, value, path).is_empty()) {
        errors.push(refuse(format!("{at} must not validate the schema (not)")));
    }
}

/// Checks a text; of its length and its pattern the first thing that is wrong is told.
fn check_text(schema: &Schema, text: &str, path: &Path, errors: &mut Errors) {
    let length = text.chars().count() as u64;
    let at = || shown(path);
    let refuse = |detail: String| FieldError::invalid(path, text, &detail);
    if let Some(most) = schema.max_length.filter(|most| length > *most) {
        errors.push(FieldError::too_long(path, usize::try_from(most).unwrap_or(usize::MAX)));
    } else if let Some(least) = schema.min_length.filter(|least| length < *least) {
        errors.push(refuse(format!("{} in body should be at least {least} chars long", at())));
    } else if let Some(pattern) = &schema.pattern
        && let Ok(regex) = &pattern.compiled
        && !regex.is_match(text)
    {
        errors.push(refuse(format!("{} in body should match '{}'", at(), pattern.text)));
    }
    let format = format::of(schema);
    if !format::fits(format, text) {
        let detail = format!("{} in body must be of type {format}: {}", at(), go_quote(text));
        errors.push(typed(path, text.into(), &detail));
    }
}

fn check_list(
    schema: &Schema,
    list: &[Value],
    old: Option<&Value>,
    path: &Path,
    errors: &mut Errors,
) {
    if let Some(items) = &schema.items {
        let before = old.map(|old| lists::by_keys(schema, old)).unwrap_or_default();
        for (n, item) in list.iter().enumerate() {
            let old = if before.is_empty() { None } else { lists::identity(schema, item) };
            let old = old.and_then(|keys| before.get(&keys).copied());
            check(items, item, old, &path.index(n), errors);
        }
    }
    if let Some(least) = schema.min_items.filter(|least| list.len() < *least) {
        let detail = format!("{} in body should have at least {least} items", shown(path));
        errors.push(FieldError::invalid(path, list.len(), &detail));
    }
    if let Some(most) = schema.max_items.filter(|most| list.len() > *most) {
        errors.push(FieldError::too_many(path, list.len(), most));
    }
    if schema.unique_items {
        let mut seen = HashSet::new();
        if !list.iter().all(|item| seen.insert(item.to_string())) {
            let detail = format!("{} in body shouldn't contain duplicates", shown(path));
            errors.push(FieldError::invalid(path, "", &detail));
        }
    }
}

fn check_object(
    schema: &Schema,
    map: &Map<String, Value>,
    old: Option<&Value>,
    path: &Path,
    errors: &mut Errors,
) {
    if let Some(least) = schema.min_properties.filter(|least| map.len() < *least) {
        let detail = format!("{} in body should have at least {least} properties", shown(path));
        errors.push(FieldError::invalid(path, map.len(), &detail));
        return;
    }
    if let Some(most) = schema.max_properties.filter(|most| map.len() > *most) {
        errors.push(FieldError::too_many(path, map.len(), most));
        return;
    }
    for (name, value) in map {
        if let Some(field) = schema.field(name) {
            check(field, value, old.and_then(|old| old.get(name)), &path.child(name), errors);
        } else if schema.additional_properties == Some(Additional::Allowed(false)) {
            let at = shown(&path.child(name));
            let detail = format!("{at} in body is a forbidden property");
            errors.push(FieldError::invalid(path, name.as_str(), &detail));
        }
    }
    for name in schema.required.iter().filter(|name| !map.contains_key(*name)) {
        errors.push(FieldError::required(&path.child(name), ""));
    }
}
