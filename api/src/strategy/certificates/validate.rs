//! The rules of a CertificateSigningRequest.

use std::collections::HashSet;

use serde_json::Value;

use super::pem;
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// Shortest lifetime that may be asked for, in seconds.
const MIN_EXPIRATION: i64 = 600;
/// Longest name of a signer: a domain, a slash, a namespace, a dot, a name.
const MAX_SIGNER: usize = 253 + 1 + 63 + 1 + 253;
/// A signer that only an older version of the API had.
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
/// Conditions that are there or not, but never false.
const DECISIONS: &[&str] = &["Approved", "Denied", "Failed"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// By which path an object changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The object.
    Main,
    /// Its `/status`: may set the certificate.
    Status,
    /// Its `/approval`: may approve and deny.
    Approval,
}

/// The conditions of a type.
pub(super) fn conditions<'a>(status: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    let all = status["conditions"].as_array().into_iter().flatten();
    all.filter(move |condition| condition["type"] == kind)
}

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

/// Checks an object; what was wrong with its status before (`old`) may stay wrong.
pub(super) fn request(object: &Value, old: Option<&Value>) -> Errors {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = Errors::new();
    let request = text(spec, "request");
    if let Err(detail) = pem::check_request(request) {
        errors.push(FieldError::invalid(&path.child("request"), request, &detail));
    }
    let usages = spec["usages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let at = path.child("usages");
    if usages.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    let mut seen = HashSet::new();
    for (n, usage) in usages.iter().filter_map(Value::as_str).enumerate() {
        if !USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(&at.index(n), usage, USAGES));
        }
        if !seen.insert(usage) {
            errors.push(FieldError::duplicate(&at.index(n), usage));
        }
    }
    errors.extend(signer(text(spec, "signerName"), &path.child("signerName")));
    if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|s| *s < MIN_EXPIRATION) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    let path = Path::new("status");
    errors.extend(all_conditions(&object["status"], old, &path.child("conditions")));
    let certificate = text(&object["status"], "certificate");
    if old.is_none_or(|old| text(&old["status"], "certificate") != certificate)
        && let Err(detail) = pem::check_certificates(certificate)
    {
        let path = path.child("certificate");
        errors.push(FieldError::invalid(&path, "<certificate data>", &detail));
    }
    errors
}

/// `example.com/signer-name`.
fn signer(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    if name == LEGACY_SIGNER {
        let detail = "the legacy signerName is not allowed via this API version";
        return vec![FieldError::invalid(path, name, detail)];
    }
    let parts: Vec<&str> = name.split('/').collect();
    let [domain, local] = parts[..] else {
        let detail =
            "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![FieldError::invalid(path, name, detail)];
    };
    let mut errors = Errors::new();
    if domain.len() > 253 {
        errors.push(FieldError::too_long(path, 253));
    }
    errors.extend(labels(domain, names::dns1123_label, path));
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, detail));
    }
    errors.extend(labels(local, names::dns1123_subdomain, path));
    if name.len() > MAX_SIGNER {
        errors.push(FieldError::too_long(path, MAX_SIGNER));
    }
    errors
}

/// The problems of the first label that has some: those of the others would read the same.
fn labels(name: &str, rule: fn(&str) -> Vec<String>, path: &Path) -> Errors {
    for label in name.split('.') {
        let messages = rule(label);
        if !messages.is_empty() {
            let explain = |message: &String| format!("validating label \"{label}\": {message}");
            let messages: Vec<String> = messages.iter().map(explain).collect();
            return FieldError::invalid_each(path, name, &messages);
        }
    }
    Errors::new()
}

fn all_conditions(status: &Value, old: Option<&Value>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let undecided = !old.is_some_and(|old| {
        ["Approved", "Denied"].iter().all(|kind| conditions(&old["status"], kind).count() > 0)
    });
    let mut seen = HashSet::new();
    for (n, condition) in status["conditions"].as_array().into_iter().flatten().enumerate() {
        let at = path.index(n);
        let (kind, value) = (text(condition, "type"), text(condition, "status"));
        if kind.is_empty() {
            errors.push(FieldError::required(&at.child("type"), ""));
        }
        let allowed = if DECISIONS.contains(&kind) { &["True"][..] } else { STATUSES };
        if value.is_empty() {
            errors.push(FieldError::required(&at.child("status"), ""));
        } else if !allowed.contains(&value) {
            errors.push(FieldError::not_supported(&at.child("status"), value, allowed));
        }
        let opposite = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if undecided && seen.contains(opposite) {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(path, kind, detail));
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&at.child("type"), kind));
        }
    }
    errors
}

/// Checks a changed object: decisions stay, and come by one path only, as does the certificate.
pub(super) fn change(new: &Value, old: &Value, by: Change) -> Errors {
    let mut errors = request(new, Some(old));
    let path = Path::new("status").child("conditions");
    let of = |object: &Value, kind: &str| -> Vec<Value> {
        conditions(&object["status"], kind).cloned().collect()
    };
    for kind in DECISIONS {
        let (had, has) = (of(old, kind), of(new, kind));
        let refused = match kind {
            _ if has.len() < had.len() => Some("remove"),
            &"Failed" => None,
            _ if by == Change::Approval => None,
            _ if has.len() > had.len() => Some("add"),
            _ if has != had => Some("modify"),
            _ => None,
        };
        if let Some(verb) = refused {
            let detail = format!("updates may not {verb} a condition of type \"{kind}\"");
            errors.push(FieldError::forbidden(&path, &detail));
        }
    }
    let (had, has) = (text(&old["status"], "certificate"), text(&new["status"], "certificate"));
    if had != has {
        let path = Path::new("status").child("certificate");
        if by != Change::Status {
            let detail = "updates may not set certificate content";
            errors.push(FieldError::forbidden(&path, detail));
        } else if !had.is_empty() {
            let detail = "updates may not modify existing certificate content";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    errors
}
