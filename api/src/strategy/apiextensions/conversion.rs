//! How objects are converted between the versions of a definition. Messages say where Kubernetes
//! itself holds the parts of a webhook: beside the strategy.

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::admissionregistration::client_config;

/// Versions of ConversionReview that a server understands.
const REVIEWS: &[&str] = &["v1", "v1beta1"];

/// Checks `spec.conversion`.
pub(super) fn validate(conversion: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if conversion.is_null() {
        return errors;
    }
    let strategy = conversion["strategy"].as_str().unwrap_or_default();
    match strategy {
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        "None" | "Webhook" => {}
        other => {
            let at = path.child("strategy");
            errors.push(FieldError::not_supported(&at, other, &["None", "Webhook"]));
        }
    }
    let webhook = &conversion["webhook"];
    let (config, at) = (&webhook["clientConfig"], path.child("webhookClientConfig"));
    let reviews: Vec<&str> = webhook["conversionReviewVersions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let reviews_at = path.child("conversionReviewVersions");
    if strategy == "Webhook" {
        if config.is_null() {
            let detail = "required when strategy is set to Webhook";
            errors.push(FieldError::required(&at, detail));
        } else {
            errors.extend(client_config::validate(config, &at));
        }
        errors.extend(review_versions(&reviews, &reviews_at));
        return errors;
    }
    let detail = "should not be set when strategy is not set to Webhook";
    for (set, at) in [(!config.is_null(), at), (!reviews.is_empty(), reviews_at)] {
        if set {
            errors.push(FieldError::forbidden(&at, detail));
        }
    }
    errors
}

fn review_versions(versions: &[&str], path: &Path) -> Errors {
    if versions.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let (mut errors, mut seen) = (Errors::new(), HashSet::new());
    for (n, version) in versions.iter().enumerate() {
        if seen.insert(version) {
            let messages = names::dns1035_label(version);
            errors.extend(FieldError::invalid_each(&path.index(n), version, &messages));
        } else {
            errors.push(FieldError::invalid(&path.index(n), *version, "duplicate version"));
        }
    }
    if !versions.iter().any(|version| REVIEWS.contains(version)) {
        let detail = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(path, versions.to_vec(), &detail));
    }
    errors
}
