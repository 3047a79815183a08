//! What an object says that it is: `apiVersion` and `kind`.
//!
//! A custom resource has no type that would say so in its place, so both must be there. An object
//! that a client sends whole is looked at by whoever decodes it (400), an object of another kind and
//! what a patch makes of one by whoever validates it (422).
//!
//! Source: k8s.io/apimachinery/pkg/runtime/serializer/json, k8s.io/apiserver/pkg/endpoints/handlers,
//! k8s.io/apiextensions-apiserver/pkg/registry/customresource/validator.go.

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::resources::{GroupKind, Resource};
use crate::status::Status;

/// What an object says.
struct Told<'v> {
    api_version: &'v str,
    kind: &'v str,
}

impl Told<'_> {
    fn by(object: &Value) -> Told<'_> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let told = Told { api_version: text("apiVersion"), kind: text("kind") };
        // A version that is none says nothing, not even about the kind.
        if told.api_version.matches('/').count() > 1 {
            return Told { api_version: "", kind: "" };
        }
        told
    }

    /// 422 about an object that is another one than the resource's.
    fn refuse_other(&self, resource: &Resource, object: &Value) -> Result<(), Status> {
        let wanted = resource.api_version();
        let mut errors = Errors::new();
        for (field, told, wanted) in
            [("kind", self.kind, &*resource.kind), ("apiVersion", self.api_version, &*wanted)]
        {
            if told != wanted {
                let detail = format!("must be {wanted}");
                errors.push(FieldError::invalid(&Path::new(field), told, &detail));
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        let kind = GroupKind::new(group.to_owned(), self.kind.to_owned());
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Err(Status::invalid(&kind, name, &errors))
    }
}

/// That an object names no kind; `text` is how it was written.
fn no_kind(text: &str) -> String {
    format!("Object 'Kind' is missing in '{text}'")
}

/// Checks an object that a client has sent whole, as `body`; `unrecognized` makes a refusal of
/// what is wrong with a body.
///
/// # Errors
/// 400 without a kind or for another version, 422 for another kind.
pub(crate) fn check_sent(
    resource: &Resource,
    object: &Value,
    body: &[u8],
    unrecognized: impl FnOnce(&str) -> Status,
) -> Result<(), Status> {
    if !object.is_object() {
        // Which is told of no matter of what kind it should be.
        return Ok(());
    }
    let told = Told::by(object);
    if told.kind.is_empty() {
        return Err(unrecognized(&no_kind(&String::from_utf8_lossy(body))));
    }
    let wanted = resource.api_version();
    if told.api_version != wanted {
        return Err(Status::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({wanted})",
            told.api_version
        )));
    }
    told.refuse_other(resource, object)
}

/// Checks what a patch made of an object.
///
/// # Errors
/// 422 without a kind, for another kind and another version; 500 (as Kubernetes) without a version.
pub(crate) fn check_patched(resource: &Resource, object: &Value) -> Result<(), Status> {
    let told = Told::by(object);
    if told.kind.is_empty() {
        let text = object.to_string();
        let error = FieldError::invalid(&Path::new("patch"), text.as_str(), &no_kind(&text));
        return Err(Status::invalid(&GroupKind::new("", ""), "", &[error]));
    }
    if told.api_version.is_empty() {
        let detail = "Object 'apiVersion' is missing in 'unstructured object has no version'";
        return Err(Status::internal_error(detail));
    }
    told.refuse_other(resource, object)
}
