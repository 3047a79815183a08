//! ReplicationController.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::{Strategy, keep_field, pod, set_default, typed};
use crate::field::{Errors, FieldError, Path};
use crate::meta;
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
        let mut errors = Errors::new();
        if let Some(n) = spec.replicas.filter(|n| *n < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path.child("replicas"), n, detail));
        }
        if let Some(n) = spec.min_ready_seconds.filter(|n| *n < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path.child("minReadySeconds"), n, detail));
        }
        let selector = spec.selector.unwrap_or_default();
        if selector.is_empty() {
            errors.push(FieldError::required(&path.child("selector"), ""));
        }
        let path = path.child("template");
        let Some(template) = spec.template else {
            errors.push(FieldError::required(&path, ""));
            return errors;
        };
        let labels: BTreeMap<String, String> =
            template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
        let matcher =
            LabelSelector::from_map(selector.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        if !selector.is_empty() && !matcher.matches(&labels) {
            let detail = "`selector` does not match template `labels`";
            let path = path.child("metadata").child("labels");
            errors.push(FieldError::invalid(&path, json!(labels), detail));
        }
        let raw = &object["spec"]["template"]["metadata"];
        let meta_path = path.child("metadata");
        errors.extend(meta::validate_labels(&raw["labels"], &meta_path.child("labels")));
        errors.extend(meta::validate_annotations(
            &raw["annotations"],
            &meta_path.child("annotations"),
        ));
        let spec = template.spec.unwrap_or_default();
        let path = path.child("spec");
        errors.extend(pod::validate_spec(&spec, &path));
        // A replica that ended for good would be replaced for ever.
        let policy = spec.restart_policy.as_deref().unwrap_or_default();
        if policy != "Always" && !policy.is_empty() {
            errors.push(FieldError::not_supported(
                &path.child("restartPolicy"),
                policy,
                &["Always"],
            ));
        }
        if spec.active_deadline_seconds.is_some() {
            let detail = "activeDeadlineSeconds in ReplicationController is not Supported";
            errors.push(FieldError::forbidden(&path.child("activeDeadlineSeconds"), detail));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let mut errors = Errors::new();
        let status = &new["status"];
        let path = Path::new("status");
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        for field in [
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
        ] {
            if number(field) < 0 {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(&path.child(field), number(field), detail));
            }
        }
        for field in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
            if number(field) > number("replicas") {
                let detail = "cannot be greater than status.replicas";
                errors.push(FieldError::invalid(&path.child(field), number(field), detail));
            }
        }
        if number("availableReplicas") > number("readyReplicas") {
            let (path, n) = (path.child("availableReplicas"), number("availableReplicas"));
            errors.push(FieldError::invalid(&path, n, "cannot be greater than readyReplicas"));
        }
        errors
    }
}
