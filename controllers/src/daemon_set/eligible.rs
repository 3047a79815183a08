//! Whether a node is to have a pod of a DaemonSet. Pure.
//!
//! Source: k8s.io/kubernetes/pkg/controller/daemon (NodeShouldRunDaemonPod).

use k8s_openapi::api::core::v1::{Node, PodSpec, Taint, Toleration};
use kube::ResourceExt;

use crate::node_lifecycle::tolerates;

/// What a node and a DaemonSet's pods have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eligibility {
    /// The node is to have one.
    Run,
    /// The node gets none, but one that is there stays: it is only closed to new pods.
    Stay,
    /// The node is to have none.
    Leave,
}

/// Decides by node name, selector, required affinity and taints. `spec` has the tolerations that all
/// pods of DaemonSets have.
pub(super) fn of(node: &Node, spec: &PodSpec) -> Eligibility {
    let named = spec.node_name.as_deref().filter(|name| !name.is_empty());
    if named.is_some_and(|name| name != node.name_any()) || !is_selected(node, spec) {
        return Eligibility::Leave;
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let keeps_out =
        |effect: &str| taints.iter().any(|t| t.effect == effect && !is_tolerated(t, tolerations));
    if keeps_out("NoExecute") {
        Eligibility::Leave
    } else if keeps_out("NoSchedule") {
        Eligibility::Stay
    } else {
        Eligibility::Run
    }
}

fn is_tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

fn is_selected(node: &Node, spec: &PodSpec) -> bool {
    let labels = node.labels();
    let simple = spec.node_selector.iter().flatten();
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    simple.into_iter().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|r| api::node_selector::matches(r, &node.name_any(), labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decide(node: Value, spec: Value) -> Eligibility {
        let mut object =
            json!({"metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8"}}});
        object["spec"] = node;
        let mut pod = json!({"containers": []});
        for (field, value) in spec.as_object().unwrap() {
            pod[field] = value.clone();
        }
        of(&serde_json::from_value(object).unwrap(), &serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn taints_keep_out_or_drive_out() {
        let tainted =
            |effect: &str| json!({"taints": [{"key": "k", "value": "v", "effect": effect}]});
        let tolerant = || json!({"tolerations": [{"key": "k", "operator": "Exists"}]});
        for (case, node, spec, expected) in [
            ("clean", json!({}), json!({}), Eligibility::Run),
            ("closed", tainted("NoSchedule"), json!({}), Eligibility::Stay),
            ("driven out", tainted("NoExecute"), json!({}), Eligibility::Leave),
            ("only unwelcome", tainted("PreferNoSchedule"), json!({}), Eligibility::Run),
            ("tolerated", tainted("NoExecute"), tolerant(), Eligibility::Run),
            ("cordoned", json!({"unschedulable": true}), json!({}), Eligibility::Run),
        ] {
            assert_eq!(decide(node, spec), expected, "{case}");
        }
    }

    #[test]
    fn nodes_are_chosen_by_name_selector_and_affinity() {
        let affinity = |terms: Value| {
            json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
        };
        let term = |key: &str, operator: &str, values: Value| {
            affinity(json!([{"matchExpressions":
                [{"key": key, "operator": operator, "values": values}]}]))
        };
        for (spec, runs) in [
            (json!({"nodeName": "n1"}), true),
            (json!({"nodeName": "n2"}), false),
            (json!({"nodeSelector": {"disk": "ssd"}}), true),
            (json!({"nodeSelector": {"disk": "ssd", "gpu": "yes"}}), false),
            (term("disk", "In", json!(["ssd"])), true),
            (term("disk", "NotIn", json!(["ssd"])), false),
            (term("gpu", "NotIn", json!(["yes"])), true),
            (term("gpu", "Exists", json!([])), false),
            (term("gpu", "DoesNotExist", json!([])), true),
            (term("cores", "Gt", json!(["4"])), true),
            (term("cores", "Lt", json!(["4"])), false),
            (affinity(json!([])), false),
            (affinity(json!([{}])), false),
            (
                affinity(json!([{"matchFields": [{"key": "metadata.name", "operator": "In",
                    "values": ["n2"]}]}, {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}])),
                true,
            ),
        ] {
            let expected = if runs { Eligibility::Run } else { Eligibility::Leave };
            assert_eq!(decide(json!({}), spec.clone()), expected, "{spec}");
        }
    }
}
