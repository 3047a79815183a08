//! PodDisruptionBudget. Source: k8s.io/kubernetes/pkg/apis/policy/validation.

use serde_json::{Value, json};

use super::{Strategy, conditions, keep_field, percent, selector, set_default};
use crate::field::{Errors, FieldError, Path};
use crate::names::NameRule;

const EVICTION_POLICIES: &[&str] = &["AlwaysAllow", "IfHealthyBudget"];
const COUNTS: &[&str] = &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];

#[derive(Debug)]
pub(crate) struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    /// The eviction handler counts on nobody writing over its status.
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(object, "status", json!({}));
        for field in COUNTS {
            set_default(&mut object["status"], field, 0);
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = COUNTS.iter().map(|field| ((*field).to_owned(), json!(0))).collect();
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Errors::new();
        if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(FieldError::invalid(&path, spec.clone(), detail));
        }
        for field in ["minAvailable", "maxUnavailable"] {
            errors.extend(percent::validate(&spec[field], &path.child(field)));
        }
        errors.extend(selector::validate_value(&spec["selector"], &path.child("selector")));
        let policy = spec["unhealthyPodEvictionPolicy"].as_str();
        if let Some(policy) = policy.filter(|policy| !EVICTION_POLICIES.contains(policy)) {
            let path = path.child("unhealthyPodEvictionPolicy");
            errors.push(FieldError::not_supported(&path, policy, EVICTION_POLICIES));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let (status, path) = (&new["status"], Path::new("status"));
        let mut errors = conditions::validate(&status["conditions"], &path.child("conditions"));
        for field in COUNTS {
            if let Some(n) = status[*field].as_i64().filter(|n| *n < 0) {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(&path.child(field), n, detail));
            }
        }
        errors
    }
}
