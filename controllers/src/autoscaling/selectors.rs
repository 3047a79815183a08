//! Whether pods are scaled by several autoscalers: none of them may then. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use api::selector::LabelSelector;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::informer::Key;

/// The pods that each autoscaler scales.
pub(super) type Selectors = HashMap<Key, LabelSelector>;

/// The autoscalers in a namespace that scale any of these pods, sorted.
pub(super) fn scaling(selectors: &Selectors, namespace: &str, pods: &[Arc<Pod>]) -> Vec<Key> {
    let scales = |selector: &LabelSelector| pods.iter().any(|pod| selector.matches(pod.labels()));
    let mut found: Vec<Key> = selectors
        .iter()
        .filter(|(key, selector)| key.namespace == namespace && scales(selector))
        .map(|(key, _)| key.clone())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn autoscalers_meet_at_a_pod() {
        let parse = |text: &str| LabelSelector::parse(text).unwrap();
        let selectors: Selectors = [
            (Key::new("a", "b"), parse("app=x")),
            (Key::new("a", "a"), parse("app=x,tier=y")),
            (Key::new("a", "other"), parse("app=z")),
            (Key::new("n", "elsewhere"), parse("app=x")),
        ]
        .into();
        let pod = |labels: serde_json::Value| -> Arc<Pod> {
            let pod = json!({"metadata": {"name": "p", "labels": labels}});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        for (pods, want) in [
            (vec![], vec![]),
            (vec![pod(json!({"app": "x"}))], vec!["a/b"]),
            (vec![pod(json!({"app": "x", "tier": "y"}))], vec!["a/a", "a/b"]),
            (vec![pod(json!({"app": "x"})), pod(json!({"app": "z"}))], vec!["a/b", "a/other"]),
        ] {
            let found = scaling(&selectors, "a", &pods);
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, want);
        }
    }
}
