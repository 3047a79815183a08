//! What the schema of a definition may say at all: the words of JSON Schema that custom resources
//! know, and how those of Kubernetes (`x-kubernetes-*`) go together.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.

use serde_json::Value;

use super::rule_expressions;
use crate::field::{Errors, FieldError, Path};

const KINDS: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const LIST_TYPES: &[&str] = &["atomic", "set", "map"];
const MAP_TYPES: &[&str] = &["atomic", "granular"];

/// Words of JSON Schema that mean nothing here.
const UNSUPPORTED: &[&str] = &[
    "id",
    "$schema",
    "additionalItems",
    "patternProperties",
    "definitions",
    "dependencies",
    "$ref",
];

/// What the schemas around one mean for it.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    root: bool,
    /// Within `apiVersion`, `kind` or `metadata` of an object.
    metadata: bool,
    /// Why there can be no default.
    no_defaults: Option<&'a str>,
}

/// Checks the schema of a version, as the definition writes it.
pub(crate) fn check(schema: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    walk(schema, Around { root: true, ..Around::default() }, path, &mut errors);
    errors
}

/// Why a schema cannot be taken for a structural one at all: what it says somewhere is not known.
pub(crate) fn unreadable(schema: &Value) -> Option<String> {
    if let Some(field) = UNSUPPORTED.iter().find(|field| is_said(schema, field)) {
        let field = field.strip_prefix("$s").map_or(*field, |_| "schema");
        return Some(format!("OpenAPIV3Schema '{field}' is not supported"));
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        return Some(
            "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
                .to_owned(),
        );
    }
    if schema["items"].is_array() {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    let lists = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|name| schema[name].as_array());
    let fields = schema["properties"].as_object().into_iter().flat_map(|fields| fields.values());
    let others = ["not", "items", "additionalProperties"].into_iter().map(|name| &schema[name]);
    let parts = lists.flatten().chain(fields).chain(others);
    parts.filter(|part| part.is_object()).find_map(unreadable)
}

/// Whether a schema uses a word; what is empty says nothing, where Go leaves it out.
fn is_said(schema: &Value, field: &str) -> bool {
    match &schema[field] {
        Value::Null => false,
        Value::String(text) => !text.is_empty() || field == "$ref",
        Value::Object(map) => {
            !map.is_empty() || matches!(field, "dependencies" | "additionalItems")
        }
        _ => true,
    }
}

fn walk(schema: &Value, around: Around<'_>, path: &Path, errors: &mut Errors) {
    words(schema, around, path, errors);
    if schema["uniqueItems"] == true {
        let detail =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
    }
    let inside = Around { root: false, ..around };
    let values = &schema["additionalProperties"];
    if !values.is_null() {
        let at = path.child("additionalProperties");
        if has_properties(schema) && *values != true {
            let detail = "additionalProperties and properties are mutual exclusive";
            errors.push(FieldError::forbidden(&at, detail));
        }
        let why = "inside additionalProperties applying to object metadata";
        let no_defaults = if around.metadata { Some(why) } else { around.no_defaults };
        below(values, Around { no_defaults, ..inside }, &at, errors);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let own = (around.root || schema["x-kubernetes-embedded-resource"] == true)
            && matches!(name.as_str(), "metadata" | "kind" | "apiVersion");
        let why = format!("in top-level {name}");
        let no_defaults = if own && around.root { Some(&*why) } else { around.no_defaults };
        let around = Around { root: false, metadata: around.metadata || own, no_defaults };
        walk(field, around, &path.child("properties").key(name), errors);
    }
    below(&schema["not"], inside, &path.child("not"), errors);
    for name in ["allOf", "oneOf", "anyOf"] {
        for (n, part) in schema[name].as_array().into_iter().flatten().enumerate() {
            walk(part, inside, &path.child(name).index(n), errors);
        }
    }
    below(&schema["items"], inside, &path.child("items"), errors);
    maps(schema, path, errors);
    lists(schema, path, errors);
    errors.extend(rule_expressions::check(schema, path));
}

fn below(schema: &Value, around: Around<'_>, path: &Path, errors: &mut Errors) {
    if schema.is_object() {
        walk(schema, around, path, errors);
    }
}

fn text<'v>(schema: &'v Value, field: &str) -> &'v str {
    schema[field].as_str().unwrap_or_default()
}

fn has_properties(schema: &Value) -> bool {
    schema["properties"].as_object().is_some_and(|fields| !fields.is_empty())
}

/// Words that no schema may use here, and types that there are not.
fn words(schema: &Value, around: Around<'_>, path: &Path, errors: &mut Errors) {
    let kind = text(schema, "type");
    if !kind.is_empty() && !KINDS.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, KINDS));
    }
    if let Some(why) = around.no_defaults
        && !schema["default"].is_null()
    {
        let detail = format!("must not be set {why}");
        errors.push(FieldError::forbidden(&path.child("default"), &detail));
    }
    for field in UNSUPPORTED {
        if is_said(schema, field) && *field != "$schema" {
            let detail = format!("{field} is not supported");
            errors.push(FieldError::forbidden(&path.child(field), &detail));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(&path.child("type"), detail));
    }
    if schema["items"].is_array() {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(&path.child("items"), detail));
    }
    let embedded = "x-kubernetes-embedded-resource";
    if around.metadata && schema[embedded] == true {
        let detail = "must not be used inside of resource meta";
        errors.push(FieldError::forbidden(&path.child(embedded), detail));
    }
    let preserve = "x-kubernetes-preserve-unknown-fields";
    if schema[preserve] == false {
        errors.push(FieldError::invalid(&path.child(preserve), false, "must be true or undefined"));
    }
}

/// An error about a type that is another one, or none.
fn other_type(kind: &str, path: &Path, detail: &str) -> FieldError {
    let at = path.child("type");
    if kind.is_empty() {
        FieldError::required(&at, detail)
    } else {
        FieldError::invalid(&at, kind, detail)
    }
}

fn maps(schema: &Value, path: &Path, errors: &mut Errors) {
    let Some(map_type) = schema["x-kubernetes-map-type"].as_str() else { return };
    let kind = text(schema, "type");
    if kind != "object" {
        let detail = "must be object if x-kubernetes-map-type is specified";
        errors.push(other_type(kind, path, detail));
    }
    if !MAP_TYPES.contains(&map_type) {
        let at = path.child("x-kubernetes-map-type");
        errors.push(FieldError::not_supported(&at, map_type, MAP_TYPES));
    }
}

fn lists(schema: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("x-kubernetes-list-type");
    let (kind, list_type) = (text(schema, "type"), schema["x-kubernetes-list-type"].as_str());
    let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if list_type.is_some() && kind != "array" {
        let detail = "must be array if x-kubernetes-list-type is specified";
        errors.push(other_type(kind, path, detail));
    } else if list_type == Some("set") {
        set(&schema["items"], &path.child("items"), errors);
    }
    if let Some(list_type) = list_type.filter(|list_type| !LIST_TYPES.contains(list_type)) {
        errors.push(FieldError::not_supported(&at, list_type, LIST_TYPES));
    }
    if !keys.is_empty() && list_type != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list_type {
            None => FieldError::required(&at, detail),
            Some(other) => FieldError::invalid(&at, other, detail),
        });
    }
    if list_type == Some("map") {
        map(schema, &keys, path, errors);
    }
    if let Some(list_type @ ("set" | "map")) = list_type {
        never_null(schema, list_type, &keys, path, errors);
    }
}

/// The items of a set merge as a whole.
fn set(items: &Value, path: &Path, errors: &mut Errors) {
    let (field, wrong) = match text(items, "type") {
        "array" => (
            "x-kubernetes-list-type",
            !matches!(text(items, "x-kubernetes-list-type"), "" | "atomic"),
        ),
        "object" => ("x-kubernetes-map-type", text(items, "x-kubernetes-map-type") != "atomic"),
        _ => return,
    };
    if wrong {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        // The message of a real server shows the type of the list in both cases.
        let shown = items["x-kubernetes-list-type"].clone();
        errors.push(FieldError::invalid(&path.child(field), shown, detail));
    }
}

/// The items of a map are objects with scalars that identify them.
fn map(schema: &Value, keys: &[&str], path: &Path, errors: &mut Errors) {
    let at = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&at, detail));
    }
    let items = &schema["items"];
    let path = path.child("items");
    if items.is_null() {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&path, detail));
    }
    if !items.is_object() {
        return;
    }
    let kind = text(items, "type");
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(&path.child("type"), kind, detail));
        return;
    }
    for (n, key) in keys.iter().enumerate() {
        match items["properties"].get(key) {
            Some(field) if matches!(text(field, "type"), "array" | "object") => {
                let at = path.child("properties").key(key).child("type");
                let detail =
                    "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(&at, kind, detail));
            }
            Some(_) => {}
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(FieldError::invalid(&at, keys.to_vec(), detail));
            }
        }
        if keys[..n].contains(key) {
            let detail = "must not contain duplicate entries";
            errors.push(FieldError::invalid(&at, keys.to_vec(), detail));
        }
    }
}

/// What identifies an item is always there.
fn never_null(schema: &Value, list_type: &str, keys: &[&str], path: &Path, errors: &mut Errors) {
    let (items, path) = (&schema["items"], path.child("items"));
    if items["nullable"] == true {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(&path.child("nullable"), &detail));
    }
    if list_type != "map" {
        return;
    }
    let required = items["required"].as_array().map_or(&[][..], Vec::as_slice);
    for key in keys {
        let Some(field) = items["properties"].get(key) else { continue };
        let at = path.child("properties").key(key);
        if field["default"].is_null() && !required.iter().any(|name| name == key) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at.child("default"), detail));
        }
        if field["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.child("nullable"), detail));
        }
    }
}
