//! `nodeSelector` and node affinity.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/>.

use api::node_selector::{matches, term_matches};

use crate::configuration::NodeAffinityArguments;
use crate::diagnosis::Diagnosis;
use crate::framework::{Change, Filter, Rejection, Score, normalize_to_max};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Filter: `spec.nodeSelector` and required affinity must match, and what the profile requires of all
/// pods. Score: the weights of the preferred terms that match.
#[derive(Debug, Default)]
pub struct NodeAffinity {
    added: NodeAffinityArguments,
}

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";
const ENFORCED: &str = "node(s) didn't match scheduler-enforced node affinity";

impl NodeAffinity {
    /// With affinity that every pod gets.
    #[must_use]
    pub fn new(added: &NodeAffinityArguments) -> Self {
        Self { added: added.clone() }
    }

    /// The names a pod is pinned to, if every term of its required affinity names nodes (as
    /// DaemonSets write them). Then only those nodes need to be looked at.
    pub(crate) fn pinned(pod: &PodInfo) -> Option<Vec<&str>> {
        let mut names = Vec::new();
        for term in &pod.demands.affinity.as_ref()?.node_selector_terms {
            let by_name = term
                .match_fields
                .iter()
                .flatten()
                .find(|field| field.key == "metadata.name" && field.operator == "In")?;
            names.extend(by_name.values.iter().flatten().map(String::as_str));
        }
        Some(names)
    }

    /// Counts the nodes that were not asked because the pod is pinned to others: all but the first
    /// `asked`. `position` is that of this filter.
    pub(crate) fn count_unasked(position: usize, diagnosis: &mut Diagnosis, asked: usize) {
        let unasked = diagnosis.nodes.saturating_sub(asked);
        diagnosis.count(position, &Rejection::unresolvable(REASON), unasked);
    }
}

/// Whether the node is among those that the pod asks for.
pub(crate) fn wants(pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> bool {
    let demands = &pod.demands;
    demands.node_selector.iter().all(|(key, value)| offer.labels.get(key) == Some(value))
        && demands.affinity.as_ref().is_none_or(|wanted| matches(wanted, &node.name, &offer.labels))
}

impl Filter for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        let enforced = self.added.required.as_ref();
        if enforced.is_some_and(|wanted| !matches(wanted, &node.name, &offer.labels)) {
            return Err(Rejection::unresolvable(ENFORCED));
        }
        if wants(pod, node, offer) { Ok(()) } else { Err(Rejection::unresolvable(REASON)) }
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeLabels)
    }
}

impl Score for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> i64 {
        pod.demands
            .preferred
            .iter()
            .chain(&self.added.preferred)
            .filter(|p| term_matches(&p.preference, &node.name, &offer.labels))
            .map(|p| i64::from(p.weight))
            .sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_to_max(scores, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::{Value, json};

    fn required(term: Value) -> Value {
        json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}})
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        required(json!({"matchExpressions": [
            {"key": key, "operator": operator, "values": values}]}))
    }

    #[test]
    fn selector_and_affinity_table() {
        let n = node("n1", json!({"metadata": {"labels": {"disk": "ssd", "cores": "8"}}}));
        let offer = n.offer.clone().unwrap();
        let by_name = |operator: &str| {
            required(json!({"matchFields": [
                {"key": "metadata.name", "operator": operator, "values": ["n1"]}]}))
        };
        for (spec, fits) in [
            (json!({"nodeSelector": {"disk": "ssd"}}), true),
            (json!({"nodeSelector": {"disk": "hdd"}}), false),
            (json!({"nodeSelector": {"absent": "x"}}), false),
            (expression("disk", "In", &["hdd", "ssd"]), true),
            (expression("disk", "NotIn", &["ssd"]), false),
            (expression("absent", "NotIn", &["ssd"]), true),
            (expression("disk", "Exists", &[]), true),
            (expression("absent", "DoesNotExist", &[]), true),
            (expression("cores", "Gt", &["4"]), true),
            (expression("cores", "Lt", &["8"]), false),
            (expression("disk", "Gt", &["1"]), false),
            (by_name("In"), true),
            (by_name("NotIn"), false),
            (required(json!({})), false),
        ] {
            let verdict = NodeAffinity::default().filter(&pod(spec.clone()), &n, &offer);
            assert_eq!(verdict.is_ok(), fits, "{spec}");
        }
    }

    #[test]
    fn preferred_terms_add_their_weights() {
        let p = pod(json!({"affinity": {"nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 10, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
                {"weight": 5, "preference": {"matchExpressions": [{"key": "b", "operator": "Exists"}]}}]}}}));
        let n = node("n", json!({"metadata": {"labels": {"a": "1", "b": "1"}}}));
        assert_eq!(NodeAffinity::default().score(&p, &n, n.offer.as_ref().unwrap()), 15);
    }

    #[test]
    fn pins_are_found_only_when_every_term_names_nodes() {
        let pin = json!({"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["n7"]}]});
        assert_eq!(NodeAffinity::pinned(&pod(required(pin))), Some(vec!["n7"]));
        assert_eq!(NodeAffinity::pinned(&pod(expression("a", "Exists", &[]))), None);
        assert_eq!(NodeAffinity::pinned(&pod(json!({}))), None);
    }

    #[test]
    fn a_profile_adds_to_what_pods_ask_for() {
        let term = |key: &str| json!({"matchExpressions": [{"key": key, "operator": "Exists"}]});
        let added = NodeAffinityArguments {
            required: Some(
                serde_json::from_value(json!({"nodeSelectorTerms": [term("pool")]})).unwrap(),
            ),
            preferred: vec![
                serde_json::from_value(json!({"weight": 7, "preference": term("fast")})).unwrap(),
            ],
        };
        let plugin = NodeAffinity::new(&added);
        let p = pod(json!({"nodeSelector": {"disk": "ssd"}}));
        for (labels, reason, score) in [
            (json!({"disk": "ssd"}), Some(ENFORCED), 0),
            (json!({"pool": "a"}), Some(REASON), 0),
            (json!({"disk": "ssd", "pool": "a"}), None, 0),
            (json!({"disk": "ssd", "pool": "a", "fast": ""}), None, 7),
        ] {
            let n = node("n", json!({"metadata": {"labels": labels}}));
            let offer = n.offer.clone().unwrap();
            let refused = plugin.filter(&p, &n, &offer).err().map(|it| it.reasons.concat());
            assert_eq!(refused.as_deref(), reason, "{labels}");
            assert_eq!(plugin.score(&p, &n, &offer), score, "{labels}");
        }
    }
}
