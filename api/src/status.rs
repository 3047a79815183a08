//! Kubernetes Status objects: every refusal an API request can meet, worded as clients expect.
//!
//! Clients match on `code`, `reason` and `details`; people read `message`. The constructors follow
//! k8s.io/apimachinery/pkg/api/errors. A [`Status`] is a Rust error, so that handlers return
//! `Result<_, Status>`; the API server writes it as the response body.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::field::{self, FieldError};
use crate::resources::{GroupKind, GroupResource};

/// Causes told at most. A list of a million empty containers has millions; nobody reads them.
const MAX_CAUSES: usize = 1000;

/// One reason among several in [`Details::causes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable, such as `FieldValueRequired`.
    pub reason: String,
    /// For people, without the field's path.
    pub message: String,
    /// The path of the field, or "".
    pub field: String,
}

/// What the failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group, "" for the core group.
    pub group: String,
    /// Plural resource name, or kind for validation errors.
    pub kind: String,
    /// UID of the object.
    pub uid: String,
    /// All causes.
    pub causes: Vec<Cause>,
    /// Seconds after which the client should try again; also sent as `Retry-After`. 0 = not said.
    pub retry_after_seconds: u32,
}

/// A refusal (or, through [`Status::success`], an acknowledgement) in Kubernetes' terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, such as `NotFound`; "" when Kubernetes gives none.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Status {
    fn failure(
        code: u16,
        reason: &'static str,
        message: impl Into<String>,
        details: Option<Details>,
    ) -> Self {
        Self { code, reason, message: message.into(), details: details.map(Box::new) }
    }

    /// 404 NotFound: `pods "none" not found`.
    #[must_use]
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} not found", field::go_quote(name));
        Self::failure(404, "NotFound", message, Some(about(resource, name)))
    }

    /// 404 for a path that no resource has. Kubernetes answers these with the plain text
    /// `404 page not found`; this is the Status that a generic client sees.
    #[must_use]
    pub fn path_not_found() -> Self {
        let message = "the server could not find the requested resource";
        Self::failure(404, "NotFound", message, Some(Details::default()))
    }

    /// 409 AlreadyExists: `pods "min" already exists`.
    #[must_use]
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} already exists", field::go_quote(name));
        Self::failure(409, "AlreadyExists", message, Some(about(resource, name)))
    }

    /// 409 AlreadyExists after generateName produced a name that exists.
    #[must_use]
    pub fn generate_name_conflict(resource: &GroupResource, name: &str) -> Self {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            field::go_quote(name)
        );
        let details = Details { retry_after_seconds: 1, ..about(resource, name) };
        Self::failure(409, "AlreadyExists", message, Some(details))
    }

    /// 409 Conflict: `Operation cannot be fulfilled on configmaps "min": detail`.
    #[must_use]
    pub fn conflict(resource: &GroupResource, name: &str, detail: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {resource} {}: {detail}",
            field::go_quote(name)
        );
        Self::failure(409, "Conflict", message, Some(about(resource, name)))
    }

    /// 409 Conflict because the resourceVersion sent is not the current one.
    #[must_use]
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 Conflict because a precondition names another UID.
    #[must_use]
    pub fn uid_conflict(kind: &GroupKind, name: &str, wanted: &str, recorded: &str) -> Self {
        let resource = GroupResource::new(kind.group.clone(), kind.kind.clone());
        let detail = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({recorded}). \
             The object might have been deleted and then recreated"
        );
        Self::conflict(&resource, name, &detail)
    }

    /// 409 Conflict because an update names another UID than the object has ("": there is none).
    #[must_use]
    pub fn uid_precondition(
        resource: &GroupResource,
        name: &str,
        wanted: &str,
        recorded: &str,
    ) -> Self {
        let detail = format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {recorded}"
        );
        Self::conflict(resource, name, &detail)
    }

    /// 422 Invalid with one cause per error: `Pod "x" is invalid: spec.containers: Required value`.
    #[must_use]
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[FieldError]) -> Self {
        let errors = &errors[..errors.len().min(MAX_CAUSES)];
        let mut message = format!("{kind} {} is invalid", field::go_quote(name));
        if !errors.is_empty() {
            message.push_str(": ");
            message.push_str(&field::aggregate(errors));
        }
        let causes = errors
            .iter()
            .map(|error| Cause {
                reason: error.kind.reason().to_owned(),
                message: error.message.clone(),
                field: error.field.clone(),
            })
            .collect();
        let details = Details {
            name: name.to_owned(),
            group: kind.group.to_string(),
            kind: kind.kind.to_string(),
            causes,
            ..Details::default()
        };
        Self::failure(422, "Invalid", message, Some(details))
    }

    /// 422 for a patch that cannot be applied (Kubernetes gives no more than this).
    #[must_use]
    pub fn unprocessable() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::failure(422, "Invalid", message, Some(Details::default()))
    }

    /// 400 BadRequest.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message, None)
    }

    /// 401 Unauthorized.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized", None)
    }

    /// 403 Forbidden about a resource: `pods "x" is forbidden: detail` (no name: `pods is forbidden`).
    #[must_use]
    pub fn forbidden(resource: &GroupResource, name: &str, detail: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {detail}")
        } else {
            format!("{resource} {} is forbidden: {detail}", field::go_quote(name))
        };
        Self::failure(403, "Forbidden", message, Some(about(resource, name)))
    }

    /// 403 Forbidden about a path that is no resource: `forbidden: User "u" cannot get path "/metrics"`.
    #[must_use]
    pub fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        let message = format!(
            "forbidden: User {} cannot {verb} path {}",
            field::go_quote(user),
            field::go_quote(path)
        );
        Self::failure(403, "Forbidden", message, Some(Details::default()))
    }

    /// 403 because the namespace is being deleted.
    #[must_use]
    pub fn namespace_terminating(resource: &GroupResource, name: &str, namespace: &str) -> Self {
        let detail = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut status = Self::forbidden(resource, name, &detail);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".to_owned(),
            });
        }
        status
    }

    /// 405 MethodNotAllowed.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::failure(405, "MethodNotAllowed", message, Some(Details::default()))
    }

    /// 405 MethodNotAllowed for a new object of a definition that is being deleted.
    #[must_use]
    pub fn definition_terminating(resource: &GroupResource) -> Self {
        let message = "create not allowed while custom resource definition is terminating";
        Self::failure(405, "MethodNotAllowed", message, Some(about(resource, "")))
    }

    /// 405 MethodNotAllowed of a custom resource: `create is not supported on resources of kind "foos.gold.io"`.
    #[must_use]
    pub fn verb_not_supported(resource: &GroupResource, verb: &str) -> Self {
        let kind = field::go_quote(&resource.to_string());
        let message = format!("{verb} is not supported on resources of kind {kind}");
        Self::failure(405, "MethodNotAllowed", message, Some(about(resource, "")))
    }

    /// 406 NotAcceptable with the media types this server can produce.
    #[must_use]
    pub fn not_acceptable(available: &[&str]) -> Self {
        let message =
            format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
        Self::failure(406, "NotAcceptable", message, Some(Details::default()))
    }

    /// 406 NotAcceptable for a media type that is known, but not in this form or place.
    #[must_use]
    pub fn not_accepted(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        Self::not_shown(format!("only the following media types are accepted: {accepted}"))
    }

    /// 406 NotAcceptable for an object that cannot be shown as was asked.
    #[must_use]
    pub fn not_shown(message: impl Into<String>) -> Self {
        Self::failure(406, "NotAcceptable", message, None)
    }

    /// 415 for a body in a format this server cannot read.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(415, "UnsupportedMediaType", message, None)
    }

    /// 415 for a patch in a format this server cannot apply.
    #[must_use]
    pub fn unsupported_patch_type() -> Self {
        let message = "415: Unsupported Media Type";
        Self::failure(415, "UnsupportedMediaType", message, Some(Details::default()))
    }

    /// 410 Expired: the version asked for is no longer in the log. Clients list again.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message, None)
    }

    /// 410 Gone for a watch whose version was compacted: `too old resource version: 1 (275)`.
    #[must_use]
    pub fn too_old_resource_version(asked: i64, oldest: i64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 410 Expired for a continue token whose version was compacted.
    #[must_use]
    pub fn continue_expired() -> Self {
        Self::expired(
            "The provided continue parameter is too old to display a consistent list result. \
             You can start a new list without the continue parameter.",
        )
    }

    /// 413 for a body larger than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::failure(413, "RequestEntityTooLarge", message, None)
    }

    /// 413 for a patch with too many operations.
    #[must_use]
    pub fn too_large_patch(message: impl Into<String>) -> Self {
        Self::failure(413, "RequestEntityTooLarge", message, None)
    }

    /// 429: try again after `seconds`.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        let details = Details { retry_after_seconds: seconds, ..Details::default() };
        Self::failure(429, "TooManyRequests", message, Some(details))
    }

    /// 500. The message is shown to clients: keep causes in the log.
    #[must_use]
    pub fn internal_error(message: impl Into<String>) -> Self {
        let message = message.into();
        let cause = Cause { reason: String::new(), message: message.clone(), field: String::new() };
        let details = Details { causes: vec![cause], ..Details::default() };
        let message = format!("Internal error occurred: {message}");
        Self::failure(500, "InternalError", message, Some(details))
    }

    /// 500 without a reason: what Kubernetes answers for errors that it does not classify.
    #[must_use]
    pub fn unclassified(message: impl Into<String>) -> Self {
        Self::failure(500, "", message, None)
    }

    /// 503 ServiceUnavailable.
    #[must_use]
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message, None)
    }

    /// Says when to try again, in seconds: in the details and in a `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// 504 Timeout: the request may or may not have been carried out.
    #[must_use]
    pub fn timeout(message: impl Into<String>, seconds: u32) -> Self {
        let details = Details { retry_after_seconds: seconds, ..Details::default() };
        Self::failure(504, "Timeout", format!("Timeout: {}", message.into()), Some(details))
    }

    /// 504 Timeout because the version asked for does not exist yet.
    #[must_use]
    pub fn too_large_resource_version(asked: i64, current: i64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let mut status = Self::timeout(message, 1);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: "ResourceVersionTooLarge".to_owned(),
                message: "Too large resource version".to_owned(),
                field: String::new(),
            });
        }
        status
    }

    /// The acknowledgement of a completed delete.
    #[must_use]
    pub fn success(details: Option<Details>) -> Value {
        let mut value =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
        if let Some(details) = details {
            value["details"] = details.to_value();
        }
        value
    }

    /// The acknowledgement of the delete of one object.
    #[must_use]
    pub fn deleted(resource: &GroupResource, name: &str, uid: &str) -> Value {
        Self::success(Some(Details { uid: uid.to_owned(), ..about(resource, name) }))
    }

    /// The object as sent in a response body or an ERROR watch event.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            value["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            value["details"] = details.to_value();
        }
        value
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        let texts = [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ];
        for (key, text) in texts {
            if !text.is_empty() {
                map.insert(key.to_owned(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            map.insert("causes".to_owned(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds".to_owned(), self.retry_after_seconds.into());
        }
        Value::Object(map)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in
            [("reason", &self.reason), ("message", &self.message), ("field", &self.field)]
        {
            if !text.is_empty() {
                map.insert(key.to_owned(), text.as_str().into());
            }
        }
        Value::Object(map)
    }
}

fn about(resource: &GroupResource, name: &str) -> Details {
    Details {
        name: name.to_owned(),
        group: resource.group.to_string(),
        kind: resource.resource.to_string(),
        ..Details::default()
    }
}
