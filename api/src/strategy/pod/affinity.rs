//! Node and pod affinity.

use k8s_openapi::api::core::v1::{
    Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
};

use super::label_keys;
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::selector::{validate_label_selector, validate_values};

const NO_OPERATOR: &str = "not a valid selector operator";
const WEIGHT: &str = "must be in the range 1-100";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn validate(affinity: &Affinity, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(node) = &affinity.node_affinity {
        let path = path.child("nodeAffinity");
        if let Some(required) = &node.required_during_scheduling_ignored_during_execution {
            errors.extend(validate_node_selector(required, &path.child(REQUIRED)));
        }
        for (n, preferred) in
            node.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate()
        {
            let path = path.child(PREFERRED).index(n);
            errors.extend(weight(preferred.weight, &path.child("weight")));
            errors.extend(node_term(&preferred.preference, false, &path.child("preference")));
        }
    }
    let pods = affinity.pod_affinity.as_ref().map(|a| {
        (
            &a.required_during_scheduling_ignored_during_execution,
            &a.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let anti = affinity.pod_anti_affinity.as_ref().map(|a| {
        (
            &a.required_during_scheduling_ignored_during_execution,
            &a.preferred_during_scheduling_ignored_during_execution,
        )
    });
    for (field, terms) in [("podAffinity", pods), ("podAntiAffinity", anti)] {
        let Some((required, preferred)) = terms else { continue };
        for (n, term) in required.iter().flatten().enumerate() {
            errors.extend(pod_term(term, &path.child(field).child(REQUIRED).index(n)));
        }
        for (n, term) in preferred.iter().flatten().enumerate() {
            let path = path.child(field).child(PREFERRED).index(n);
            errors.extend(weight(term.weight, &path.child("weight")));
            errors.extend(pod_term(&term.pod_affinity_term, &path.child("podAffinityTerm")));
        }
    }
    errors
}

/// Checks a NodeSelector, of a pod or of a volume.
pub(in crate::strategy) fn validate_node_selector(selector: &NodeSelector, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let path = path.child("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        errors.push(FieldError::required(&path, "must have at least one node selector term"));
    }
    for (n, term) in selector.node_selector_terms.iter().enumerate() {
        errors.extend(node_term(term, true, &path.index(n)));
    }
    errors
}

fn weight(weight: i32, path: &Path) -> Option<FieldError> {
    (!(1..=100).contains(&weight)).then(|| FieldError::invalid(path, weight, WEIGHT))
}

/// Checks a term. A preferred one may name values that no label can have: it then fits nowhere.
fn node_term(term: &NodeSelectorTerm, required: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, requirement) in term.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(n);
        errors.extend(label_requirement(requirement, required, &path));
    }
    for (n, requirement) in term.match_fields.iter().flatten().enumerate() {
        errors.extend(field_requirement(requirement, &path.child("matchFields").index(n)));
    }
    errors
}

fn label_requirement(requirement: &NodeSelectorRequirement, required: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (values, at) = (requirement.values.as_deref().unwrap_or_default(), path.child("values"));
    errors.extend(validate_values(&requirement.operator, values, &at));
    match requirement.operator.as_str() {
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&at, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, NO_OPERATOR)),
    }
    let key = requirement.key.as_str();
    let messages = names::qualified_name(key);
    errors.extend(FieldError::invalid_each(&path.child("key"), key, &messages));
    for (n, value) in values.iter().enumerate().filter(|_| required) {
        errors.extend(FieldError::invalid_each(&at.index(n), value, &names::label_value(value)));
    }
    errors
}

/// Of the fields of a node, its name can be asked for.
fn field_requirement(requirement: &NodeSelectorRequirement, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (values, at) = (requirement.values.as_deref().unwrap_or_default(), path.child("values"));
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.len() != 1 => {
            let detail =
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&at, detail));
        }
        "In" | "NotIn" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, NO_OPERATOR)),
    }
    if requirement.key != "metadata.name" {
        let detail = "not a valid field selector key";
        errors.push(FieldError::invalid(&path.child("key"), requirement.key.as_str(), detail));
        return errors;
    }
    for (n, value) in values.iter().enumerate() {
        let messages = names::dns1123_subdomain(value);
        errors.extend(FieldError::invalid_each(&at.index(n), value, &messages));
    }
    errors
}

fn pod_term(term: &PodAffinityTerm, path: &Path) -> Errors {
    let selector = term.label_selector.as_ref();
    let mut errors = validate_label_selector(selector, &path.child("labelSelector"));
    errors.extend(validate_label_selector(
        term.namespace_selector.as_ref(),
        &path.child("namespaceSelector"),
    ));
    for name in term.namespaces.iter().flatten() {
        // Kubernetes does not say which.
        let path = path.child("namespace");
        errors.extend(FieldError::invalid_each(&path, name, &names::dns1123_label(name)));
    }
    let keys = term.match_label_keys.as_deref().unwrap_or_default();
    let other = term.mismatch_label_keys.as_deref().unwrap_or_default();
    errors.extend(label_keys::validate(keys, other, selector, path));
    let (key, path) = (term.topology_key.as_str(), path.child("topologyKey"));
    if key.is_empty() {
        errors.push(FieldError::required(&path, "can not be empty"));
    }
    errors.extend(FieldError::invalid_each(&path, key, &names::qualified_name(key)));
    errors
}
