//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.
//!
//! Source: k8s.io/kubernetes/pkg/apis/admissionregistration/validation.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::matching::MATCH_POLICIES;
use super::{FAILURE_POLICIES, REINVOCATION_POLICIES, client_config, conditions, rule};
use super::{list, text, texts};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{Strategy, each, selector, set_default};

/// What a webhook may do besides answering, for dry runs to be possible.
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
/// Versions of AdmissionReview, one of which a webhook must understand.
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
/// Seconds to wait for an answer.
const DEFAULT_TIMEOUT: i64 = 10;
const MAX_TIMEOUT: i64 = 30;

/// The strategy of both kinds.
#[derive(Debug)]
pub(crate) struct WebhookConfiguration {
    mutating: bool,
}

impl WebhookConfiguration {
    /// Of MutatingWebhookConfigurations.
    pub(crate) const MUTATING: Self = Self { mutating: true };
    /// Of ValidatingWebhookConfigurations.
    pub(crate) const VALIDATING: Self = Self { mutating: false };
}

impl Strategy for WebhookConfiguration {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        for webhook in each(object, "/webhooks") {
            set_default(webhook, "clientConfig", json!({}));
            client_config::default(&mut webhook["clientConfig"]);
            each(webhook, "/rules").for_each(rule::default);
            set_default(webhook, "failurePolicy", "Fail");
            set_default(webhook, "matchPolicy", "Equivalent");
            set_default(webhook, "namespaceSelector", json!({}));
            set_default(webhook, "objectSelector", json!({}));
            set_default(webhook, "timeoutSeconds", DEFAULT_TIMEOUT);
            if self.mutating {
                set_default(webhook, "reinvocationPolicy", "Never");
            }
        }
    }

    /// Kubernetes names none for these kinds, which have no status.
    fn reset_fields(&self, _subresource: &str) -> &'static [&'static [&'static str]] {
        &[]
    }

    fn validate(&self, object: &Value) -> Errors {
        let (mut errors, mut seen) = (Errors::new(), HashSet::new());
        for (n, webhook) in list(object, "webhooks").iter().enumerate() {
            let path = Path::new("webhooks").index(n);
            errors.extend(self.validate_webhook(webhook, &path));
            let name = text(webhook, "name");
            if !name.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        errors
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        if list(object, "webhooks").is_empty() {
            return Vec::new();
        }
        vec!["webhooks: the configuration is stored, but this server does not call admission webhooks yet".to_owned()]
    }
}

impl WebhookConfiguration {
    fn validate_webhook(&self, webhook: &Value, path: &Path) -> Errors {
        let mut errors = validate_name(text(webhook, "name"), &path.child("name"));
        for (n, rule) in list(webhook, "rules").iter().enumerate() {
            errors.extend(rule::validate(rule, &path.child("rules").index(n)));
        }
        let mut choices =
            vec![("failurePolicy", FAILURE_POLICIES), ("matchPolicy", MATCH_POLICIES)];
        if self.mutating {
            choices.push(("reinvocationPolicy", REINVOCATION_POLICIES));
        }
        for (field, choices) in choices {
            if !choices.contains(&text(webhook, field)) {
                let at = path.child(field);
                errors.push(FieldError::not_supported(&at, text(webhook, field), choices));
            }
        }
        errors.extend(validate_side_effects(&webhook["sideEffects"], &path.child("sideEffects")));
        let timeout = webhook["timeoutSeconds"].as_i64().unwrap_or(0);
        if !(1..=MAX_TIMEOUT).contains(&timeout) {
            let detail = "the timeout value must be between 1 and 30 seconds";
            errors.push(FieldError::invalid(&path.child("timeoutSeconds"), timeout, detail));
        }
        for field in ["namespaceSelector", "objectSelector"] {
            errors.extend(selector::validate_value(&webhook[field], &path.child(field)));
        }
        let config = &webhook["clientConfig"];
        errors.extend(client_config::validate(config, &path.child("clientConfig")));
        errors.extend(conditions::validate(webhook, path));
        let versions = &webhook["admissionReviewVersions"];
        errors.extend(validate_versions(versions, &path.child("admissionReviewVersions")));
        errors
    }
}

fn validate_name(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let messages = names::dns1123_subdomain(name);
    if !messages.is_empty() {
        return vec![FieldError::invalid(path, name, &messages.join(","))];
    }
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        return vec![FieldError::invalid(path, name, detail)];
    }
    Errors::new()
}

fn validate_side_effects(effects: &Value, path: &Path) -> Option<FieldError> {
    match effects.as_str() {
        None => {
            let detail = format!("must specify one of {}", SIDE_EFFECTS.join(", "));
            Some(FieldError::required(path, &detail))
        }
        Some(effects) if !SIDE_EFFECTS.contains(&effects) => {
            Some(FieldError::not_supported(path, effects, SIDE_EFFECTS))
        }
        Some(_) => None,
    }
}

fn validate_versions(versions: &Value, path: &Path) -> Errors {
    let (items, known) = (texts(versions), REVIEW_VERSIONS.join(", "));
    if items.is_empty() {
        return vec![FieldError::required(path, &format!("must specify one of {known}"))];
    }
    let (mut errors, mut seen) = (Errors::new(), HashSet::new());
    for (n, version) in items.iter().enumerate() {
        let at = path.index(n);
        if !seen.insert(version) {
            errors.push(FieldError::invalid(&at, *version, "duplicate version"));
            continue;
        }
        errors.extend(FieldError::invalid_each(&at, version, &names::dns1035_label(version)));
    }
    if !items.iter().any(|version| REVIEW_VERSIONS.contains(version)) {
        let detail = format!("must include at least one of {known}");
        errors.push(FieldError::invalid(path, versions.clone(), &detail));
    }
    errors
}
