//! What makes a schema structural: each field has a type outside of `allOf`, `anyOf`, `oneOf` and
//! `not`, so that it is known which fields there are without looking at a value.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{validation,complete}.go,
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>.

use super::Schema;
use super::schema::Additional;
use crate::field::{Errors, FieldError, Path};

/// Where a schema is.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Checks that a schema is structural.
pub(crate) fn check(schema: &Schema, path: &Path) -> Errors {
    let mut errors = Errors::new();
    walk(schema, Level::Root, path, &mut errors);
    complete_junctors(schema, schema, path, path, &mut errors);
    // Sorted, as a real server does: the order of a map means nothing.
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn walk(schema: &Schema, level: Level, path: &Path, errors: &mut Errors) {
    for (name, field) in &schema.properties {
        walk(field, Level::Field, &path.child("properties").key(name), errors);
    }
    if let Some(items) = &schema.items {
        walk(items, Level::Item, &path.child("items"), errors);
    } else if schema.kind == "array" {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    maps(schema, level, path, errors);
    kind(schema, level, path, errors);
    extensions(schema, path, errors);
    own_metadata(schema, level, path, errors);
    values(schema, path, errors);
    // The two ways to write an integer or a string without the extension's help.
    let alone = is_integer_or_string(&schema.any_of);
    let in_first = schema.all_of.first().is_some_and(|first| is_integer_or_string(&first.any_of));
    junctors(schema, Skipped { any_of: alone, any_of_first: in_first }, path, errors);
}

fn maps(schema: &Schema, level: Level, path: &Path, errors: &mut Errors) {
    let Some(additional) = &schema.additional_properties else { return };
    let at = path.child("additionalProperties");
    if level == Level::Root {
        errors.push(FieldError::forbidden(&at, "must not be used at the root"));
    }
    if schema.embedded {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&at, detail));
    }
    if let Additional::Schema(values) = additional {
        walk(values, Level::Field, &at, errors);
    }
}

fn kind(schema: &Schema, level: Level, path: &Path, errors: &mut Errors) {
    let at = path.child("type");
    let kind = schema.kind.as_str();
    if schema.embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(&at, detail)
        } else {
            FieldError::invalid(&at, kind, detail)
        });
    } else if kind.is_empty() && !schema.int_or_string && !schema.preserve_unknown {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&at, detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&at, kind, "must be object at the root"));
    }
}

fn extensions(schema: &Schema, path: &Path, errors: &mut Errors) {
    if schema.int_or_string {
        let detail = "must be false if x-kubernetes-int-or-string is true";
        for (set, name) in [
            (schema.preserve_unknown, "x-kubernetes-preserve-unknown-fields"),
            (schema.embedded, "x-kubernetes-embedded-resource"),
        ] {
            if set {
                errors.push(FieldError::invalid(&path.child(name), true, detail));
            }
        }
    }
    if schema.embedded && !schema.preserve_unknown && schema.properties.is_empty() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), detail));
    }
}

/// `apiVersion`, `kind` and `metadata` of a whole object are what they always are.
fn own_metadata(schema: &Schema, level: Level, path: &Path, errors: &mut Errors) {
    let whole = level == Level::Root || schema.embedded;
    for (name, wanted) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        let Some(field) = schema.properties.get(name).filter(|field| field.kind != wanted) else {
            continue;
        };
        if whole {
            let at = path.child("properties").key(name).child("type");
            let detail = format!("must be {wanted}");
            errors.push(FieldError::invalid(&at, field.kind.as_str(), &detail));
        }
    }
    if let Some(metadata) = schema.properties.get("metadata")
        && level == Level::Root
        && !only_names(metadata)
    {
        let at = path.child("properties").key("metadata");
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(&at, detail));
    }
}

/// Whether a schema says nothing but how the names of objects look.
fn only_names(metadata: &Schema) -> bool {
    let names = |name: &String| matches!(name.as_str(), "name" | "generateName");
    let bare = Schema {
        kind: metadata.kind.clone(),
        default: metadata.default.clone(),
        properties: metadata.properties.clone(),
        ..Schema::default()
    };
    metadata.properties.keys().all(names) && *metadata == bare
}

fn values(schema: &Schema, path: &Path, errors: &mut Errors) {
    if let Some(pattern) = &schema.pattern
        && let Err(error) = &pattern.compiled
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(&path.child("pattern"), pattern.text.as_str(), &detail));
    }
}

/// The schemas within one that only restrict values, and where they are.
fn restrictions<'s>(schema: &'s Schema, path: &Path) -> Vec<(&'s Schema, Path)> {
    let mut all = Vec::new();
    for (name, parts) in
        [("allOf", &schema.all_of), ("anyOf", &schema.any_of), ("oneOf", &schema.one_of)]
    {
        all.extend(parts.iter().enumerate().map(|(n, part)| (part, path.child(name).index(n))));
    }
    all.extend(schema.not.as_deref().map(|not| (not, path.child("not"))));
    all
}

/// What is let pass although it speaks of types.
#[derive(Clone, Copy)]
struct Skipped {
    /// `anyOf`.
    any_of: bool,
    /// `anyOf` of the first one of `allOf`.
    any_of_first: bool,
}

impl Skipped {
    const NOTHING: Skipped = Skipped { any_of: false, any_of_first: false };
}

/// Checks what only restricts values.
fn junctors(schema: &Schema, skipped: Skipped, path: &Path, errors: &mut Errors) {
    for (part, at) in restrictions(schema, path) {
        if skipped.any_of && schema.any_of.iter().any(|any| std::ptr::eq(any, part)) {
            continue;
        }
        let first = schema.all_of.first().is_some_and(|first| std::ptr::eq(first, part));
        let any_of = skipped.any_of_first && first;
        restriction(part, Skipped { any_of, any_of_first: false }, &at, errors);
    }
}

/// Whether these say that a value is an integer or a string, and nothing else.
fn is_integer_or_string(any_of: &[Schema]) -> bool {
    let only = |schema: &Schema, kind: &str| {
        *schema == Schema { kind: kind.to_owned(), ..Schema::default() }
    };
    matches!(any_of, [a, b] if only(a, "integer") && only(b, "string"))
}

/// Checks a schema that only restricts values.
fn restriction(schema: &Schema, skipped: Skipped, path: &Path, errors: &mut Errors) {
    values(schema, path, errors);
    junctors(schema, skipped, path, errors);
    let empty = "must be empty to be structural";
    let undefined = "must be undefined to be structural";
    let no = "must be false to be structural";
    for (set, name, detail) in [
        (!schema.kind.is_empty(), "type", empty),
        (schema.additional_properties.is_some(), "additionalProperties", undefined),
        (schema.default.is_some(), "default", undefined),
        (!schema.title.is_empty(), "title", empty),
        (!schema.description.is_empty(), "description", empty),
        (schema.nullable, "nullable", no),
        (schema.preserve_unknown, "x-kubernetes-preserve-unknown-fields", no),
        (schema.embedded, "x-kubernetes-embedded-resource", no),
        (schema.int_or_string, "x-kubernetes-int-or-string", no),
        (!schema.list_keys.is_empty(), "x-kubernetes-list-map-keys", empty),
        (!schema.list_type.is_empty(), "x-kubernetes-list-type", undefined),
        (!schema.map_type.is_empty(), "x-kubernetes-map-type", undefined),
        (!schema.rules.is_empty(), "x-kubernetes-validations", empty),
    ] {
        if set {
            errors.push(FieldError::forbidden(&path.child(name), detail));
        }
    }
    for (name, field) in &schema.properties {
        let at = path.child("properties").key(name);
        if name == "metadata" {
            errors.push(FieldError::forbidden(&at, "must not be specified in a nested context"));
        }
        restriction(field, Skipped::NOTHING, &at, errors);
    }
    if let Some(items) = &schema.items {
        restriction(items, Skipped::NOTHING, &path.child("items"), errors);
    }
}

/// Checks that the fields and items that restrictions at the root speak of are there outside of
/// them, too. `outer` is that part of the schema, at `path`.
fn complete_junctors(
    schema: &Schema,
    outer: &Schema,
    path: &Path,
    inside: &Path,
    errors: &mut Errors,
) {
    for (part, at) in restrictions(schema, inside) {
        complete(part, outer, path, &at, errors);
    }
}

fn complete(schema: &Schema, outer: &Schema, path: &Path, inside: &Path, errors: &mut Errors) {
    complete_junctors(schema, outer, path, inside, errors);
    let missing = |at: &Path, inside: &Path| {
        FieldError::required(at, &format!("because it is defined in {inside}"))
    };
    if let Some(items) = &schema.items {
        let (at, inside) = (path.child("items"), inside.child("items"));
        match &outer.items {
            Some(outer) => complete(items, outer, &at, &inside, errors),
            None => errors.push(missing(&at, &inside)),
        }
    }
    for (name, field) in &schema.properties {
        let below = |path: &Path| path.child("properties").key(name);
        match outer.properties.get(name) {
            Some(outer) => complete(field, outer, &below(path), &below(inside), errors),
            None => errors.push(missing(&below(path), &below(inside))),
        }
    }
}
