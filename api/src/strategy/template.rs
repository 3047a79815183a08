//! Pod templates inside workloads.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidatePodTemplateSpec).

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use super::{pod, typed, warnings};
use crate::field::{Errors, FieldError, Path};
use crate::meta;
use crate::selector::LabelSelector;

/// Checks a pod template.
pub(crate) fn validate(template: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let metadata = &template["metadata"];
    errors.extend(meta::validate_labels(&metadata["labels"], &path.child("labels")));
    errors.extend(meta::validate_annotations(&metadata["annotations"], &path.child("annotations")));
    match typed::<PodSpec>(&template["spec"]) {
        Ok(spec) => {
            let at = path.child("annotations");
            errors.extend(pod::validate_annotations(metadata, &spec, &at));
            let at = path.child("spec");
            errors.extend(pod::validate_spec(&spec, None, &at));
            errors.extend(pod::validate_profiles(metadata, &spec, &at));
        }
        Err(wrong) => errors.extend(wrong),
    }
    let path = path.child("spec");
    if template["spec"]["ephemeralContainers"].as_array().is_some_and(|list| !list.is_empty()) {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), detail));
    }
    errors
}

/// A workload must find the pods that it makes. `path` is that of the template.
pub(crate) fn matches(
    selector: &LabelSelector,
    template: &Value,
    path: &Path,
) -> Option<FieldError> {
    if selector.matches_object(template) {
        return None;
    }
    let labels = match &template["metadata"]["labels"] {
        Value::Null => json!(null),
        labels => labels.clone(),
    };
    let detail = "`selector` does not match template `labels`";
    Some(FieldError::invalid(&path.child("metadata").child("labels"), labels, detail))
}

/// Checks what pods of a workload of `kind` may not say, because they are replaced for ever.
pub(crate) fn runs_for_ever(template: &Value, kind: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&template["spec"], path.child("spec"));
    let policy = spec["restartPolicy"].as_str().unwrap_or_default();
    if policy != "Always" {
        let at = path.child("restartPolicy");
        errors.push(FieldError::not_supported(&at, policy, &["Always"]));
    }
    if !spec["activeDeadlineSeconds"].is_null() {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&path.child("activeDeadlineSeconds"), &detail));
    }
    errors
}

/// Whether a write is one whose template is worth a warning: it makes a new object, or gives its
/// controller something to do.
pub(crate) fn is_news(new: &Value, old: &Value) -> bool {
    old.is_null() || new["metadata"]["generation"] != old["metadata"]["generation"]
}

/// Warnings about the template in the spec of a workload.
pub(crate) fn warnings(new: &Value, old: &Value) -> Vec<String> {
    if !is_news(new, old) {
        return Vec::new();
    }
    pod::warnings_of_template(&new["spec"]["template"], &Path::new("spec").child("template"))
}

/// [`warnings`] of a workload whose name becomes that of its pods, and so of hosts.
pub(crate) fn warnings_with_name(new: &Value, old: &Value) -> Vec<String> {
    let name = if old.is_null() { warnings::of_workload_name(new) } else { None };
    name.into_iter().chain(warnings(new, old)).collect()
}
