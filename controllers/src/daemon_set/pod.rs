//! The pod of a DaemonSet: meant for one node, and staying there through most troubles of the node. Pure.
//!
//! The default scheduler binds it: it gets the node by a required affinity to the node's name.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
    PodTemplateSpec, Toleration,
};
use kube::ResourceExt;

use crate::workload::history::REVISION_HASH;
use crate::workload::template;

/// Counts the changes of the template; kept by the API server as an annotation.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// The same on a pod.
const POD_TEMPLATE_GENERATION: &str = "pod-template-generation";

/// Taints of a node's troubles that every pod of a DaemonSet tolerates: it is often what helps.
const TROUBLES: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// One that pods in the node's own network tolerate: some of them set it up.
const NO_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The set's template with the tolerations of all its pods.
pub(super) fn tolerant(set: &DaemonSet) -> PodTemplateSpec {
    let mut template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let spec = template.spec.get_or_insert_default();
    let host_network = spec.host_network == Some(true);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TROUBLES.into_iter().chain(host_network.then_some(NO_NETWORK)) {
        let wanted = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let same = |t: &Toleration| {
            t.key == wanted.key && t.effect == wanted.effect && t.operator == wanted.operator
        };
        match tolerations.iter_mut().find(|toleration| same(toleration)) {
            Some(found) => *found = wanted,
            None => tolerations.push(wanted),
        }
    }
    template
}

/// The pod for a node. `template` is tolerant, `hash` that of the present revision.
pub(super) fn pod(set: &DaemonSet, template: &PodTemplateSpec, node: &str, hash: &str) -> Pod {
    let mut pod = template::pod(set, template);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_HASH.to_owned(), hash.to_owned());
    if let Some(generation) = set.annotations().get(TEMPLATE_GENERATION) {
        labels.insert(POD_TEMPLATE_GENERATION.to_owned(), generation.clone());
    }
    let affinity = pod.spec.get_or_insert_default().affinity.get_or_insert_default();
    let name = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![name]), match_expressions: None };
    // What the template requires of a node was checked: this node has it.
    affinity.node_affinity = Some(NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(NodeSelector {
            node_selector_terms: vec![term],
        }),
        ..affinity.node_affinity.take().unwrap_or_default()
    });
    pod
}

/// The node that a pod runs on or is meant for.
pub(super) fn node(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    api::pod::node_name(pod).or_else(|| meant_for(spec))
}

fn meant_for(spec: &PodSpec) -> Option<&str> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    let mut named = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
    named.find_map(|field| field.values.as_ref()?.first()).map(String::as_str)
}

/// Whether a pod is of the present template.
pub(super) fn is_updated(set: &DaemonSet, pod: &Pod, hash: &str) -> bool {
    let labels = pod.labels();
    let generation = set.annotations().get(TEMPLATE_GENERATION);
    labels.get(REVISION_HASH).is_some_and(|label| label == hash)
        || generation.is_some() && labels.get(POD_TEMPLATE_GENERATION) == generation
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn set(spec: Value) -> DaemonSet {
        serde_json::from_value(json!({
            "metadata": {"name": "ds", "namespace": "n", "uid": "1",
                "annotations": {"deprecated.daemonset.template.generation": "3"}},
            "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "a"}},
                "spec": spec}}}))
        .unwrap()
    }

    #[test]
    fn pods_are_meant_for_a_node_and_labelled() {
        let own = json!({"nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution":
                [{"weight": 1, "preference": {}}],
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
                [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}}});
        let set = set(json!({"containers": [], "affinity": own}));
        let made = pod(&set, &tolerant(&set), "n1", "abc");
        assert_eq!(made.metadata.generate_name.as_deref(), Some("ds-"));
        let labels = json!({"app": "a", "controller-revision-hash": "abc",
            "pod-template-generation": "3"});
        assert_eq!(json!(made.labels()), labels);
        assert_eq!(node(&made), Some("n1"));
        let affinity = made.spec.clone().unwrap().affinity.unwrap().node_affinity.unwrap();
        let preferred = affinity.preferred_during_scheduling_ignored_during_execution;
        assert_eq!(preferred.map(|all| all.len()), Some(1), "the rest of the affinity stays");
        let mut bound = made.clone();
        bound.spec.as_mut().unwrap().node_name = Some("n2".to_owned());
        assert_eq!(node(&bound), Some("n2"));

        assert!(is_updated(&set, &made, "abc"));
        assert!(is_updated(&set, &made, "other"), "by the generation");
        let mut changed = set.clone();
        changed.annotations_mut().insert(TEMPLATE_GENERATION.to_owned(), "4".to_owned());
        assert!(!is_updated(&changed, &made, "other"));
    }

    #[test]
    fn troubles_of_the_node_are_tolerated() {
        let count = |spec: Value| tolerant(&set(spec)).spec.unwrap().tolerations.unwrap();
        assert_eq!(count(json!({"containers": []})).len(), 6);
        assert_eq!(count(json!({"containers": [], "hostNetwork": true})).len(), 7);
        let own = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists",
            "effect": "NoExecute", "tolerationSeconds": 5}]);
        let found = count(json!({"containers": [], "tolerations": own}));
        assert_eq!((found.len(), found[0].toleration_seconds), (6, None), "for ever");
    }
}
