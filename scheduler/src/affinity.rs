//! A pod's wishes about the pods beside it: inter-pod affinity and anti-affinity, read once.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity>.

use std::collections::{BTreeMap, HashMap};

use api::selector::LabelSelector;
use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as SelectorObject;
use serde_json::{Value, json};

/// Labels of a pod, node or namespace.
pub type Labels = BTreeMap<String, String>;

/// Labels of the namespaces by name, for `namespaceSelector`.
pub type Namespaces = HashMap<String, Labels>;

/// One term: pods that match, in the nodes' groups that `topology_key` makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Node label whose value names the group.
    pub topology_key: Box<str>,
    /// Which pods are meant.
    pub selector: LabelSelector,
    /// Names of the namespaces they are in; the pod's own if the term names none at all.
    pub namespaces: Vec<String>,
    /// Further namespaces by their labels.
    pub namespace_selector: LabelSelector,
}

impl Term {
    /// Whether a pod with these labels in this namespace is meant.
    #[must_use]
    pub fn matches(&self, namespace: &str, labels: &Labels, namespaces: &Namespaces) -> bool {
        let selected = || match namespaces.get(namespace) {
            Some(labels) => self.namespace_selector.matches(labels),
            None => self.namespace_selector.matches(&Labels::new()),
        };
        (self.namespaces.iter().any(|name| name == namespace) || selected())
            && self.selector.matches(labels)
    }

    fn read(term: &PodAffinityTerm, namespace: &str, labels: &Labels) -> Self {
        let named = term.namespaces.clone().unwrap_or_default();
        let own = named.is_empty() && term.namespace_selector.is_none();
        let demands = [
            ("In", term.match_label_keys.as_deref().unwrap_or_default()),
            ("NotIn", term.mismatch_label_keys.as_deref().unwrap_or_default()),
        ];
        Self {
            topology_key: term.topology_key.as_str().into(),
            selector: selector(term.label_selector.as_ref(), &demands, labels),
            namespaces: if own { vec![namespace.to_owned()] } else { named },
            namespace_selector: selector(term.namespace_selector.as_ref(), &[], labels),
        }
    }
}

/// A term with a weight of 1 to 100.
pub type Weighted = (i32, Term);

/// All terms of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodAffinity {
    /// Every one must find a pod in the node's group.
    pub required: Vec<Term>,
    /// None may find a pod in the node's group.
    pub anti: Vec<Term>,
    /// Better with such pods.
    pub preferred: Vec<Weighted>,
    /// Better without such pods.
    pub preferred_anti: Vec<Weighted>,
}

impl PodAffinity {
    /// Reads a pod's terms; `None` if there are none, which is the case of nearly all pods.
    #[must_use]
    pub fn read(pod: &Pod) -> Option<Box<Self>> {
        let affinity = pod.spec.as_ref()?.affinity.as_ref()?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let terms = |terms: Option<&Vec<PodAffinityTerm>>| -> Vec<Term> {
            terms.into_iter().flatten().map(|t| Term::read(t, namespace, &labels)).collect()
        };
        let weighted = |terms: Option<&Vec<WeightedPodAffinityTerm>>| -> Vec<Weighted> {
            let read = |t: &WeightedPodAffinityTerm| {
                (t.weight, Term::read(&t.pod_affinity_term, namespace, &labels))
            };
            terms.into_iter().flatten().map(read).collect()
        };
        let (with, without) = (affinity.pod_affinity.as_ref(), affinity.pod_anti_affinity.as_ref());
        let read = Self {
            required: terms(
                with.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            anti: terms(
                without
                    .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred: weighted(
                with.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred_anti: weighted(
                without
                    .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
        };
        (read != Self::default()).then(|| Box::new(read))
    }
}

/// A selector with what `matchLabelKeys` and `mismatchLabelKeys` add to it: the pod's own values of
/// those labels, as `In` or `NotIn`. An absent selector selects nothing, and so does one that cannot
/// be read (the API server refuses those).
pub(crate) fn selector(
    object: Option<&SelectorObject>,
    keys: &[(&str, &[String])],
    labels: &Labels,
) -> LabelSelector {
    let Some(object) = object else { return LabelSelector::nothing() };
    let mut object = serde_json::to_value(object).unwrap_or(Value::Null);
    for (operator, keys) in keys {
        for (key, value) in keys.iter().filter_map(|key| labels.get_key_value(key)) {
            let more = json!({"key": key, "operator": operator, "values": [value]});
            match object["matchExpressions"].as_array_mut() {
                Some(expressions) => expressions.push(more),
                None => object["matchExpressions"] = json!([more]),
            }
        }
    }
    LabelSelector::from_object(&object).unwrap_or_else(|_| LabelSelector::nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn terms_find_pods_by_namespace_and_labels() {
        let namespaces = Namespaces::from([
            ("own".to_owned(), labels(&[])),
            ("team".to_owned(), labels(&[("team", "x")])),
        ]);
        let app = json!({"matchLabels": {"app": "a"}});
        for (term, namespace, matches) in [
            (json!({"labelSelector": app}), "own", true),
            (json!({"labelSelector": app}), "team", false),
            (json!({"labelSelector": app, "namespaces": ["team"]}), "team", true),
            (json!({"labelSelector": app, "namespaces": ["team"]}), "own", false),
            (json!({"labelSelector": app, "namespaceSelector": {}}), "team", true),
            (
                json!({"labelSelector": app, "namespaceSelector": {"matchLabels": {"team": "x"}}}),
                "own",
                false,
            ),
            (
                json!({"labelSelector": app, "namespaceSelector": {"matchLabels": {"team": "x"}}}),
                "team",
                true,
            ),
            (json!({}), "own", false),
            (json!({"labelSelector": {}}), "own", true),
            (json!({"labelSelector": app, "matchLabelKeys": ["v", "absent"]}), "own", true),
            (json!({"labelSelector": app, "mismatchLabelKeys": ["v"]}), "own", false),
        ] {
            let mut full = term.clone();
            full["topologyKey"] = json!("zone");
            let own = labels(&[("app", "a"), ("v", "1")]);
            let read = Term::read(&serde_json::from_value(full).unwrap(), "own", &own);
            assert_eq!(read.matches(namespace, &own, &namespaces), matches, "{term} {namespace}");
        }
    }
}
