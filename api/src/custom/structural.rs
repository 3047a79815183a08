//! What makes a schema structural: each field has a type outside of `allOf`, `anyOf`, `oneOf` and
//! `not`, so that it is known which fields there are without looking at a value.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go,
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>.

use serde_json::Value;

use super::schema::Additional;
use super::{Schema, validate};
use crate::field::{Errors, FieldError, Path};

const LIST_TYPES: &[&str] = &["atomic", "set", "map"];
const MAP_TYPES: &[&str] = &["atomic", "granular"];
const KINDS: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Where a schema is.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Checks the schema of a version.
pub(crate) fn check(schema: &Schema, path: &Path) -> Errors {
    let mut errors = Errors::new();
    walk(schema, Level::Root, path, &mut errors);
    // Sorted, as a real server does: the order of a map means nothing.
    errors.sort_by_key(ToString::to_string);
    errors
}

fn walk(schema: &Schema, level: Level, path: &Path, errors: &mut Errors) {
    for (name, field) in &schema.properties {
        // What is said of the root's metadata is looked at below.
        if level != Level::Root || name != "metadata" {
            walk(field, Level::Field, &path.child("properties").key(name), errors);
        }
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
    junctors(schema, schema, path, errors);
    if let Some(default) = &schema.default {
        check_default(schema, default, &path.child("default"), errors);
    }
}

fn maps(schema: &Schema, level: Level, path: &Path, errors: &mut Errors) {
    let Some(additional) = &schema.additional_properties else { return };
    let at = path.child("additionalProperties");
    if level == Level::Root {
        errors.push(FieldError::forbidden(&at, "must not be used at the root"));
    }
    if !schema.properties.is_empty() && !matches!(additional, Additional::Allowed(true)) {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&at, detail));
    }
    if schema.embedded {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&at, detail));
    }
    match additional {
        Additional::Schema(values) => walk(values, Level::Field, &at, errors),
        Additional::Allowed(false) => {
            errors.push(FieldError::forbidden(&at, "additionalProperties cannot be set to false"));
        }
        Additional::Allowed(true) => {}
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
    } else if kind.is_empty() {
        if !schema.int_or_string && !schema.preserve_unknown {
            let detail = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            errors.push(FieldError::required(&at, detail));
        }
    } else if kind == "null" {
        errors.push(FieldError::forbidden(
            &at,
            "type cannot be set to null, use nullable as an alternative",
        ));
    } else if !KINDS.contains(&kind) {
        errors.push(FieldError::not_supported(&at, kind, KINDS));
    } else if level == Level::Root && kind != "object" {
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
    let at = path.child("x-kubernetes-map-type");
    if !schema.map_type.is_empty() {
        if !MAP_TYPES.contains(&&*schema.map_type) {
            errors.push(FieldError::not_supported(&at, schema.map_type.as_str(), MAP_TYPES));
        }
        if schema.kind != "object" {
            let detail = "must be object if x-kubernetes-map-type is specified";
            errors.push(FieldError::invalid(&path.child("type"), schema.kind.as_str(), detail));
        }
    }
    list_type(schema, path, errors);
}

fn list_type(schema: &Schema, path: &Path, errors: &mut Errors) {
    let keys = path.child("x-kubernetes-list-map-keys");
    if schema.list_type != "map" && !schema.list_keys.is_empty() {
        let detail = "must not be set if x-kubernetes-list-type is not map";
        let shown: Vec<Value> = schema.list_keys.iter().map(|key| key.as_str().into()).collect();
        errors.push(FieldError::invalid(&keys, shown, detail));
    }
    if schema.list_type.is_empty() {
        return;
    }
    let at = path.child("x-kubernetes-list-type");
    if !LIST_TYPES.contains(&&*schema.list_type) {
        errors.push(FieldError::not_supported(&at, schema.list_type.as_str(), LIST_TYPES));
    }
    if schema.kind != "array" {
        let detail = "must be array if x-kubernetes-list-type is specified";
        errors.push(FieldError::invalid(&path.child("type"), schema.kind.as_str(), detail));
    }
    let Some(items) = schema.items.as_deref().filter(|_| schema.list_type == "map") else { return };
    if schema.list_keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&keys, detail));
    }
    if items.kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        let at = path.child("items").child("type");
        errors.push(FieldError::invalid(&at, items.kind.as_str(), detail));
    }
    for (n, key) in schema.list_keys.iter().enumerate() {
        match items.properties.get(key) {
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(FieldError::invalid(&keys.index(n), key.as_str(), detail));
            }
            Some(field) if field.default.is_none() && !items.required.contains(key) => {
                let at = path.child("items").child("properties").key(key).child("default");
                let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                errors.push(FieldError::required(&at, detail));
            }
            Some(_) => {}
        }
    }
}

/// `apiVersion`, `kind` and `metadata` of a whole object are what they always are.
fn own_metadata(schema: &Schema, level: Level, path: &Path, errors: &mut Errors) {
    if level != Level::Root && !schema.embedded {
        return;
    }
    for (name, wanted) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        let Some(field) = schema.properties.get(name).filter(|field| field.kind != wanted) else {
            continue;
        };
        let at = path.child("properties").key(name).child("type");
        let detail = format!("must be {wanted}");
        errors.push(FieldError::invalid(&at, field.kind.as_str(), &detail));
    }
    let names = |name: &String| matches!(name.as_str(), "name" | "generateName");
    if let Some(metadata) = schema.properties.get("metadata")
        && level == Level::Root
        && !metadata.properties.keys().all(names)
    {
        let at = path.child("properties").key("metadata");
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(&at, detail));
    }
}

fn values(schema: &Schema, path: &Path, errors: &mut Errors) {
    if schema.unique_items {
        let detail =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
    }
    if let Some(pattern) = &schema.pattern
        && let Err(error) = &pattern.compiled
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(&path.child("pattern"), pattern.text.as_str(), &detail));
    }
}

/// Goes through what only restricts values; `outer` is the part of the schema that says which
/// fields there are here.
fn junctors(schema: &Schema, outer: &Schema, path: &Path, errors: &mut Errors) {
    // The one way to write an integer or a string without the extension's help.
    let either = |schemas: &[Schema]| {
        outer.int_or_string
            && matches!(schemas, [a, b] if a.kind == "integer" && b.kind == "string")
    };
    for (name, all) in
        [("allOf", &schema.all_of), ("anyOf", &schema.any_of), ("oneOf", &schema.one_of)]
    {
        if name == "anyOf" && either(all) {
            continue;
        }
        for (n, part) in all.iter().enumerate() {
            restriction(part, outer, &path.child(name).index(n), errors);
        }
    }
    if let Some(not) = &schema.not {
        restriction(not, outer, &path.child("not"), errors);
    }
}

fn restriction(schema: &Schema, outer: &Schema, path: &Path, errors: &mut Errors) {
    values(schema, path, errors);
    junctors(schema, outer, path, errors);
    let texts =
        [("type", &schema.kind), ("title", &schema.title), ("description", &schema.description)];
    for (name, text) in texts {
        if !text.is_empty() {
            errors.push(FieldError::forbidden(&path.child(name), "must be empty to be structural"));
        }
    }
    for (name, set) in [
        ("nullable", schema.nullable),
        ("x-kubernetes-preserve-unknown-fields", schema.preserve_unknown),
        ("x-kubernetes-embedded-resource", schema.embedded),
        ("x-kubernetes-int-or-string", schema.int_or_string),
    ] {
        if set {
            errors.push(FieldError::forbidden(&path.child(name), "must be false to be structural"));
        }
    }
    for (name, set) in [
        ("additionalProperties", schema.additional_properties.is_some()),
        ("default", schema.default.is_some()),
        ("x-kubernetes-list-type", !schema.list_type.is_empty()),
        ("x-kubernetes-map-type", !schema.map_type.is_empty()),
    ] {
        if set {
            errors.push(FieldError::forbidden(
                &path.child(name),
                "must be undefined to be structural",
            ));
        }
    }
    for (name, set) in [
        ("x-kubernetes-list-map-keys", !schema.list_keys.is_empty()),
        ("x-kubernetes-validations", !schema.rules.is_empty()),
    ] {
        if set {
            errors.push(FieldError::forbidden(&path.child(name), "must be empty to be structural"));
        }
    }
    for (name, field) in &schema.properties {
        let at = path.child("properties").key(name);
        if name == "metadata" {
            errors.push(FieldError::forbidden(&at, "must not be specified in a nested context"));
        }
        match outer.field(name) {
            Some(outer) => restriction(field, outer, &at, errors),
            None => errors.push(FieldError::required(
                &at,
                "must be specified outside of allOf, anyOf, oneOf and not, too",
            )),
        }
    }
    if let Some(items) = &schema.items {
        let at = path.child("items");
        match &outer.items {
            Some(outer) => restriction(items, outer, &at, errors),
            None => errors.push(FieldError::required(
                &at,
                "must be specified outside of allOf, anyOf, oneOf and not, too",
            )),
        }
    }
}

fn check_default(schema: &Schema, default: &Value, path: &Path, errors: &mut Errors) {
    let bare = Schema { default: None, ..schema.clone() };
    errors.extend(validate(&bare, default, path));
    let (mut pruned, mut problems) = (default.clone(), Vec::new());
    super::prune::part(schema, &mut pruned, &mut problems);
    if !problems.is_empty() {
        errors.push(FieldError::invalid(path, default.clone(), "must not have unknown fields"));
    }
}
