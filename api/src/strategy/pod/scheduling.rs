//! Tolerations, spread constraints, gates: what the scheduler reads.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{PodSpec, Toleration, TopologySpreadConstraint};

use super::label_keys;

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
        errors.extend(FieldError::invalid_each(&path.child("key"), key, &messages));
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
            if !messages.is_empty() {
                let path = path.child("operator");
                errors.push(FieldError::invalid(&path, value, &messages.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&path.child("operator"), value, detail));
        }
        "Exists" => {}
        other => {
            // Comparisons have names already, but are not switched on.
            let all = ["Equal", "Exists", "Lt", "Gt"];
            let supported = if matches!(other, "Lt" | "Gt") { &all[..] } else { &all[..2] };
            errors.push(FieldError::not_supported(&path.child("operator"), other, supported));
        }
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(&path.child("effect"), effect, EFFECTS));
    }
    errors
}

/// Readiness gates, scheduling gates and spread constraints.
pub(super) fn validate(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = path.child("readinessGates").index(n).child("conditionType");
        let kind = gate.condition_type.as_str();
        errors.extend(FieldError::invalid_each(&path, kind, &names::qualified_name(kind)));
    }
    let gates = spec.scheduling_gates.as_deref().unwrap_or_default();
    let mut seen = HashSet::new();
    for (n, gate) in gates.iter().enumerate() {
        let path = path.child("schedulingGates").index(n);
        let name = gate.name.as_str();
        errors.extend(FieldError::invalid_each(&path, name, &names::qualified_name(name)));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
    }
    let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    for (n, constraint) in constraints.iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(n);
        errors.extend(validate_spread(constraint, &constraints[n + 1..], &path));
    }
    errors
}

/// Checks one constraint; `rest` are those after it, which must not say the same again.
fn validate_spread(
    constraint: &TopologySpreadConstraint,
    rest: &[TopologySpreadConstraint],
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let mut positive = |field: &str, number: i32| {
        if number <= 0 {
            let detail = "must be greater than zero";
            errors.push(FieldError::invalid(&path.child(field), number, detail));
        }
    };
    positive("maxSkew", constraint.max_skew);
    let domains = constraint.min_domains;
    if let Some(domains) = domains {
        positive("minDomains", domains);
    }
    let key = constraint.topology_key.as_str();
    if key.is_empty() {
        errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
    }
    let action = constraint.when_unsatisfiable.as_str();
    let supported = ["DoNotSchedule", "ScheduleAnyway"];
    if !supported.contains(&action) {
        let path = path.child("whenUnsatisfiable");
        errors.push(FieldError::not_supported(&path, action, &supported));
    }
    if rest.iter().any(|more| more.topology_key == key && more.when_unsatisfiable == action) {
        let path = path.child("{topologyKey, whenUnsatisfiable}");
        errors.push(FieldError::duplicate(&path, format!("{{{key}, {action}}}")));
    }
    if let Some(domains) = domains.filter(|_| action != "DoNotSchedule") {
        let detail =
            format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(FieldError::invalid(&path.child("minDomains"), domains, &detail));
    }
    for (field, policy) in [
        ("nodeAffinityPolicy", &constraint.node_affinity_policy),
        ("nodeTaintsPolicy", &constraint.node_taints_policy),
    ] {
        let supported = ["Honor", "Ignore"];
        if let Some(policy) = policy.as_deref().filter(|policy| !supported.contains(policy)) {
            errors.push(FieldError::not_supported(&path.child(field), policy, &supported));
        }
    }
    let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
    let selector = constraint.label_selector.as_ref();
    errors.extend(label_keys::validate(keys, &[], selector, path));
    errors.extend(validate_label_selector(selector, &path.child("labelSelector")));
    errors
}

/// Checks whether the pod may take the place of others.
pub(super) fn validate_preemption(spec: &PodSpec, path: &Path) -> Option<FieldError> {
    let (path, supported) = (path.child("preemptionPolicy"), ["PreemptLowerPriority", "Never"]);
    match spec.preemption_policy.as_deref()? {
        "" => Some(FieldError::required(&path, "")),
        policy if supported.contains(&policy) => None,
        policy => Some(FieldError::not_supported(&path, policy, &supported)),
    }
}
