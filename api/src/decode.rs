//! From the bytes of a request to a clean object of a kind.
//!
//! Three passes: [`duplicates`](self) parses the JSON and notes keys that occur twice, the kind is
//! checked against the resource, and [`shape`](self) walks the kind's [`crate::schema`], noting
//! unknown fields and refusing mistyped ones. What comes out has the JSON types that the strategies
//! and all components rely on: nothing a client can send makes a typed view fail later.

mod at;
mod duplicates;
mod shape;

use serde_json::Value;

use crate::field::go_quote;
use crate::protobuf::{self, envelope};
use crate::resources::{self, Resource};
use crate::status::Status;

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
        Err(cannot_handle(&resource.kind, &resource.api_version(), &resource.kind, &detail))
    }
}

/// Decodes a request body into an object of `resource`.
///
/// `apiVersion` and `kind` may be absent (they are then those of the resource); if present they
/// must match.
///
/// # Errors
/// 400 with Kubernetes' words for malformed JSON, another kind, or a field of the wrong type.
pub fn decode(resource: &Resource, body: &[u8]) -> Result<Decoded, Status> {
    let decoded = decode_as(&resource.schema_type, &resource.api_version(), &resource.kind, body)?;
    clean(resource, decoded)
}

/// Decodes a body that is no object of the table, such as `Scale`, `DeleteOptions` or `Binding`:
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
    let (value, duplicates) =
        duplicates::parse(body).map_err(|error| malformed(kind, &error, body))?;
    let mut decoded = check_as(schema_type, api_version, kind, value)?;
    decoded
        .problems
        .extend(duplicates.iter().map(|path| format!("duplicate field {}", go_quote(path))));
    Ok(decoded)
}

/// The JSON of a body in protobuf, to be decoded like any other.
///
/// # Errors
/// 400 with Kubernetes' words for a malformed body, and for a kind that has no protobuf form.
pub fn from_protobuf(body: &[u8]) -> Result<Value, Status> {
    let envelope = envelope::open(body).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized: {error} ({})",
            excerpt(body)
        ))
    })?;
    protobuf::read(body).map_err(|error| {
        let detail = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        cannot_handle(&envelope.kind, &envelope.api_version, &envelope.kind, &detail)
    })
}

/// The paths of keys that occur twice in one object of a JSON text, such as
/// `spec.containers[0].name`, in the order of the text.
///
/// # Errors
/// Why the text is no JSON, or that there are more such keys than anybody needs to know.
pub(crate) fn duplicate_keys(body: &[u8]) -> Result<Vec<String>, String> {
    duplicates::parse(body).map(|(_, paths)| paths)
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

/// Like [`decode`], for an object that is already parsed (the result of a patch).
///
/// # Errors
/// Those of [`decode`].
pub fn check(resource: &Resource, object: Value) -> Result<Decoded, Status> {
    let decoded = check_as(&resource.schema_type, &resource.api_version(), &resource.kind, object)?;
    clean(resource, decoded)
}

/// Cleans an object of a kind without a built-in schema: its metadata here, the rest by its
/// strategy.
fn clean(resource: &Resource, mut decoded: Decoded) -> Result<Decoded, Status> {
    if !resource.is_custom() {
        return Ok(decoded);
    }
    let problems = &mut decoded.problems;
    if let Some(metadata) = decoded.object.get_mut("metadata") {
        let cleaned = shape::clean_metadata(&resource.kind, "metadata", metadata.take(), problems);
        *metadata = cleaned.map_err(|error| {
            cannot_handle(&resource.kind, &resource.api_version(), &resource.kind, &error)
        })?;
    }
    resource.strategy.clean(&mut decoded.object, problems);
    Ok(decoded)
}

fn check_as(
    schema_type: &str,
    api_version: &str,
    kind: &str,
    mut object: Value,
) -> Result<Decoded, Status> {
    let Some(map) = object.as_object_mut() else {
        let error =
            format!("json: cannot unmarshal {} into Go value of type struct", json_type(&object));
        return Err(malformed(kind, &error, object.to_string().as_bytes()));
    };
    let text = |field: &str| map.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (given_version, given_kind) = (text("apiVersion"), text("kind"));
    let given_version = if given_version.is_empty() { api_version } else { &given_version };
    let given_kind = if given_kind.is_empty() { kind } else { &given_kind };
    // DeleteOptions exists in every group and version; clients name the one they delete in.
    let any_version = schema_type == "meta.v1.DeleteOptions";
    if given_kind != kind || (given_version != api_version && !any_version) {
        return Err(other_kind(given_version, given_kind, kind));
    }
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.into());
    if schema_type.is_empty() {
        return Ok(Decoded { object, problems: Vec::new() });
    }
    let mut problems = Vec::new();
    let object = shape::clean(schema_type, object, &mut problems)
        .map_err(|error| cannot_handle(kind, api_version, kind, &error))?;
    Ok(Decoded { object, problems })
}

fn other_kind(given_version: &str, given_kind: &str, kind: &str) -> Status {
    let base = |version: &str| version.rsplit('/').next().unwrap_or_default().to_owned();
    let detail = if resources::by_kind(given_version, given_kind).is_some() {
        format!(
            "converting ({}.{given_kind}) to (core.{kind}): unknown conversion",
            base(given_version)
        )
    } else {
        format!(
            "no kind {} is registered for version {} in scheme",
            go_quote(given_kind),
            go_quote(given_version)
        )
    };
    cannot_handle(given_kind, given_version, kind, &detail)
}

fn cannot_handle(given_kind: &str, given_version: &str, kind: &str, detail: &str) -> Status {
    Status::bad_request(format!(
        "{given_kind} in version {} cannot be handled as a {kind}: {detail}",
        go_quote(given_version)
    ))
}

fn malformed(kind: &str, error: &str, body: &[u8]) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): \
         couldn't get version/kind; json parse error: {error} ({})",
        excerpt(body)
    ))
}

/// The beginning of a body as Kubernetes shows it: text if it may be JSON, else hexadecimal.
fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let head = &body[..body.len().min(SHOWN)];
    let more = if body.len() > SHOWN { " ..." } else { "" };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => {
            let hex: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}

/// The JSON type of a value, as Go names it in messages.
pub(crate) fn json_type(value: &Value) -> &'static str {
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
