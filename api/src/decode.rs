//! From the bytes of a request to a clean object of a kind.
//!
//! Three passes: [`parse`](self) reads the JSON and notes keys that occur twice, the kind is
//! checked against the resource, and [`shape`](self) walks the kind's [`crate::schema`], noting
//! unknown fields and refusing mistyped ones. What comes out has the JSON types that the strategies
//! and all components rely on: nothing a client can send makes a typed view fail later.

mod at;
mod go_types;
mod parse;
mod refused;
mod shape;
mod syntax;
mod time;

use serde_json::{Map, Value};

use crate::custom::type_meta;
use crate::field::go_quote;
use crate::protobuf::{self, envelope};
use crate::resources::Resource;
use crate::status::Status;

use parse::Parsed;
use refused::{KIND_STRUCT, NO_KIND, Refused, unrecognized as refuse_body};

/// A decoded object and what was odd about its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The object: unknown fields, nulls and empty lists dropped, `apiVersion` and `kind` set.
    pub object: Value,
    /// Problems in Kubernetes' words: `unknown field "spec.foo"`, `duplicate field "a.b"`. With
    /// `fieldValidation=Strict` they refuse the request, with `Warn` each becomes a warning.
    pub problems: Vec<String>,
}

impl Decoded {
    /// The answer of `fieldValidation=Strict`.
    ///
    /// # Errors
    /// 400 naming all problems, if there are any.
    pub fn strict(&self, resource: &Resource) -> Result<(), Status> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let detail = format!("strict decoding error: {}", self.problems.join(", "));
        Err(refused::cannot_handle(
            &resource.kind,
            &resource.api_version(),
            &resource.kind,
            &detail,
        ))
    }
}

/// Decodes a request body into an object of `resource`.
///
/// `apiVersion` and `kind` may be absent (they are then those of the resource); if present they
/// must match. Custom resources say both.
///
/// # Errors
/// 400 with Kubernetes' words for malformed JSON, another kind, or a field of the wrong type; 422
/// for another kind than that of a custom resource.
pub fn decode(resource: &Resource, body: &[u8]) -> Result<Decoded, Status> {
    let refused = |refused: Refused| refused.status(&resource.kind, body);
    let parsed = parse(body).map_err(refused)?;
    if resource.is_custom() {
        let refuse = |problem: &str| refuse_body(&resource.kind, problem, body);
        type_meta::check_sent(resource, &parsed.value, body, refuse)?;
    }
    let (schema, api_version) = (&resource.schema_type, resource.api_version());
    let decoded = check_as(schema, &api_version, &resource.kind, parsed.value);
    let decoded = decoded.and_then(|decoded| clean(resource, decoded)).map_err(refused)?;
    finish(decoded, &parsed.twice, parsed.deep).map_err(refused)
}

/// Decodes a body that is no object of the table, such as `Scale`, `Eviction` or `Binding`:
/// `schema_type` is a name in [`crate::schema`].
///
/// # Errors
/// Those of [`decode`].
pub fn decode_as(
    schema_type: &str,
    api_version: &str,
    kind: &str,
    body: &[u8],
) -> Result<Decoded, Status> {
    read(schema_type, api_version, kind, body).map_err(|refused| refused.status(kind, body))
}

/// Decodes DeleteOptions. Their refusals say the bare reason, not of what.
///
/// # Errors
/// 400.
pub fn delete_options(body: &[u8]) -> Result<Value, Status> {
    let decoded = read("meta.v1.DeleteOptions", "meta.k8s.io/v1", "DeleteOptions", body);
    decoded.map(|decoded| decoded.object).map_err(|refused| Status::bad_request(refused.reason()))
}

/// The refusal of a body that is not even JSON, for `reason`: 400. `kind` is what it should be.
#[must_use]
pub fn unrecognized(kind: &str, reason: &str, body: &[u8]) -> Status {
    refuse_body(kind, reason, body)
}

fn read(schema_type: &str, api_version: &str, kind: &str, body: &[u8]) -> Result<Decoded, Refused> {
    let parsed = parse(body)?;
    let decoded = check_as(schema_type, api_version, kind, parsed.value)?;
    finish(decoded, &parsed.twice, parsed.deep)
}

fn parse(body: &[u8]) -> Result<Parsed, Refused> {
    parse::parse(body).map_err(|error| Refused::Unrecognized(format!("{NO_KIND}{error}")))
}

/// Tells of the keys that occur twice, and refuses what is nested too deeply. `deep`: whether the
/// text is; what of it has no field has been dropped by now.
fn finish(mut decoded: Decoded, twice: &[String], deep: bool) -> Result<Decoded, Refused> {
    if deep && parse::depth(&decoded.object) > parse::DEEPEST {
        let text = |field: &str| decoded.object[field].as_str().unwrap_or_default().to_owned();
        let (kind, version, detail) = (text("kind"), text("apiVersion"), too_deep());
        return Err(Refused::Unfit { kind, version, detail });
    }
    let told = twice.iter().map(|path| format!("duplicate field {}", go_quote(path)));
    decoded.problems.extend(told);
    Ok(decoded)
}

fn too_deep() -> String {
    format!("exceeded max depth: at most {} lists and objects inside of each other", parse::DEEPEST)
}

/// Checks that an object which did not come by [`decode`] is not nested more deeply than others are.
///
/// # Errors
/// That it is, and how deep it may be.
pub fn check_depth(object: &Value) -> Result<(), String> {
    if parse::depth(object) > parse::DEEPEST { Err(too_deep()) } else { Ok(()) }
}

/// Whether a value at a place so many fields deep stays within what is kept.
pub(crate) fn fits_below(fields: usize, value: &Value) -> bool {
    fields + parse::depth(value) <= parse::DEEPEST
}

/// The JSON of a body in protobuf, to be decoded like any other. `wanted`: version and kind of a body
/// that does not say what it is.
///
/// # Errors
/// 400 with Kubernetes' words for a malformed body, and for a kind that has no protobuf form.
pub fn from_protobuf(body: &[u8], wanted: (&str, &str)) -> Result<Value, Status> {
    let envelope = envelope::open(body).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized: {error} ({})",
            refused::excerpt(body)
        ))
    })?;
    let envelope = envelope.or_of(wanted);
    protobuf::read_message(&envelope).map_err(|error| {
        let detail = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        refused::cannot_handle(&envelope.kind, &envelope.api_version, &envelope.kind, &detail)
    })
}

/// The value of a JSON text.
///
/// # Errors
/// Why it is none, in Go's words, or that it is nested too deeply.
pub fn json(body: &[u8]) -> Result<Value, String> {
    let parsed = parse::parse(body)?;
    if parsed.deep { Err(too_deep()) } else { Ok(parsed.value) }
}

/// The paths of keys that occur twice in one object of a JSON text, such as
/// `spec.containers[0].name`, in the order of the text.
///
/// # Errors
/// Why the text is no JSON, or that there are more such keys than anybody needs to know.
pub(crate) fn duplicate_keys(body: &[u8]) -> Result<Vec<String>, String> {
    parse::parse(body).map(|parsed| parsed.twice)
}

/// Cleans the metadata at `path` of an object whose other fields have no built-in type.
///
/// # Errors
/// Which field has another type.
pub(crate) fn clean_metadata(
    path: &str,
    metadata: Value,
    problems: &mut Vec<String>,
) -> Result<Value, String> {
    shape::clean_metadata("ObjectMeta", path, metadata, problems)
}

/// Like [`decode`], for an object that is already parsed.
///
/// # Errors
/// Those of [`decode`]; for custom resources 422 for another kind or version.
pub fn check(resource: &Resource, object: Value) -> Result<Decoded, Status> {
    if resource.is_custom() {
        type_meta::check_patched(resource, &object)?;
    }
    checked(resource, object).map_err(|refused| refused.status(&resource.kind, b""))
}

/// Like [`check`], for what a patch has made of an object. If it is none, that is told about the
/// patch: `refuse` makes a refusal of the bare reason.
///
/// # Errors
/// What `refuse` makes; for custom resources 422 for another kind or version.
pub fn check_patched(
    resource: &Resource,
    object: Value,
    refuse: impl FnOnce(&str) -> Status,
) -> Result<Decoded, Status> {
    if resource.is_custom() {
        type_meta::check_patched(resource, &object)?;
    }
    checked(resource, object).map_err(|refused| refuse(&refused.reason()))
}

fn checked(resource: &Resource, object: Value) -> Result<Decoded, Refused> {
    let decoded = check_as(&resource.schema_type, &resource.api_version(), &resource.kind, object)?;
    clean(resource, decoded)
}

/// Cleans an object of a kind without a built-in schema: its metadata here, the rest by its
/// strategy.
fn clean(resource: &Resource, mut decoded: Decoded) -> Result<Decoded, Refused> {
    if !resource.is_custom() {
        return Ok(decoded);
    }
    let problems = &mut decoded.problems;
    if let Some(metadata) = decoded.object.get_mut("metadata") {
        let cleaned = shape::clean_metadata(&resource.kind, "metadata", metadata.take(), problems);
        let (kind, version) = (resource.kind.to_string(), resource.api_version());
        *metadata = cleaned.map_err(|detail| Refused::Unfit { kind, version, detail })?;
    }
    resource.strategy.clean(&mut decoded.object, problems);
    Ok(decoded)
}

fn check_as(
    schema_type: &str,
    api_version: &str,
    kind: &str,
    mut object: Value,
) -> Result<Decoded, Refused> {
    // Nothing at all is an object without fields, as in Go.
    if object.is_null() {
        object = Value::Object(Map::new());
    }
    let Some(map) = object.as_object_mut() else {
        return Err(Refused::Unrecognized(format!(
            "{NO_KIND}json: cannot unmarshal {} into Go value of type {KIND_STRUCT}",
            json_type(&object)
        )));
    };
    let text = |field: &str, default: &str| match map.get(field) {
        None | Some(Value::Null) => Ok(default.to_owned()),
        Some(Value::String(text)) if text.is_empty() => Ok(default.to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(Refused::Unrecognized(format!(
            "{NO_KIND}json: cannot unmarshal {} into Go struct field .{field} of type string",
            json_type(other)
        ))),
    };
    let (given_version, given_kind) = (text("apiVersion", api_version)?, text("kind", kind)?);
    // DeleteOptions exists in every group and version; clients name the one they delete in.
    let any_version = schema_type == "meta.v1.DeleteOptions";
    if given_kind != kind || (given_version != api_version && !any_version) {
        return Err(Refused::other_kind(given_version, given_kind, api_version, kind));
    }
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.into());
    if schema_type.is_empty() {
        return Ok(Decoded { object, problems: Vec::new() });
    }
    let mut problems = Vec::new();
    let object = shape::clean(schema_type, object, &mut problems).map_err(|detail| {
        Refused::Unfit { kind: kind.to_owned(), version: api_version.to_owned(), detail }
    })?;
    Ok(Decoded { object, problems })
}

/// The JSON type of a value, as Go names it in messages.
#[must_use]
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests;
