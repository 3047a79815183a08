//! The three kinds of patch that clients send.
//!
//! Applying a patch yields a new object, which then passes [`crate::decode::check_patched`] and
//! [`crate::lifecycle::before_update`] like one that a client sent whole.

mod json;
mod merge;
mod pointer;
mod strategic;

use serde_json::Value;

use crate::field::go_quote;
use crate::resources::Resource;
use crate::status::Status;

/// The patch formats, by Content-Type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`, RFC 6902.
    Json,
    /// `application/merge-patch+json`, RFC 7386.
    Merge,
    /// `application/strategic-merge-patch+json`: a merge patch that merges lists by key.
    Strategic,
}

impl PatchType {
    /// The format of a Content-Type (parameters such as `charset` are ignored).
    #[must_use]
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            _ => None,
        }
    }
}

/// Why a patch could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not valid JSON of the expected form.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// A JSON patch operation failed: a test did not hold or a path does not exist.
    #[error("the server rejected our request due to an error in our request")]
    Rejected,
    /// A JSON patch with too many operations.
    #[error(
        "Request entity too large: The allowed maximum operations in a JSON patch is {limit}, got {got}"
    )]
    TooManyOperations {
        /// What is permitted.
        limit: usize,
        /// What was sent.
        got: usize,
    },
    /// A patch cannot be used as it is: it says nothing at all, or misuses a directive.
    #[error("{0}")]
    Directive(String),
    /// A list of a strategic merge patch is ordered differently than `$setElementOrder` says.
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{wanted}\n")]
    Order {
        /// The list in the patch.
        patch: String,
        /// The order asked for.
        wanted: String,
    },
}

impl From<PatchError> for Status {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::Malformed(_) => Self::bad_request(error.to_string()),
            PatchError::Rejected => Self::unprocessable(),
            PatchError::TooManyOperations { .. } => Self::too_large_patch(error.to_string()),
            PatchError::Directive(message) => Self::bad_request(message),
            // Kubernetes does not classify this one.
            PatchError::Order { .. } => Self::unclassified(error.to_string()),
        }
    }
}

/// Applies the patch in `body` to `object`. A strategic merge patch needs a built-in resource (one
/// with a schema); for others ask [`supports`] first and answer 415.
///
/// # Errors
/// [`PatchError`]; convert it into a [`Status`] with `Status::from`.
pub fn apply(
    resource: &Resource,
    patch_type: PatchType,
    object: &Value,
    body: &[u8],
) -> Result<Value, PatchError> {
    apply_as(&resource.schema_type, patch_type, object, body)
}

/// Like [`apply`] for an object that is no resource of its own, such as `autoscaling.v1.Scale`:
/// `schema_type` is a name in [`crate::schema`].
///
/// # Errors
/// Those of [`apply`].
pub fn apply_as(
    schema_type: &str,
    patch_type: PatchType,
    object: &Value,
    body: &[u8],
) -> Result<Value, PatchError> {
    match patch_type {
        PatchType::Json => json::apply(object, body),
        PatchType::Merge => merge::apply(object, body),
        PatchType::Strategic => strategic::apply(schema_type, object, body),
    }
}

/// What is odd about the text of a patch, in Kubernetes' words: keys that occur twice
/// (`duplicate field "spec.replicas"`; the last one counts), and fields that JSON patch operations
/// do not have (`json patch unknown field "[0].foo"`). With `fieldValidation=Strict` they refuse
/// the patch, with `Warn` each becomes a warning. Unknown fields of the object show only in the
/// patched object: [`crate::decode::check`].
///
/// # Errors
/// [`PatchError::Malformed`].
pub fn problems(patch_type: PatchType, body: &[u8]) -> Result<Vec<String>, PatchError> {
    let duplicates = crate::decode::duplicate_keys(body).map_err(PatchError::Malformed)?;
    Ok(match patch_type {
        PatchType::Json => json::problems(&parse(body)?, &duplicates),
        PatchType::Merge | PatchType::Strategic => {
            duplicates.iter().map(|path| format!("duplicate field {}", go_quote(path))).collect()
        }
    })
}

/// Whether the resource accepts patches of this type: strategic ones need a schema.
#[must_use]
pub fn supports(resource: &Resource, patch_type: PatchType) -> bool {
    patch_type != PatchType::Strategic || !resource.schema_type.is_empty()
}

fn parse(body: &[u8]) -> Result<Value, PatchError> {
    crate::decode::json(body).map_err(PatchError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_texts_are_told() {
        for (kind, body, want) in [
            (PatchType::Merge, r#"{"data": {"a": "1"}}"#, &[][..]),
            (
                PatchType::Merge,
                r#"{"data": {"a": "1", "a": "2"}, "x": 1}"#,
                &[r#"duplicate field "data.a""#],
            ),
            (
                PatchType::Strategic,
                r#"{"spec": {"containers": [{"name": "c", "image": "a", "image": "b"}]}}"#,
                &[r#"duplicate field "spec.containers[0].image""#],
            ),
            (
                PatchType::Json,
                r#"[{"op": "add", "path": "/a", "value": {"k": 1}, "foo": "x"},
                    {"op": "add", "path": "/c", "path": "/c", "value": {"k": 1, "k": 2}}]"#,
                &[
                    r#"json patch unknown field "[0].foo""#,
                    r#"json patch duplicate field "[1].path""#,
                    r#"json patch duplicate field "[1].value.k""#,
                ],
            ),
            (PatchType::Json, "{}", &[]),
        ] {
            assert_eq!(problems(kind, body.as_bytes()).expect("JSON"), want, "{body}");
        }
        let broken = problems(PatchType::Merge, b"{").expect_err("no JSON");
        assert_eq!(broken.to_string(), "error decoding patch: unexpected end of JSON input");
    }
}
