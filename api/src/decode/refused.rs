//! Why a body is no object of a kind, and the 400 that says so
//! (k8s.io/apiserver/pkg/endpoints/handlers/rest.go: transformDecodeError).

use crate::field::go_quote;
use crate::resources;
use crate::status::Status;

/// How a reason begins if the body does not even say what it is.
pub(super) const NO_KIND: &str = "couldn't get version/kind; json parse error: ";

/// What a body is read into first, to learn what it is, as Go names that.
pub(super) const KIND_STRUCT: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// Why a body is no object of a kind.
pub(super) enum Refused {
    /// What it is cannot be read.
    Unrecognized(String),
    /// It is something else, or not well made.
    Unfit {
        /// The kind it says it is.
        kind: String,
        /// The API version it says.
        version: String,
        /// Why it does not do.
        detail: String,
    },
    /// It is of the right kind, in another version.
    Version(String),
}

impl Refused {
    /// For an object of another kind or version than the wanted one.
    pub(super) fn other_kind(
        version: String,
        kind: String,
        wanted_version: &str,
        wanted_kind: &str,
    ) -> Refused {
        let known = resources::by_kind(&version, &kind).is_some();
        // An Event is the same thing in both of its groups.
        let same = kind == "Event" || group(&version) == group(wanted_version);
        if known && same && kind == wanted_kind {
            return Refused::Version(format!(
                "the API version in the data ({version}) does not match the expected API version \
                 ({wanted_version})"
            ));
        }
        let detail = if known && wanted_kind != "DeleteOptions" {
            let base = version.rsplit('/').next().unwrap_or_default();
            format!("converting ({base}.{kind}) to (core.{wanted_kind}): unknown conversion")
        } else {
            let (kind, version) = (go_quote(&kind), go_quote(&version));
            format!("no kind {kind} is registered for version {version} in scheme")
        };
        Refused::Unfit { kind, version, detail }
    }

    /// The reason alone.
    pub(super) fn reason(self) -> String {
        match self {
            Refused::Unrecognized(reason) | Refused::Version(reason) => reason,
            Refused::Unfit { detail, .. } => detail,
        }
    }

    /// The refusal of a body that must be a `wanted`.
    pub(super) fn status(self, wanted: &str, body: &[u8]) -> Status {
        match self {
            Refused::Unrecognized(reason) => unrecognized(wanted, &reason, body),
            Refused::Version(reason) => Status::bad_request(reason),
            Refused::Unfit { kind, version, detail } => {
                cannot_handle(&kind, &version, wanted, &detail)
            }
        }
    }
}

fn group(version: &str) -> &str {
    version.split_once('/').map_or("", |(group, _)| group)
}

/// `version` may have its group before it, which is not told.
pub(super) fn cannot_handle(kind: &str, version: &str, wanted: &str, detail: &str) -> Status {
    let version = go_quote(version.rsplit('/').next().unwrap_or_default());
    Status::bad_request(format!(
        "{kind} in version {version} cannot be handled as a {wanted}: {detail}"
    ))
}

pub(super) fn unrecognized(wanted: &str, reason: &str, body: &[u8]) -> Status {
    let body = excerpt(body);
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {wanted}): {reason} ({body})"
    ))
}

/// The beginning of a body as Kubernetes shows it: text if it may be JSON, else hexadecimal.
pub(super) fn excerpt(body: &[u8]) -> String {
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
