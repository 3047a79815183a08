//! Deployment.

use serde_json::{Value, json};

use super::{
    REVISION_HISTORY, default_workload, immutable_selector, validate_counts, validate_replicated,
};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::{
    Strategy, bounds, keep_all_but_status, keep_field, percent, set_default, template,
};

/// Seconds without progress after which a Deployment says that it has failed.
const PROGRESS_DEADLINE_SECONDS: i64 = 600;

#[derive(Debug)]
pub(crate) struct Deployment;

impl Strategy for Deployment {
    fn counts_generations(&self) -> bool {
        true
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        if subresource == "status" { &[&["spec"], &["metadata", "labels"]] } else { &[&["status"]] }
    }

    fn default(&self, object: &mut Value) {
        default_workload(object);
        let spec = &mut object["spec"];
        set_default(spec, "replicas", 1);
        set_default(spec, "revisionHistoryLimit", REVISION_HISTORY);
        set_default(spec, "progressDeadlineSeconds", PROGRESS_DEADLINE_SECONDS);
        set_default(spec, "strategy", json!({}));
        let strategy = &mut spec["strategy"];
        if strategy["type"].as_str().unwrap_or_default().is_empty() {
            strategy["type"] = "RollingUpdate".into();
        }
        if strategy["type"] == "RollingUpdate" {
            set_default(strategy, "rollingUpdate", json!({}));
            set_default(&mut strategy["rollingUpdate"], "maxUnavailable", "25%");
            set_default(&mut strategy["rollingUpdate"], "maxSurge", "25%");
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
        // Annotations are handed down to the ReplicaSets: the controller has to act on them.
        if new["metadata"]["annotations"] != old["metadata"]["annotations"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = generation.saturating_add(1).into();
        }
    }

    /// The labels stay, too: what selects Deployments is not for whoever reports on them.
    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        keep_all_but_status(new, old);
        keep_field(&mut new["metadata"], &old["metadata"], "labels");
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = bounds::none_negative(spec, &path, &["replicas"]);
        errors.extend(validate_replicated(spec, &path));
        errors.extend(validate_strategy(&spec["strategy"], &path.child("strategy")));
        let numbers = &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"];
        errors.extend(bounds::none_negative(spec, &path, numbers));
        let number = |field: &str| spec[field].as_i64().unwrap_or(0);
        if number("progressDeadlineSeconds") <= number("minReadySeconds") {
            errors.push(FieldError::invalid(
                &path.child("progressDeadlineSeconds"),
                number("progressDeadlineSeconds"),
                "must be greater than minReadySeconds",
            ));
        }
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

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        let parts = &["updatedReplicas", "readyReplicas", "availableReplicas"];
        let others = &["observedGeneration", "unavailableReplicas", "collisionCount"];
        let mut errors = validate_counts(new, parts, others, "readyReplicas");
        let path = Path::new("status");
        let (new, old) = (&new["status"], &old["status"]);
        errors.extend(bounds::not_decremented(new, old, &path, "collisionCount"));
        errors
    }
}

fn validate_strategy(strategy: &Value, path: &Path) -> Errors {
    let at = path.child("rollingUpdate");
    let rolling = &strategy["rollingUpdate"];
    match strategy["type"].as_str().unwrap_or_default() {
        "Recreate" if rolling.is_null() => Errors::new(),
        "Recreate" => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            vec![FieldError::forbidden(&at, detail)]
        }
        "RollingUpdate" => validate_rolling_update(rolling, &at),
        _ => {
            let supported = &["Recreate", "RollingUpdate"];
            vec![FieldError::not_supported(path, strategy.clone(), supported)]
        }
    }
}

fn validate_rolling_update(rolling: &Value, path: &Path) -> Errors {
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    let at = path.child("maxUnavailable");
    let mut errors = percent::validate(unavailable, &at);
    errors.extend(percent::validate_unbounded(surge, &path.child("maxSurge")));
    if percent::number_of(unavailable) == 0 && percent::number_of(surge) == 0 {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(&at, unavailable.clone(), detail));
    }
    errors
}
