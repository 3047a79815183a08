//! DaemonSet.

use serde_json::{Value, json};

use super::{REVISION_HISTORY, default_workload, immutable_selector};
use crate::field::{Errors, FieldError, Path};
use crate::selector::LabelSelector;
use crate::strategy::{Strategy, bounds, keep_field, percent, selector, set_default, template};

/// Counts the changes of the template; in older versions of the API a field of the spec.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Counts that a status always shows.
const COUNTS: [&str; 4] =
    ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"];

#[derive(Debug)]
pub(crate) struct DaemonSet;

impl Strategy for DaemonSet {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        default_workload(object);
        set_template_generation(object, template_generation(object));
        let spec = &mut object["spec"];
        set_default(spec, "revisionHistoryLimit", REVISION_HISTORY);
        set_default(spec, "updateStrategy", json!({}));
        let strategy = &mut spec["updateStrategy"];
        if strategy["type"].as_str().unwrap_or_default().is_empty() {
            strategy["type"] = "RollingUpdate".into();
        }
        if strategy["type"] == "RollingUpdate" {
            set_default(strategy, "rollingUpdate", json!({}));
            set_default(&mut strategy["rollingUpdate"], "maxUnavailable", 1);
            set_default(&mut strategy["rollingUpdate"], "maxSurge", 0);
        }
        for count in COUNTS {
            set_default(&mut object["status"], count, 0);
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = COUNTS.iter().map(|count| ((*count).to_owned(), json!(0))).collect();
        set_template_generation(object, template_generation(object).max(1));
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
        let had = template_generation(old);
        let changed = new["spec"]["template"] != old["spec"]["template"];
        set_template_generation(new, if changed { had.saturating_add(1) } else { had });
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let (found, at) = (&spec["selector"], path.child("selector"));
        let mut errors = selector::validate_value(found, &at);
        let (template, template_path) = (&spec["template"], path.child("template"));
        if let Ok(found) = LabelSelector::from_object(found) {
            errors.extend(template::matches(&found, template, &template_path));
        }
        if !found.is_null() && selector::is_empty(found) {
            let detail = "empty selector is invalid for daemonset";
            errors.push(FieldError::invalid(&at, found.clone(), detail));
        }
        errors.extend(template::validate(template, &template_path));
        errors.extend(template::runs_for_ever(template, "DaemonSet", &template_path));
        errors.extend(bounds::none_negative(spec, &path, &["minReadySeconds"]));
        errors.extend(validate_strategy(&spec["updateStrategy"], &path.child("updateStrategy")));
        errors.extend(bounds::none_negative(spec, &path, &["revisionHistoryLimit"]));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        errors.extend(immutable_selector(new, old));
        errors
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        template::warnings(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        let path = Path::new("status");
        let (new, old) = (&new["status"], &old["status"]);
        let mut errors = bounds::none_negative(new, &path, &COUNTS);
        let others = &[
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        errors.extend(bounds::none_negative(new, &path, others));
        errors.extend(bounds::not_decremented(new, old, &path, "collisionCount"));
        errors
    }
}

fn template_generation(object: &Value) -> i64 {
    let text = object["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(object: &mut Value, generation: i64) {
    set_default(&mut object["metadata"], "annotations", json!({}));
    object["metadata"]["annotations"][TEMPLATE_GENERATION] = generation.to_string().into();
}

fn validate_strategy(strategy: &Value, path: &Path) -> Errors {
    match strategy["type"].as_str().unwrap_or_default() {
        "OnDelete" => Errors::new(),
        "RollingUpdate" => {
            validate_rolling_update(&strategy["rollingUpdate"], &path.child("rollingUpdate"))
        }
        _ => {
            let supported = &["RollingUpdate", "OnDelete"];
            vec![FieldError::not_supported(path, strategy.clone(), supported)]
        }
    }
}

fn validate_rolling_update(rolling: &Value, path: &Path) -> Errors {
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    let (at, surge_path) = (path.child("maxUnavailable"), path.child("maxSurge"));
    let mut errors = percent::validate(unavailable, &at);
    errors.extend(percent::validate(surge, &surge_path));
    match (percent::number_of(unavailable) != 0, percent::number_of(surge) != 0) {
        (true, true) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.push(FieldError::invalid(&surge_path, surge.clone(), detail));
        }
        (false, false) => {
            errors.push(FieldError::required(&at, "cannot be 0 when maxSurge is 0"));
        }
        _ => {}
    }
    errors
}
