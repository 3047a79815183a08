//! StatefulSet.

use serde_json::{Value, json};

use super::{REVISION_HISTORY, default_workload, required_selector, validate_counts};
use crate::field::{Errors, FieldError, Path};
use crate::names::{self, NameRule};
use crate::selector::LabelSelector;
use crate::strategy::core::persistent_volume_claim as claim;
use crate::strategy::{Strategy, bounds, each, keep_field, percent, set_default, template};

const IMMUTABLE: &str = "updates to statefulset spec for fields other than 'replicas', \
    'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', \
    'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// The fields of the spec that may change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

#[derive(Debug)]
pub(crate) struct StatefulSet;

impl Strategy for StatefulSet {
    /// Names of pods, and so host names, are made from it.
    fn name_rule(&self) -> NameRule {
        NameRule::Label
    }

    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        default_workload(object);
        let spec = &mut object["spec"];
        set_default(spec, "replicas", 1);
        set_default(spec, "serviceName", "");
        set_default(spec, "revisionHistoryLimit", REVISION_HISTORY);
        set_default(spec, "podManagementPolicy", "OrderedReady");
        if spec["updateStrategy"]["type"].as_str().unwrap_or_default().is_empty() {
            set_default(spec, "updateStrategy", json!({}));
            spec["updateStrategy"]["type"] = "RollingUpdate".into();
            set_default(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
        }
        if spec["updateStrategy"]["type"] == "RollingUpdate"
            && spec["updateStrategy"]["rollingUpdate"].is_object()
        {
            set_default(&mut spec["updateStrategy"]["rollingUpdate"], "partition", 0);
        }
        set_default(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
        for when in ["whenDeleted", "whenScaled"] {
            set_default(&mut spec["persistentVolumeClaimRetentionPolicy"], when, "Retain");
        }
        for template in each(spec, "/volumeClaimTemplates") {
            set_default(template, "apiVersion", "v1");
            set_default(template, "kind", "PersistentVolumeClaim");
            set_default(template, "metadata", json!({}));
            claim::default(template);
        }
        set_default(&mut object["status"], "replicas", 0);
        set_default(&mut object["status"], "availableReplicas", 0);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"replicas": 0, "availableReplicas": 0});
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = validate_policies(spec, &path);
        errors.extend(bounds::none_negative(spec, &path, &["replicas", "minReadySeconds"]));
        let start = &spec["ordinals"]["start"];
        errors.extend(bounds::not_negative(start, &path.child("ordinals.start")));
        errors.extend(required_selector(spec, "statefulset", &path));
        if let Some(name) = spec["serviceName"].as_str().filter(|name| !name.is_empty()) {
            let at = path.child("serviceName");
            let messages = names::dns1123_label(name);
            errors.extend(messages.iter().map(|m| FieldError::invalid(&at, name, m)));
        }
        errors.extend(validate_template(spec, &path));
        let claims = spec["volumeClaimTemplates"].as_array().into_iter().flatten();
        for (n, template) in claims.enumerate() {
            let path = path.child("volumeClaimTemplates").index(n).child("spec");
            errors.extend(claim::validate_spec(&template["spec"], &path));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        let mut same = new["spec"].clone();
        for field in MUTABLE {
            keep_field(&mut same, &old["spec"], field);
        }
        if same != old["spec"] {
            errors.push(FieldError::forbidden(&Path::new("spec"), IMMUTABLE));
        }
        errors
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        let mut told = template::warnings(new, old);
        for (n, claim) in
            new["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten().enumerate()
        {
            let at = Path::new("spec").child("volumeClaimTemplates").index(n);
            // So it is named by Kubernetes.
            let at = if old.is_null() { at } else { at.child("Spec") };
            told.extend(claim::warnings_of_spec(&claim["spec"], &at));
        }
        if new["spec"]["revisionHistoryLimit"].as_i64().is_some_and(|limit| limit < 0) {
            told.push(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a \
                 value >= 0 is recommended"
                    .to_owned(),
            );
        }
        told
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        let parts = &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        let others = &["observedGeneration", "collisionCount"];
        let mut errors = validate_counts(new, parts, others, "status.readyReplicas");
        let path = Path::new("status");
        let (new, old) = (&new["status"], &old["status"]);
        errors.extend(bounds::not_decremented(new, old, &path, "collisionCount"));
        errors
    }
}

fn validate_policies(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let policy = spec["podManagementPolicy"].as_str().unwrap_or_default();
    let at = path.child("podManagementPolicy");
    match policy {
        "" => errors.push(FieldError::required(&at, "")),
        "OrderedReady" | "Parallel" => {}
        _ => {
            let detail = "must be 'OrderedReady' or 'Parallel'";
            errors.push(FieldError::invalid(&at, policy, detail));
        }
    }
    let (strategy, at) = (&spec["updateStrategy"], path.child("updateStrategy"));
    let (rolling, rolling_path) = (&strategy["rollingUpdate"], at.child("rollingUpdate"));
    match strategy["type"].as_str().unwrap_or_default() {
        "OnDelete" if rolling.is_null() => {}
        "OnDelete" => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::invalid(&rolling_path, rolling.clone(), detail));
        }
        "RollingUpdate" => errors.extend(validate_rolling_update(rolling, &rolling_path)),
        _ => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(&at, strategy.clone(), detail));
        }
    }
    for when in ["whenDeleted", "whenScaled"] {
        let policy = &spec["persistentVolumeClaimRetentionPolicy"][when];
        let at = path.child("persistentVolumeClaimRetentionPolicy").child(when);
        if !matches!(policy.as_str(), Some("Retain" | "Delete")) {
            errors.push(FieldError::not_supported(&at, policy.clone(), &["Retain", "Delete"]));
        }
    }
    errors
}

fn validate_rolling_update(rolling: &Value, path: &Path) -> Errors {
    let mut errors = bounds::none_negative(rolling, path, &["partition"]);
    let (unavailable, at) = (&rolling["maxUnavailable"], path.child("maxUnavailable"));
    if !unavailable.is_null() {
        errors.extend(percent::validate(unavailable, &at));
        if percent::number_of(unavailable) == 0 {
            errors.push(FieldError::invalid(&at, unavailable.clone(), "cannot be 0"));
        }
    }
    errors
}

/// The pods have a volume for each claim besides those of the template.
fn validate_template(spec: &Value, path: &Path) -> Errors {
    let at = path.child("template");
    let found = match LabelSelector::from_object(&spec["selector"]) {
        Ok(found) => found,
        Err(_) => {
            let shown = spec["selector"].clone();
            return vec![FieldError::invalid(&path.child("selector"), shown, "")];
        }
    };
    let mut errors = Errors::new();
    if !found.is_everything() {
        errors.extend(template::matches(&found, &spec["template"], &at));
    }
    let mut whole = spec["template"].clone();
    let claims = spec["volumeClaimTemplates"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !claims.is_empty() {
        let mut volumes = whole["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let names: Vec<&Value> = claims.iter().map(|claim| &claim["metadata"]["name"]).collect();
        // A claim replaces the volume of its name.
        volumes.retain(|volume| !names.contains(&&volume["name"]));
        volumes.extend(
            names
                .into_iter()
                .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})),
        );
        whole["spec"]["volumes"] = volumes.into();
    }
    errors.extend(template::validate(&whole, &at));
    errors.extend(template::runs_for_ever(&whole, "StatefulSet", &at));
    errors
}
