//! Node and pod affinity.

use k8s_openapi::api::core::v1::{Affinity, NodeSelector, NodeSelectorTerm, PodAffinityTerm};

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::selector::validate_label_selector;

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
            errors.extend(node_term(&preferred.preference, &path.child("preference")));
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
        errors.extend(node_term(term, &path.index(n)));
    }
    errors
}

fn weight(weight: i32, path: &Path) -> Option<FieldError> {
    (!(1..=100).contains(&weight)).then(|| FieldError::invalid(path, weight, WEIGHT))
}

fn node_term(term: &NodeSelectorTerm, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (field, list) in
        [("matchExpressions", &term.match_expressions), ("matchFields", &term.match_fields)]
    {
        for (n, requirement) in list.iter().flatten().enumerate() {
            let path = path.child(field).index(n);
            let values = requirement.values.as_deref().unwrap_or_default();
            match requirement.operator.as_str() {
                "In" | "NotIn" if values.is_empty() => {
                    let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(FieldError::required(&path.child("values"), detail));
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    let detail =
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(FieldError::forbidden(&path.child("values"), detail));
                }
                "Gt" | "Lt" if values.len() != 1 => {
                    let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                    errors.push(FieldError::required(&path.child("values"), detail));
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
                other => {
                    let detail = "not a valid selector operator";
                    errors.push(FieldError::invalid(&path.child("operator"), other, detail));
                }
            }
            let key = requirement.key.as_str();
            if field == "matchFields" && key != "metadata.name" {
                let detail = "not a valid field selector key";
                errors.push(FieldError::invalid(&path.child("key"), key, detail));
            } else if field == "matchExpressions" {
                let messages = names::qualified_name(key);
                errors.extend(
                    messages.iter().map(|m| FieldError::invalid(&path.child("key"), key, m)),
                );
            }
        }
    }
    errors
}

fn pod_term(term: &PodAffinityTerm, path: &Path) -> Errors {
    let mut errors =
        validate_label_selector(term.label_selector.as_ref(), &path.child("labelSelector"));
    errors.extend(validate_label_selector(
        term.namespace_selector.as_ref(),
        &path.child("namespaceSelector"),
    ));
    for (n, name) in term.namespaces.iter().flatten().enumerate() {
        let path = path.child("namespaces").index(n);
        errors.extend(
            names::dns1123_label(name).iter().map(|m| FieldError::invalid(&path, name.as_str(), m)),
        );
    }
    if term.topology_key.is_empty() {
        errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
    } else {
        let key = term.topology_key.as_str();
        let messages = names::qualified_name(key);
        errors.extend(
            messages.iter().map(|m| FieldError::invalid(&path.child("topologyKey"), key, m)),
        );
    }
    errors
}
