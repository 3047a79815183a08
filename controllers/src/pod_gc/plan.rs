//! Which pods to remove. Pure.

use std::sync::Arc;

use api::pod as pods;
use k8s_openapi::api::core::v1::Pod;

/// Why a pod is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its node, by name, does not exist.
    NodeGone(String),
    /// It was deleted before it had a node.
    NeverPlaced,
    /// There are too many finished pods and it is among the oldest.
    Finished,
}

/// The pods to remove. `known` tells whether a node exists; a `threshold` of 0 keeps all finished
/// pods.
pub(super) fn plan(
    all: &[Arc<Pod>],
    known: impl Fn(&str) -> bool,
    threshold: usize,
) -> Vec<(Arc<Pod>, Reason)> {
    let mut removed = Vec::new();
    let mut finished = Vec::new();
    for pod in all {
        match pods::node_name(pod) {
            Some(node) if !known(node) => {
                removed.push((pod.clone(), Reason::NodeGone(node.to_owned())));
            }
            None if pods::is_terminating(pod) => removed.push((pod.clone(), Reason::NeverPlaced)),
            _ if pods::is_finished(pod) && !pods::is_terminating(pod) => finished.push(pod.clone()),
            _ => {}
        }
    }
    if threshold > 0 && finished.len() > threshold {
        finished.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let oldest = finished.len() - threshold;
        removed.extend(finished.into_iter().take(oldest).map(|pod| (pod, Reason::Finished)));
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::ResourceExt;
    use serde_json::{Value, json};

    fn pod(name: &str, node: Option<&str>, phase: &str, extra: Value) -> Arc<Pod> {
        let mut metadata = json!({"name": name});
        for (key, value) in extra.as_object().unwrap() {
            metadata[key] = value.clone();
        }
        Arc::new(
            serde_json::from_value(json!({"metadata": metadata,
                "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}}))
            .unwrap(),
        )
    }

    #[test]
    fn removes_what_nobody_else_will() {
        let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        let at = |second: u32| json!({"creationTimestamp": format!("2026-01-01T00:00:0{second}Z")});
        let all = [
            pod("fine", Some("here"), "Running", json!({})),
            pod("lost", Some("gone"), "Running", json!({})),
            pod("waiting", None, "Pending", json!({})),
            pod("unplaced", None, "Pending", going.clone()),
            pod("going", Some("here"), "Running", going),
            pod("new", Some("here"), "Failed", at(9)),
            pod("old", Some("here"), "Succeeded", at(1)),
        ];
        let run = |threshold| -> Vec<(String, Reason)> {
            plan(&all, |node| node == "here", threshold)
                .into_iter()
                .map(|(pod, reason)| (pod.name_any(), reason))
                .collect()
        };
        let always = [
            ("lost".to_owned(), Reason::NodeGone("gone".to_owned())),
            ("unplaced".to_owned(), Reason::NeverPlaced),
        ];
        assert_eq!(run(0), always);
        assert_eq!(run(2), always);
        assert_eq!(run(1)[2], ("old".to_owned(), Reason::Finished));
    }
}
