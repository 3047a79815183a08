//! How a webhook is reached: at a URL, or as a Service.
//!
//! Source: k8s.io/apiserver/pkg/util/webhook (ValidateWebhookURL, ValidateWebhookService).

use serde_json::Value;

use super::text;
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{object_at, set_default};

const HTTPS: i64 = 443;
const FORM: &str = "; desired format: https://host[/path]";

pub(in crate::strategy) fn default(config: &mut Value) {
    if let Some(service) = object_at(config, "/service") {
        set_default(service, "port", HTTPS);
    }
}

pub(in crate::strategy) fn validate(config: &Value, path: &Path) -> Errors {
    let (service, at) = (&config["service"], path.child("service"));
    match (config["url"].as_str(), service.is_null()) {
        (Some(url), true) => validate_url(url, &path.child("url")),
        (None, false) => validate_service(service, &at),
        _ => vec![FieldError::required(path, "exactly one of url or service is required")],
    }
}

fn validate_url(url: &str, path: &Path) -> Errors {
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let detail = format!("url must be a valid URL: it has characters to be escaped{FORM}");
        return vec![FieldError::required(path, &detail)];
    }
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once(':').unwrap_or(("", rest));
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split('/').next());
    let authority = authority.unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut errors = Errors::new();
    let mut refuse = |value: &str, detail: &str| {
        errors.push(FieldError::invalid(path, value, detail));
    };
    if !scheme.eq_ignore_ascii_case("https") {
        refuse(scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        refuse(host, &format!("host must be specified{FORM}"));
    }
    if authority.contains('@') {
        refuse(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        refuse(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        refuse(query, "query parameters are not permitted in the URL");
    }
    errors
}

fn validate_service(service: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["name", "namespace"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    let port = service["port"].as_i64().unwrap_or(0);
    let messages = names::port_number(port);
    if !messages.is_empty() {
        let detail = format!("port is not valid: {}", messages.join(", "));
        errors.push(FieldError::invalid(&path.child("port"), port, &detail));
    }
    errors.extend(validate_path(text(service, "path"), &path.child("path")));
    errors
}

fn validate_path(shown: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if shown.is_empty() || shown == "/" {
        return errors;
    }
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(path, shown, detail));
    let Some(steps) = shown.strip_prefix('/') else {
        refuse("must start with a '/'");
        return errors;
    };
    for (n, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            refuse(&format!("segment[{n}] may not be empty"));
            continue;
        }
        for message in names::dns1123_subdomain(step) {
            refuse(&format!("segment[{n}]: {message}"));
        }
    }
    errors
}
