//! The parameters of create, update and patch.

use api::field::{FieldError, Path};
use api::resources::GroupKind;
use api::status::Status;
use http::header;

use super::Query;
use crate::request::Request;
use crate::request::negotiate::is_apply;

/// Length of a manager's name, in bytes, at most.
const MANAGER_LIMIT: usize = 128;

/// What to do about fields that the kind does not have, or has twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Say nothing.
    Ignore,
    /// Accept with a `Warning` header per field (the default).
    Warn,
    /// Refuse with 400.
    Strict,
}

/// The parameters of create, update and patch.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    /// `dryRun=All`: everything but the write itself.
    pub(crate) dry_run: bool,
    /// `fieldValidation`.
    pub(crate) validation: FieldValidation,
    /// Who owns what is written: `fieldManager`, or the User-Agent up to its first slash.
    pub(crate) manager: String,
    /// `force`: an apply takes what others own.
    pub(crate) force: bool,
}

impl WriteOptions {
    /// Of a write that the server itself makes.
    pub(crate) fn internal(manager: &str) -> WriteOptions {
        let validation = FieldValidation::Ignore;
        WriteOptions { dry_run: false, validation, manager: manager.to_owned(), force: false }
    }

    /// Reads and checks the parameters of a request. `kind` is the options type that errors name,
    /// such as `CreateOptions`.
    ///
    /// # Errors
    /// 422 for values that do not exist, and for an apply without a manager.
    pub(crate) fn parse(
        request: &Request,
        query: &Query,
        kind: &'static str,
    ) -> Result<WriteOptions, Status> {
        let content_type = request.header(header::CONTENT_TYPE).unwrap_or_default();
        let applies = kind == "PatchOptions" && is_apply(content_type);
        let agent = request.header(header::USER_AGENT).unwrap_or_default();
        WriteOptions::of(query, kind, applies, agent)
    }

    fn of(
        query: &Query,
        kind: &'static str,
        applies: bool,
        agent: &str,
    ) -> Result<WriteOptions, Status> {
        let mut errors = Vec::new();
        let manager = query.get("fieldManager");
        let at = Path::new("fieldManager");
        if applies && manager.is_empty() {
            errors.push(FieldError::required(&at, "is required for apply patch"));
        }
        let force = query.flag("force");
        if kind == "PatchOptions" && !applies && force.is_some() {
            let detail = "may not be specified for non-apply patch";
            errors.push(FieldError::forbidden(&Path::new("force"), detail));
        }
        if manager.len() > MANAGER_LIMIT {
            errors.push(FieldError::too_long(&at, MANAGER_LIMIT));
        }
        for (position, odd) in manager.char_indices().filter(|(_, c)| !is_printable(*c)) {
            let detail = format!("invalid character U+{:04X} (at position {position})", odd as u32);
            errors.push(FieldError::invalid(&at, manager, &detail));
        }
        let dry_run = match query.get("dryRun") {
            "" => false,
            "All" => true,
            other => {
                let (path, given) = (Path::new("dryRun"), vec![other]);
                errors.push(FieldError::not_supported(&path, given, &["All"]));
                false
            }
        };
        let validation = match query.get("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let values = ["", "Ignore", "Strict", "Warn"];
                let path = Path::new("fieldValidation");
                errors.push(FieldError::not_supported(&path, other, &values));
                FieldValidation::Strict
            }
        };
        if !errors.is_empty() {
            return Err(Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", &errors));
        }
        let manager = if manager.is_empty() { named_by(agent) } else { manager.to_owned() };
        Ok(WriteOptions { dry_run, validation, manager, force: force.unwrap_or(false) })
    }
}

/// The manager that a User-Agent such as `kubectl/v1.36.0 (linux/amd64)` names.
fn named_by(agent: &str) -> String {
    let product = agent.split('/').next().unwrap_or_default();
    let mut name = String::new();
    for c in product.chars().filter(|c| is_printable(*c)) {
        if name.len() + c.len_utf8() > MANAGER_LIMIT {
            break;
        }
        name.push(c);
    }
    name
}

/// Whether a character may be in a manager's name: everything but controls and odd spaces.
fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str, applies: bool, agent: &str) -> Result<WriteOptions, Status> {
        WriteOptions::of(&Query::parse(query), "PatchOptions", applies, agent)
    }

    #[test]
    fn managers_have_names() {
        let long = "m".repeat(200);
        for (query, agent, want) in [
            ("fieldManager=me", "kubectl/v1", "me"),
            ("", "kubectl/v1.36.0 (linux/amd64)", "kubectl"),
            ("", "", ""),
            ("", "a b\u{7}c", "a bc"),
            ("", long.as_str(), &long[..128]),
        ] {
            assert_eq!(of(query, false, agent).expect("valid").manager, want, "{query} {agent}");
        }
    }

    #[test]
    fn what_a_patch_may_not_say() {
        let long = format!("fieldManager={}", "m".repeat(129));
        let cases = [
            ("", true, "fieldManager: Required value: is required for apply patch"),
            ("force=true", false, "force: Forbidden: may not be specified for non-apply patch"),
            (&long, true, "fieldManager: Too long: may not be more than 128 bytes"),
            (
                "fieldManager=a%07",
                false,
                "fieldManager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)",
            ),
            (
                "dryRun=Some",
                false,
                "dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"",
            ),
        ];
        for (query, applies, want) in cases {
            let status = of(query, applies, "").expect_err("refused");
            let message = format!("PatchOptions.meta.k8s.io \"\" is invalid: {want}");
            assert_eq!((status.code, status.message), (422, message), "{query}");
        }
        assert!(of("fieldManager=a&force=true", true, "").expect("valid").force);
    }
}
