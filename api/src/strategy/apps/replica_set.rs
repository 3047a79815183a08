//! ReplicaSet.

use serde_json::{Value, json};

use super::{default_workload, immutable_selector, validate_counts, validate_replicated};
use crate::field::{Errors, Path};
use crate::strategy::{Strategy, bounds, keep_field, set_default, template};

#[derive(Debug)]
pub(crate) struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        default_workload(object);
        set_default(&mut object["spec"], "replicas", 1);
        set_default(&mut object["status"], "replicas", 0);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"replicas": 0});
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = bounds::none_negative(spec, &path, &["replicas", "minReadySeconds"]);
        errors.extend(validate_replicated(spec, &path));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        errors.extend(immutable_selector(new, old));
        errors
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        template::warnings_with_name(new, old)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let parts = &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        validate_counts(new, parts, &["observedGeneration"], "readyReplicas")
    }
}
