//! APIService: where a version of a group is served.
//!
//! Source: k8s.io/kube-aggregator/pkg/apis/apiregistration/validation.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::field::{Errors, FieldError, Path, go_quote};
use crate::names::{self, NameRule};
use crate::strategy::{Strategy, keep_field, object_at, set_default};

const MAX_GROUP_PRIORITY: i64 = 20_000;
const MAX_VERSION_PRIORITY: i64 = 1000;
const HTTPS: i64 = 443;
const STATUSES: &[&str] = &["True", "False", "Unknown"];

#[derive(Debug)]
pub(crate) struct ApiService;

impl Strategy for ApiService {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        if let Some(service) = object_at(object, "/spec/service") {
            set_default(service, "port", HTTPS);
        }
        set_default(object, "status", json!({}));
    }

    /// What this server serves itself is there at once.
    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = if object["spec"]["service"].is_null() {
            json!({"conditions": [{
                "type": "Available", "status": "True",
                "lastTransitionTime": object["metadata"]["creationTimestamp"],
                "reason": "Local", "message": "Local APIServices are always available",
            }]})
        } else {
            json!({})
        };
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn status_is_alone(&self) -> bool {
        true
    }

    /// Kubernetes names none for this kind.
    fn reset_fields(&self, _subresource: &str) -> &'static [&'static [&'static str]] {
        &[]
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let text = |map: &Value, field: &str| map[field].as_str().unwrap_or_default().to_owned();
        let (group, version) = (text(spec, "group"), text(spec, "version"));
        let name = text(&object["metadata"], "name");
        let wanted = format!("{version}.{group}");
        let mut errors = Errors::new();
        if names::path_segment(&name).is_empty() && name != wanted {
            let detail = format!("must be `spec.version+\".\"+spec.group`: {}", go_quote(&wanted));
            let path = Path::new("metadata").child("name");
            errors.push(FieldError::invalid(&path, name, &detail));
        }
        let at = path.child("group");
        if !group.is_empty() {
            errors.extend(FieldError::invalid_each(&at, &group, &names::dns1123_subdomain(&group)));
        } else if version != "v1" {
            let detail = "only v1 may have an empty group and it better be legacy kube";
            errors.push(FieldError::required(&at, detail));
        }
        let messages = names::dns1035_label(&version);
        errors.extend(FieldError::invalid_each(&path.child("version"), &version, &messages));
        for (field, most) in [
            ("groupPriorityMinimum", MAX_GROUP_PRIORITY),
            ("versionPriority", MAX_VERSION_PRIORITY),
        ] {
            let priority = spec[field].as_i64().unwrap_or(0);
            if !(1..=most).contains(&priority) {
                let detail = format!("must be positive and less than {most}");
                errors.push(FieldError::invalid(&path.child(field), priority, &detail));
            }
        }
        errors.extend(validate_connection(spec, &path));
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let path = Path::new("status").child("conditions");
        let conditions = new["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .enumerate()
            .filter_map(|(n, condition)| {
                let status = condition["status"].as_str().unwrap_or_default();
                let at = path.index(n).child("status");
                (!STATUSES.contains(&status))
                    .then(|| FieldError::not_supported(&at, status, STATUSES))
            })
            .collect()
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        if object["spec"]["service"].is_null() {
            return Vec::new();
        }
        let warning = "spec.service: requests for this API are not forwarded to the service by this server yet";
        vec![warning.to_owned()]
    }
}

/// How the service is reached; what is served here needs none of it.
fn validate_connection(spec: &Value, path: &Path) -> Errors {
    let (service, bundle) = (&spec["service"], spec["caBundle"].as_str().unwrap_or_default());
    let insecure = spec["insecureSkipTLSVerify"] == true;
    let insecure_at = path.child("insecureSkipTLSVerify");
    let mut errors = Errors::new();
    if service.is_null() {
        if !bundle.is_empty() {
            let bytes = STANDARD.decode(bundle).map_or(bundle.len(), |bundle| bundle.len());
            let detail = "local APIServices may not have a caBundle";
            let size = format!("{bytes} bytes");
            errors.push(FieldError::invalid(&path.child("caBundle"), size, detail));
        }
        if insecure {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(&insecure_at, true, detail));
        }
        return errors;
    }
    for field in ["namespace", "name"] {
        if service[field].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&path.child("service").child(field), ""));
        }
    }
    if insecure && !bundle.is_empty() {
        let detail = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(&insecure_at, true, detail));
    }
    errors
}
