//! ReplicationController.

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::{Strategy, bounds, keep_field, pod, set_default, template, typed};
use crate::field::{Errors, FieldError, Path};
use crate::selector::LabelSelector;

#[derive(Debug)]
pub(crate) struct ReplicationController;

impl Strategy for ReplicationController {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        let labels = object["spec"]["template"]["metadata"]["labels"].clone();
        if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
            let empty = |v: &Value| v.as_object().is_none_or(serde_json::Map::is_empty);
            if empty(&object["spec"]["selector"]) {
                object["spec"]["selector"] = labels.clone();
            }
            if empty(&object["metadata"]["labels"]) {
                object["metadata"]["labels"] = labels;
            }
        }
        set_default(&mut object["spec"], "replicas", 1);
        if let Some(template) = super::object_at(object, "/spec/template") {
            pod::default_template(template);
        }
        set_default(object, "status", json!({}));
        set_default(&mut object["status"], "replicas", 0);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"replicas": 0});
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Errors {
        let controller: core::ReplicationController = match typed(object) {
            Ok(controller) => controller,
            Err(errors) => return errors,
        };
        let spec = controller.spec.unwrap_or_default();
        let path = Path::new("spec");
        let numbers = &["replicas", "minReadySeconds"];
        let mut errors = bounds::none_negative(&object["spec"], &path, numbers);
        let selector = spec.selector.unwrap_or_default();
        if selector.is_empty() {
            errors.push(FieldError::required(&path.child("selector"), ""));
        }
        let path = path.child("template");
        if spec.template.is_none() {
            errors.push(FieldError::required(&path, ""));
            return errors;
        }
        let found = LabelSelector::from_map(selector.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        errors.extend(template::matches(&found, &object["spec"]["template"], &path));
        let template = &object["spec"]["template"];
        errors.extend(template::validate(template, &path));
        errors.extend(template::runs_for_ever(template, "ReplicationController", &path));
        errors
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        template::warnings_with_name(new, old)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let (status, path) = (&new["status"], Path::new("status"));
        let parts = &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        let mut errors = bounds::none_negative(status, &path, &["replicas"]);
        errors.extend(bounds::none_negative(status, &path, parts));
        errors.extend(bounds::none_negative(status, &path, &["observedGeneration"]));
        let detail = "cannot be greater than status.replicas";
        errors.extend(bounds::at_most(status, &path, parts, "replicas", detail));
        let detail = "cannot be greater than readyReplicas";
        let available = &["availableReplicas"];
        errors.extend(bounds::at_most(status, &path, available, "readyReplicas", detail));
        errors
    }
}
