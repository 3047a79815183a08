//! Defaults are valid values themselves.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting/{validation,surroundingobject}.go.

use serde_json::{Value, json};

use super::validate::{prefixed, validate};
use super::{Schema, embedded, prune};
use crate::field::{Errors, FieldError, Path, aggregate};

/// Checks all defaults of a structural schema: they have no fields that would be dropped, and are
/// what the schema allows. (Values of maps have none: those are refused elsewhere.)
pub(crate) fn check(schema: &Schema, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let whole = Place { steps: Vec::new(), in_metadata: false };
    walk(schema, &whole, path, &mut errors);
    errors
}

/// Where a schema is in the object that it is a part of, or in the innermost one within that.
struct Place<'s> {
    /// The fields on the way; `None` is an item of a list.
    steps: Vec<Option<&'s str>>,
    /// Whether it is about `apiVersion`, `kind` or `metadata`.
    in_metadata: bool,
}

impl<'s> Place<'s> {
    fn below(&self, step: Option<&'s str>) -> Place<'s> {
        let own = self.steps.is_empty() && matches!(step, Some("apiVersion" | "kind" | "metadata"));
        let steps = self.steps.iter().copied().chain([step]).collect();
        Place { steps, in_metadata: self.in_metadata || own }
    }

    /// An object that is valid but for what it has here.
    fn object_with(&self, value: &Value) -> Value {
        let within = |inner, step: &Option<&str>| match step {
            Some(field) => json!({ *field: inner }),
            None => json!([inner]),
        };
        let mut object = self.steps.iter().rev().fold(value.clone(), within);
        object["apiVersion"] = "validation/v1".into();
        object["kind"] = "Validation".into();
        object
    }
}

fn walk<'s>(schema: &'s Schema, place: &Place<'s>, path: &Path, errors: &mut Errors) {
    let whole = Place { steps: Vec::new(), in_metadata: false };
    let place = if schema.embedded { &whole } else { place };
    if let Some(default) = &schema.default {
        let path = path.child("default");
        if place.in_metadata {
            of_metadata(schema, default, place, &path, errors);
        } else {
            of_value(schema, default, &path, errors);
        }
    }
    if let Some(items) = &schema.items {
        walk(items, &place.below(None), &path.child("items"), errors);
    }
    for (name, field) in &schema.properties {
        let path = path.child("properties").key(name);
        walk(field, &place.below(Some(name)), &path, errors);
    }
}

/// Checks the default of a part of the metadata of an object.
fn of_metadata(
    schema: &Schema,
    default: &Value,
    place: &Place<'_>,
    path: &Path,
    errors: &mut Errors,
) {
    let found = embedded::one(&place.object_with(default), &Path::root());
    if found.is_empty() {
        errors.extend(prefixed(validate(schema, default, &Path::root()), path));
    } else {
        let detail = format!("must result in valid metadata: {}", aggregate(&found));
        errors.push(FieldError::invalid(path, default.clone(), &detail));
    }
}

fn of_value(schema: &Schema, default: &Value, path: &Path, errors: &mut Errors) {
    let (mut pruned, mut problems) = (default.clone(), Vec::new());
    prune::part(schema, &mut pruned, &mut problems);
    if !problems.is_empty() {
        errors.push(FieldError::invalid(path, default.clone(), "must not have unknown fields"));
    }
    let root = Path::root();
    let mut found = embedded::check(schema, default, &root);
    if found.is_empty() {
        found = validate(schema, default, &root);
    }
    errors.extend(prefixed(found, path));
}
