//! `nodeSelector` and node affinity.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/>.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use crate::diagnosis::Diagnosis;
use crate::framework::{Change, Filter, Framework, Rejection, Score, normalize_to_max};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Filter: `spec.nodeSelector` and required affinity must match.
/// Score: the weights of the preferred terms that match.
#[derive(Debug)]
pub struct NodeAffinity;

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

impl NodeAffinity {
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
    /// `asked`.
    pub(crate) fn count_unasked(framework: &Framework, diagnosis: &mut Diagnosis, asked: usize) {
        let position = framework.filters.iter().position(|f| f.name() == Filter::name(&Self));
        for _ in asked..diagnosis.nodes {
            diagnosis.count(position.unwrap_or_default(), Rejection::unresolvable(REASON));
        }
    }
}

fn selector_matches(selector: &NodeSelector, node: &NodeInfo, offer: &Offer) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, node, offer))
}

/// A term without any requirement matches nothing.
fn term_matches(term: &NodeSelectorTerm, node: &NodeInfo, offer: &Offer) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if labels.is_empty() && fields.is_empty() {
        return false;
    }
    labels.iter().all(|r| requirement_matches(r, offer.labels.get(&r.key).map(String::as_str)))
        && fields
            .iter()
            .all(|r| requirement_matches(r, (r.key == "metadata.name").then_some(&*node.name)))
}

fn requirement_matches(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |value: &str| values.iter().any(|v| v == value);
    let compared = |holds: fn(i64, i64) -> bool| {
        let (Some(have), [bound]) = (value.and_then(|v| v.parse().ok()), values) else {
            return false;
        };
        bound.parse().is_ok_and(|bound| holds(have, bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|have, bound| have > bound),
        "Lt" => compared(|have, bound| have < bound),
        _ => false,
    }
}

impl Filter for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        let selected = pod
            .demands
            .node_selector
            .iter()
            .all(|(key, value)| offer.labels.get(key) == Some(value));
        let affine = pod
            .demands
            .affinity
            .as_ref()
            .is_none_or(|selector| selector_matches(selector, node, offer));
        if selected && affine {
            return Ok(());
        }
        Err(Rejection::unresolvable(REASON))
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeLabels)
    }
}

impl Score for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> i64 {
        pod.demands
            .preferred
            .iter()
            .filter(|p| term_matches(&p.preference, node, offer))
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
            let verdict = NodeAffinity.filter(&pod(spec.clone()), &n, &offer);
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
        assert_eq!(Score::score(&NodeAffinity, &p, &n, n.offer.as_ref().unwrap()), 15);
    }

    #[test]
    fn pins_are_found_only_when_every_term_names_nodes() {
        let pin = json!({"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["n7"]}]});
        assert_eq!(NodeAffinity::pinned(&pod(required(pin))), Some(vec!["n7"]));
        assert_eq!(NodeAffinity::pinned(&pod(expression("a", "Exists", &[]))), None);
        assert_eq!(NodeAffinity::pinned(&pod(json!({}))), None);
    }
}
