//! Tolerations, spread constraints, gates: what the scheduler reads.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{PodSpec, Toleration};
use serde_json::json;

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::selector::validate_label_selector;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks a list of tolerations.
pub(in crate::strategy) fn validate_tolerations(tolerations: &[Toleration], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, toleration) in tolerations.iter().enumerate() {
        errors.extend(validate_toleration(toleration, &path.index(n)));
    }
    errors
}

fn validate_toleration(toleration: &Toleration, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let key = toleration.key.as_deref().unwrap_or_default();
    let operator = toleration.operator.as_deref().unwrap_or_default();
    let value = toleration.value.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !key.is_empty() {
        let messages = names::qualified_name(key);
        errors.extend(messages.iter().map(|m| FieldError::invalid(&path.child("key"), key, m)));
    } else if operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&path.child("operator"), operator, detail));
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&path.child("effect"), effect, detail));
    }
    match operator {
        "Equal" | "" => {
            let messages = names::label_value(value);
            errors.extend(
                messages.iter().map(|m| FieldError::invalid(&path.child("operator"), value, m)),
            );
        }
        "Exists" if !value.is_empty() => {
            let shown = serde_json::to_value(toleration).unwrap_or_else(|_| json!({}));
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&path.child("operator"), shown, detail));
        }
        "Exists" => {}
        other => {
            errors.push(FieldError::not_supported(
                &path.child("operator"),
                other,
                &["Equal", "Exists"],
            ));
        }
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(&path.child("effect"), effect, EFFECTS));
    }
    errors
}

/// Spread constraints, readiness and scheduling gates, preemption.
pub(super) fn validate(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    let mut seen = HashSet::new();
    for (n, constraint) in constraints.iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(n);
        if constraint.max_skew <= 0 {
            errors.push(FieldError::invalid(
                &path.child("maxSkew"),
                constraint.max_skew,
                "must be greater than zero",
            ));
        }
        let key = constraint.topology_key.as_str();
        if key.is_empty() {
            errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
        } else {
            let messages = names::qualified_name(key);
            errors.extend(
                messages.iter().map(|m| FieldError::invalid(&path.child("topologyKey"), key, m)),
            );
        }
        let action = constraint.when_unsatisfiable.as_str();
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        if !supported.contains(&action) {
            errors.push(FieldError::not_supported(
                &path.child("whenUnsatisfiable"),
                action,
                &supported,
            ));
        }
        if !seen.insert((key, action)) {
            let shown = format!("{{{key}, {action}}}");
            errors.push(FieldError::duplicate(
                &path.child("{topologyKey, whenUnsatisfiable}"),
                shown,
            ));
        }
        errors.extend(validate_label_selector(
            constraint.label_selector.as_ref(),
            &path.child("labelSelector"),
        ));
    }
    for (n, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = path.child("readinessGates").index(n).child("conditionType");
        let messages = names::qualified_name(&gate.condition_type);
        errors.extend(
            messages.iter().map(|m| FieldError::invalid(&path, gate.condition_type.as_str(), m)),
        );
    }
    let gates = spec.scheduling_gates.as_deref().unwrap_or_default();
    let mut seen = HashSet::new();
    for (n, gate) in gates.iter().enumerate() {
        let path = path.child("schedulingGates").index(n);
        let messages = names::qualified_name(&gate.name);
        errors.extend(messages.iter().map(|m| FieldError::invalid(&path, gate.name.as_str(), m)));
        if !seen.insert(gate.name.as_str()) {
            errors.push(FieldError::duplicate(&path, gate.name.as_str()));
        }
    }
    if let Some(policy) = spec.preemption_policy.as_deref() {
        let supported = ["Never", "PreemptLowerPriority"];
        if !supported.contains(&policy) {
            errors.push(FieldError::not_supported(
                &path.child("preemptionPolicy"),
                policy,
                &supported,
            ));
        }
    }
    errors
}
