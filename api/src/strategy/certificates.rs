//! CertificateSigningRequest: what is asked for never changes; who may decide about it writes
//! `/approval`, who signs writes `/status`.
//!
//! Source: k8s.io/kubernetes/pkg/apis/certificates/validation, pkg/registry/certificates.

mod pem;
#[cfg(test)]
mod tests;
mod validate;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Strategy, each, keep_field, set_default};
use crate::field::Errors;
use crate::meta::{self, remove};
use crate::names::NameRule;

use validate::Change;

#[derive(Debug)]
pub(crate) struct CertificateSigningRequest;

impl Strategy for CertificateSigningRequest {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(object, "status", json!({}));
    }

    /// Who asks is known to the server, which fills it in; nobody says it of himself.
    fn prepare_for_create(&self, object: &mut Value) {
        for field in ["username", "uid", "groups", "extra"] {
            remove(&mut object["spec"], field);
        }
        object["status"] = json!({});
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "spec");
        keep_field(new, old, "status");
    }

    /// A signer adds the certificate and conditions of its own; decisions it leaves as they are.
    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "spec");
        for kind in ["Approved", "Denied"] {
            keep_conditions(&mut new["status"], &old["status"], kind);
        }
    }

    fn stamp_status(&self, new: &mut Value, old: &Value, now: Timestamp) {
        for condition in each(new, "/status/conditions").filter(|condition| condition.is_object()) {
            let had = old["status"]["conditions"].as_array().into_iter().flatten().find(|had| {
                had["type"] == condition["type"]
                    && had["status"] == condition["status"]
                    && had["lastTransitionTime"].is_string()
            });
            let since = had.map(|had| had["lastTransitionTime"].clone());
            set_default(condition, "lastUpdateTime", meta::time(now));
            let since = since.unwrap_or_else(|| meta::time(now).into());
            set_default(condition, "lastTransitionTime", since);
        }
    }

    /// `/approval` changes conditions and nothing else.
    fn prepare_for_subresource(&self, _approval: &str, new: &mut Value, old: &Value) {
        let mut status = old["status"].clone();
        keep_field(&mut status, &new["status"], "conditions");
        new["status"] = status;
        keep_field(new, old, "spec");
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        match subresource {
            "status" => &[&["spec"], &["status", "conditions"]],
            "approval" => &[&["spec"], &["status", "certificate"]],
            _ => &[&["spec"], &["status"]],
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        validate::request(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        validate::change(new, old, Change::Main)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        validate::change(new, old, Change::Status)
    }

    fn validate_subresource(&self, _approval: &str, new: &Value, old: &Value) -> Errors {
        validate::change(new, old, Change::Approval)
    }
}

/// Puts the old conditions of a type in the place of the new ones; if their number differs they
/// stay as sent, for validation to refuse.
fn keep_conditions(new: &mut Value, old: &Value, kind: &str) {
    let had: Vec<Value> = validate::conditions(old, kind).cloned().collect();
    if validate::conditions(new, kind).count() != had.len() {
        return;
    }
    let same = each(new, "/conditions").filter(|condition| condition["type"] == kind);
    for (condition, had) in same.zip(had) {
        *condition = had;
    }
}
