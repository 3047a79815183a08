//! The versions of a custom resource: names, schemas, subresources, columns, selectable fields.

use std::collections::HashSet;

use serde_json::Value;

use crate::custom::json_path::JsonPath;
use crate::custom::{Schema, structural};
use crate::field::{Errors, FieldError, Path};
use crate::names;

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] =
    &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
/// Fields of a version that selectors may name, at most.
const SELECTABLE: usize = 8;

/// Checks `spec.versions`.
pub(super) fn validate(spec: &Value, path: &Path) -> Errors {
    let list = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let mut errors = Errors::new();
    let mut seen = HashSet::new();
    for (n, version) in list.iter().enumerate() {
        let (path, name) = (path.index(n), text(version, "name"));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        let messages = names::dns1035_label(name);
        if !messages.is_empty() {
            errors.push(FieldError::invalid(&path.child("name"), name, &messages.join(",")));
        }
        if !version["deprecationWarning"].is_null() && version["deprecated"] != true {
            let detail = "can only be set for deprecated versions";
            let warning = text(version, "deprecationWarning");
            errors.push(FieldError::invalid(&path.child("deprecationWarning"), warning, detail));
        }
        errors.extend(one(version, &path));
    }
    if list.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid_without_value(path, detail));
    }
    errors
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn one(version: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (schema, at) =
        (&version["schema"]["openAPIV3Schema"], path.child("schema").child("openAPIV3Schema"));
    let mut read = None;
    if schema.is_null() {
        errors.push(FieldError::required(&at, "schemas are required"));
    } else {
        errors.extend(unsupported(schema, &at));
        if errors.is_empty() {
            match Schema::read(schema) {
                Ok(schema) => {
                    errors.extend(structural::check(&schema, &at));
                    read = Some(schema);
                }
                Err(error) => errors.push(FieldError::invalid_without_value(&at, &error)),
            }
        }
    }
    errors.extend(scale(&version["subresources"]["scale"], &path.child("subresources")));
    errors.extend(columns(version, &path.child("additionalPrinterColumns")));
    errors.extend(selectable(version, read.as_ref(), &path.child("selectableFields")));
    errors
}

/// Parts of JSON Schema that no schema here may have, anywhere.
fn unsupported(schema: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in
        ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"]
    {
        if !schema[field].is_null() {
            let detail = format!("{field} is not supported");
            errors.push(FieldError::forbidden(&path.child(field), &detail));
        }
    }
    if schema["items"].is_array() {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(&path.child("items"), detail));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        errors.extend(unsupported(field, &path.child("properties").key(name)));
    }
    for field in ["items", "additionalProperties", "not"] {
        if schema[field].is_object() {
            errors.extend(unsupported(&schema[field], &path.child(field)));
        }
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        for (n, part) in schema[field].as_array().into_iter().flatten().enumerate() {
            errors.extend(unsupported(part, &path.child(field).index(n)));
        }
    }
    errors
}

fn scale(scale: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if scale.is_null() {
        return errors;
    }
    for (field, below, required) in [
        ("specReplicasPath", ".spec.", true),
        ("statusReplicasPath", ".status.", true),
        ("labelSelectorPath", "", false),
    ] {
        let (at, given) = (path.child("scale").child(field), text(scale, field));
        if given.is_empty() {
            if required {
                errors.push(FieldError::required(&at, ""));
            }
            continue;
        }
        let simple = simple_path(given);
        let detail = match &simple {
            Err(detail) => detail.clone(),
            Ok(()) if !below.is_empty() && !given.starts_with(below) => {
                format!("should be a json path under {}", below.trim_end_matches('.'))
            }
            Ok(())
                if below.is_empty()
                    && ![".spec.", ".status."].iter().any(|b| given.starts_with(b)) =>
            {
                "should be a json path under either .spec or .status".to_owned()
            }
            Ok(()) => continue,
        };
        errors.push(FieldError::invalid(&at, given, &detail));
    }
    errors
}

/// A path of fields only: `.spec.replicas`.
fn simple_path(path: &str) -> Result<(), String> {
    if !path.starts_with('.') {
        return Err("must be a simple json path starting with .".to_owned());
    }
    let fields = JsonPath::parse(path).ok().and_then(|path| path.fields().map(|names| names.len()));
    match fields {
        Some(count) if count > 0 => Ok(()),
        _ => Err("must be a json path in the dot notation".to_owned()),
    }
}

fn columns(version: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let columns = version["additionalPrinterColumns"].as_array();
    for (n, column) in columns.into_iter().flatten().enumerate() {
        let path = path.index(n);
        if text(column, "name").is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        let (kind, format) = (text(column, "type"), text(column, "format"));
        if kind.is_empty() {
            let detail = format!("must be one of {}", COLUMN_TYPES.join(","));
            errors.push(FieldError::required(&path.child("type"), &detail));
        } else if !COLUMN_TYPES.contains(&kind) {
            let detail = format!("must be one of {}", COLUMN_TYPES.join(","));
            errors.push(FieldError::invalid(&path.child("type"), kind, &detail));
        }
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(&path.child("format"), format, &detail));
        }
        let (at, given) = (path.child("jsonPath"), text(column, "jsonPath"));
        if given.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !given.starts_with('.') {
            let detail = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(&at, given, detail));
        } else if let Err(error) = JsonPath::parse(given) {
            errors.push(FieldError::invalid(&at, given, &error));
        }
    }
    errors
}

fn selectable(version: &Value, schema: Option<&Schema>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let list = version["selectableFields"].as_array().map_or(&[][..], Vec::as_slice);
    if list.len() > SELECTABLE {
        errors.push(FieldError::too_many(path, list.len(), SELECTABLE));
    }
    let mut seen = HashSet::new();
    for (n, field) in list.iter().enumerate() {
        let (at, given) = (path.index(n).child("jsonPath"), text(field, "jsonPath"));
        if given.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        if !seen.insert(given) {
            errors.push(FieldError::duplicate(&at, given));
        }
        if let Err(error) = simple_path(given) {
            errors.push(FieldError::invalid(&at, given, &format!("is an invalid path: {error}")));
            continue;
        }
        let steps = JsonPath::parse(given).unwrap_or_else(|_| JsonPath::default());
        let names = steps.fields().unwrap_or_default();
        let Some(schema) = schema else { continue };
        if names.first() == Some(&"metadata") {
            let detail = "must not point to fields in metadata";
            errors.push(FieldError::invalid(&at, given, detail));
            continue;
        }
        let found = names.iter().try_fold(schema, |schema, name| schema.properties.get(*name));
        if !found.is_some_and(|found| matches!(&*found.kind, "string" | "boolean" | "integer")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&at, given, detail));
        }
    }
    errors
}
