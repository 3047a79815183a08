//! Namespace: goes only when its finalizers are gone, which is after its content.

use serde_json::{Value, json};

use super::{Strategy, keep_field, set_default};
use crate::field::{Errors, FieldError, Path};
use crate::meta;
use crate::names::NameRule;

/// The label by which selectors find a namespace by name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

#[derive(Debug)]
pub(crate) struct Namespace;

impl Strategy for Namespace {
    fn name_rule(&self) -> NameRule {
        NameRule::Label
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(object, "status", json!({}));
        set_default(&mut object["status"], "phase", "Active");
        let name = object["metadata"]["name"].clone();
        if name.as_str().is_some_and(|name| !name.is_empty()) {
            set_default(&mut object["metadata"], "labels", json!({}));
            object["metadata"]["labels"][NAME_LABEL] = name;
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Active"});
        let mut finalizers = object["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.contains(&json!("kubernetes")) {
            finalizers.push(json!("kubernetes"));
        }
        object["spec"]["finalizers"] = Value::Array(finalizers);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        // Finalizers change only through /finalize.
        keep_field(&mut new["spec"], &old["spec"], "finalizers");
        keep_field(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("finalizers");
        let all = object["spec"]["finalizers"].as_array().into_iter().flatten();
        for (n, name) in all.filter_map(Value::as_str).enumerate() {
            errors.extend(meta::validate_finalizer(name, &path.index(n)));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let deleting = new["metadata"]["deletionTimestamp"].is_string();
        let phase = new["status"]["phase"].as_str().unwrap_or_default();
        let path = Path::new("status").child("Phase");
        match (deleting, phase) {
            (false, "Active") | (true, "Terminating") => Errors::new(),
            (true, _) => vec![FieldError::invalid(
                &path,
                phase,
                "may only be 'Terminating' if `deletionTimestamp` is not empty",
            )],
            (false, _) => vec![FieldError::invalid(
                &path,
                phase,
                "may only be 'Active' if `deletionTimestamp` is empty",
            )],
        }
    }
}
