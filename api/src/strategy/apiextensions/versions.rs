//! The versions of a custom resource: names, schemas, subresources, columns, selectable fields.
//!
//! What all versions have alike Kubernetes holds once, for the whole definition, and its messages
//! say so: a schema that is the same in all versions is `spec.validation`, not
//! `spec.versions[0].schema`.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::custom::field_path::FieldPath;
use crate::custom::{Schema, default_rules, rules, structural};
use crate::field::{Errors, FieldError, Path};
use crate::names;

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] =
    &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
/// Fields of a version that selectors may name, at most.
const SELECTABLE: usize = 8;
/// Bytes of a warning, at most.
const WARNING: usize = 256;

/// Words that the schema may have besides its fields where the status is a subresource, and how
/// messages call them.
const ROOT_WORDS: &[(&str, &str)] = &[
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Checks `spec.versions`; `path` is that of the spec.
pub(super) fn validate(spec: &Value, path: &Path) -> Errors {
    let list = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let alike = Alike::of(list);
    let mut errors = Errors::new();
    for (n, version) in list.iter().enumerate() {
        if version["schema"]["openAPIV3Schema"].is_null() {
            let at = path.child("versions").index(n).child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(&at, "schemas are required"));
        }
    }
    let mut seen = HashSet::new();
    let mut unique = true;
    for (n, version) in list.iter().enumerate() {
        let (path, name) = (path.child("versions").index(n), text(version, "name"));
        unique &= seen.insert(name);
        errors.extend(label(name, &path.child("name")));
        errors.extend(warning(version, &path.child("deprecationWarning")));
        if !alike.schema {
            errors.extend(schema(version, has_status(version), &path.child("schema")));
        }
        if !alike.subresources {
            errors.extend(scale(version, &path.child("subresources")));
        }
        if !alike.columns {
            errors.extend(columns(version, &path.child("additionalPrinterColumns")));
        }
        if !alike.selectable {
            errors.extend(selectable(version, &path.child("selectableFields")));
        }
    }
    let at = path.child("versions");
    if !unique {
        errors.push(FieldError::invalid_without_value(&at, "must contain unique version names"));
    }
    if list.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid_without_value(&at, detail));
    }
    errors
}

/// Checks what all versions have alike; `path` is that of the spec.
pub(super) fn validate_common(spec: &Value, path: &Path) -> Errors {
    let list = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let (alike, Some(first)) = (Alike::of(list), list.first()) else { return Errors::new() };
    let mut errors = Errors::new();
    if alike.schema {
        let status = list.iter().any(has_status);
        errors.extend(schema(first, status, &path.child("validation")));
    }
    if alike.subresources {
        errors.extend(scale(first, &path.child("subresources")));
    }
    if alike.columns {
        errors.extend(columns(first, &path.child("additionalPrinterColumns")));
    }
    if alike.selectable {
        errors.extend(selectable(first, &path.child("selectableFields")));
    }
    errors
}

/// What is the same in all versions.
struct Alike {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl Alike {
    fn of(versions: &[Value]) -> Alike {
        let same = |field: &str| versions.windows(2).all(|pair| pair[0][field] == pair[1][field]);
        let schema = same("schema");
        Alike {
            schema,
            subresources: same("subresources"),
            columns: same("additionalPrinterColumns"),
            selectable: schema && same("selectableFields"),
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn label(name: &str, path: &Path) -> Option<FieldError> {
    let messages = names::dns1035_label(name);
    (!messages.is_empty()).then(|| FieldError::invalid(path, name, &messages.join(",")))
}

fn warning(version: &Value, path: &Path) -> Errors {
    let Some(warning) = version["deprecationWarning"].as_str() else { return Errors::new() };
    let refuse = |detail: &str| FieldError::invalid(path, warning, detail);
    if version["deprecated"] != true {
        return vec![refuse("can only be set for deprecated versions")];
    }
    let mut errors = Errors::new();
    if warning.len() > WARNING {
        errors.push(refuse("must be <= 256 characters long"));
    }
    if warning.is_empty() {
        errors.push(refuse("must not be an empty string"));
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| !is_printable(*c)) {
        errors.push(refuse(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        )));
    }
    errors
}

/// Whether Go calls a character printable: a letter, a mark, a number, punctuation, a symbol or the
/// plain space.
fn is_printable(c: char) -> bool {
    static PRINTABLE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$").ok());
    let printable = PRINTABLE.as_ref();
    printable.is_some_and(|regex| regex.is_match(c.encode_utf8(&mut [0; 4])))
}

/// Whether the status is a subresource.
fn has_status(version: &Value) -> bool {
    version["subresources"]["status"].is_object()
}

/// Checks the schema of a version; `path` is where it holds `openAPIV3Schema`.
fn schema(version: &Value, status: bool, path: &Path) -> Errors {
    let (given, at) = (&version["schema"]["openAPIV3Schema"], path.child("openAPIV3Schema"));
    if given.is_null() {
        return Errors::new();
    }
    let mut errors = Errors::new();
    if status {
        errors.extend(root_words(given, path));
    }
    if given["nullable"] == true {
        let at = path.child("openAPIV3Schema.nullable");
        errors.push(FieldError::forbidden(&at, "nullable cannot be true at the root"));
    }
    let mut problem = rules::unreadable(given);
    if problem.is_none() {
        match Schema::read(given) {
            Ok(schema) => {
                let found = structural::check(&schema, &at);
                if found.is_empty() {
                    errors.extend(default_rules::check(&schema, &at));
                }
                errors.extend(found);
            }
            Err(unread) => problem = Some(unread),
        }
    }
    errors.extend(rules::check(given, &at));
    // Most of what cannot be read is told of more clearly by now.
    if errors.is_empty()
        && let Some(problem) = problem
    {
        errors.push(FieldError::invalid(&at, "", &problem));
    }
    errors
}

/// The status is checked on its own, so what the schema says of the whole object may not be about
/// it.
fn root_words(schema: &Value, path: &Path) -> Option<FieldError> {
    let kind = text(schema, "type");
    if !matches!(kind, "" | "object") {
        let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(FieldError::invalid(&path.child("openAPIV3Schema.type"), kind, detail));
    }
    let known = |name: &String| ROOT_WORDS.iter().any(|(word, _)| word == name);
    // What is said to be false or empty is not said.
    let said = |value: &Value| !matches!(value, Value::Bool(false)) && value != "";
    if schema.as_object()?.iter().all(|(name, value)| known(name) || !said(value)) {
        return None;
    }
    let words: Vec<&str> = ROOT_WORDS.iter().map(|(_, shown)| *shown).collect();
    let detail = format!(
        "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
        words.join(" ")
    );
    Some(FieldError::invalid_without_value(&path.child("openAPIV3Schema"), &detail))
}

fn scale(version: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let scale = &version["subresources"]["scale"];
    if scale.is_null() {
        return errors;
    }
    for (field, below, required) in [
        ("specReplicasPath", &[".spec."][..], true),
        ("statusReplicasPath", &[".status."], true),
        ("labelSelectorPath", &[".spec.", ".status."], false),
    ] {
        let (at, given) = (path.child("scale").child(field), text(scale, field));
        let inside = below.iter().any(|parent| given.starts_with(parent));
        if given.is_empty() {
            if required {
                errors.push(FieldError::required(&at, ""));
            }
        } else if !given.starts_with('.') {
            errors.push(FieldError::invalid(&at, given, NO_DOT));
        } else if !inside {
            let detail = match below {
                [only] => {
                    format!("should be a json path under {}", only.trim_end_matches('.'))
                }
                _ => "should be a json path under either .spec or .status".to_owned(),
            };
            errors.push(FieldError::invalid(&at, given, &detail));
        }
    }
    errors
}

const NO_DOT: &str = "must be a simple json path starting with .";

fn columns(version: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let columns = version["additionalPrinterColumns"].as_array();
    for (n, column) in columns.into_iter().flatten().enumerate() {
        let path = path.index(n);
        if text(column, "name").is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        let (kind, format) = (text(column, "type"), text(column, "format"));
        let types = format!("must be one of {}", COLUMN_TYPES.join(","));
        if kind.is_empty() {
            errors.push(FieldError::required(&path.child("type"), &types));
        } else if !COLUMN_TYPES.contains(&kind) {
            errors.push(FieldError::invalid(&path.child("type"), kind, &types));
        }
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(&path.child("format"), format, &detail));
        }
        let (at, given) = (path.child("JSONPath"), text(column, "jsonPath"));
        if given.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !given.starts_with('.') {
            errors.push(FieldError::invalid(&at, given, NO_DOT));
        }
    }
    errors
}

fn selectable(version: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let list = version["selectableFields"].as_array().map_or(&[][..], Vec::as_slice);
    let schema = Schema::read(&version["schema"]["openAPIV3Schema"]);
    let mut seen = HashSet::new();
    for (n, field) in list.iter().enumerate() {
        let (at, given) = (path.index(n).child("jsonPath"), text(field, "jsonPath"));
        if given.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let Ok(schema) = &schema else { continue };
        let found = match FieldPath::find(given, schema, false) {
            Ok(found) => found,
            Err(problem) => {
                let detail = format!("is an invalid path: {problem}");
                errors.push(FieldError::invalid(&at, given, &detail));
                continue;
            }
        };
        if found.names.first().is_some_and(|name| name == "metadata") {
            let detail = "must not point to fields in metadata";
            errors.push(FieldError::invalid(&at, given, detail));
        }
        if !matches!(&*found.schema.kind, "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&at, given, detail));
        }
        if !seen.insert(found.names) {
            errors.push(FieldError::duplicate(&at, given));
        }
    }
    if seen.len() > SELECTABLE {
        errors.push(FieldError::too_many(path, seen.len(), SELECTABLE));
    }
    errors
}
