//! Defaults are valid values themselves.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting/validation.go.

use serde_json::Value;

use super::validate::{prefixed, validate};
use super::{Schema, embedded, lists, prune};
use crate::field::{Errors, FieldError, Path};

/// Checks all defaults of a structural schema: they have no fields that would be dropped, and are
/// what the schema allows. (Values of maps have none: those are refused elsewhere.)
pub(crate) fn check(schema: &Schema, path: &Path) -> Errors {
    let mut errors = Errors::new();
    walk(schema, path, &mut errors);
    errors
}

fn walk(schema: &Schema, path: &Path, errors: &mut Errors) {
    if let Some(default) = &schema.default {
        one(schema, default, &path.child("default"), errors);
    }
    if let Some(items) = &schema.items {
        walk(items, &path.child("items"), errors);
    }
    for (name, field) in &schema.properties {
        walk(field, &path.child("properties").key(name), errors);
    }
}

fn one(schema: &Schema, default: &Value, path: &Path, errors: &mut Errors) {
    let (mut pruned, mut problems) = (default.clone(), Vec::new());
    prune::part(schema, &mut pruned, &mut problems);
    if !problems.is_empty() {
        errors.push(FieldError::invalid(path, default.clone(), "must not have unknown fields"));
    }
    let root = Path::root();
    let mut found = validate(schema, default, &root);
    found.extend(embedded::check(schema, default, &root));
    found.extend(lists::check(schema, default, &root));
    errors.extend(prefixed(found, path));
}
