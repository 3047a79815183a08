//! HorizontalPodAutoscaler: two versions of the same objects.
//!
//! `autoscaling/v2` is the stored form and has all the rules; `autoscaling/v1` is a view of it that
//! has one metric in its spec and carries the rest in annotations ([`convert`]).
//! Source: k8s.io/kubernetes/pkg/apis/autoscaling.

mod convert;
mod metrics;
#[cfg(test)]
mod tests;
mod validate;

use serde_json::{Value, json};

use super::{Strategy, keep_all_but_status, keep_field, object_at, set_default};
use crate::field::Errors;
use crate::meta;

/// The wanted CPU utilization in percent, if nothing else is asked for.
const DEFAULT_CPU: i64 = 80;

/// The strategy of `autoscaling/v2`.
#[derive(Debug)]
pub(crate) struct V2;

/// The strategy of `autoscaling/v1`.
#[derive(Debug)]
pub(crate) struct V1;

impl Strategy for V2 {
    fn default(&self, object: &mut Value) {
        convert::drop_annotations(object);
        set_default(object, "spec", json!({}));
        let spec = &mut object["spec"];
        set_default(spec, "scaleTargetRef", json!({}));
        set_default(spec, "minReplicas", 1);
        if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
            spec["metrics"] = json!([cpu_metric(DEFAULT_CPU)]);
        }
        if let Some(behavior) = object_at(spec, "/behavior") {
            default_rules(behavior, "scaleUp");
            default_rules(behavior, "scaleDown");
        }
        default_status(object);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        meta::remove(object, "status");
        default_status(object);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Errors {
        validate::autoscaler(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        validate::autoscaler(new, Some(old))
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        validate::status(new)
    }
}

/// Everything goes through the stored form, so that both versions have the same rules.
impl Strategy for V1 {
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        through_v2(object, |object| V2.default(object));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        through_v2(object, |object| V2.prepare_for_create(object));
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        through_v2(new, |new| V2.prepare_for_update(new, &convert::to_v2(old)));
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        through_v2(new, |new| keep_all_but_status(new, &convert::to_v2(old)));
    }

    fn validate(&self, object: &Value) -> Errors {
        V2.validate(&convert::to_v2(object))
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        V2.validate_update(&convert::to_v2(new), &convert::to_v2(old))
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        V2.validate_status_update(&convert::to_v2(new), &convert::to_v2(old))
    }

    fn to_stored(&self, object: Value) -> Value {
        convert::to_v2(&object)
    }

    fn from_stored(&self, stored: Value) -> Value {
        convert::to_v1(&stored)
    }
}

fn through_v2(object: &mut Value, change: impl FnOnce(&mut Value)) {
    let mut stored = convert::to_v2(object);
    change(&mut stored);
    *object = convert::to_v1(&stored);
}

fn cpu_metric(percent: i64) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": percent}}})
}

fn default_status(object: &mut Value) {
    set_default(object, "status", json!({}));
    let status = &mut object["status"];
    set_default(status, "desiredReplicas", 0);
    // Kubernetes writes the list even when there is none.
    set_default(status, "currentMetrics", Value::Null);
}

/// Up at once, by 4 pods or twofold each 15 seconds; down at once by all, after the controller's own
/// stabilization window.
fn default_rules(behavior: &mut Value, direction: &str) {
    set_default(behavior, direction, json!({}));
    let rules = &mut behavior[direction];
    let double = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    if direction == "scaleUp" {
        set_default(rules, "stabilizationWindowSeconds", 0);
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        set_default(rules, "policies", json!([pods, double]));
    } else {
        set_default(rules, "policies", json!([double]));
    }
    set_default(rules, "selectPolicy", "Max");
}
