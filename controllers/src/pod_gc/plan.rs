//! Which pods to remove. Pure.

use std::sync::Arc;

use api::pod as pods;
use k8s_openapi::api::core::v1::{Node, Pod};

/// The taint of a node of which somebody knows that it is shut down or broken.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What is known of a pod's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It exists.
    There,
    /// It exists, is not ready, and somebody has declared it out of service.
    OutOfService,
    /// It does not exist.
    Gone,
}

/// Why a pod is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its node, by name, does not exist.
    NodeGone(String),
    /// It was deleted, and nobody will stop it on its node.
    NodeOutOfService,
    /// It was deleted before it had a node.
    NeverPlaced,
    /// There are too many finished pods and it is among the oldest.
    Finished,
}

impl Reason {
    /// The node that has to be gone.
    pub(super) fn missing_node(&self) -> Option<&str> {
        if let Self::NodeGone(node) = self { Some(node) } else { None }
    }

    /// What the pod's condition `DisruptionTarget` says, if it gets one.
    pub(super) fn message(&self) -> Option<&'static str> {
        matches!(self, Self::NodeGone(_)).then_some("PodGC: node no longer exists")
    }
}

/// Whether deleted pods of the node are to be given up.
pub(super) fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    taints.is_some_and(|taints| taints.iter().any(|taint| taint.key == OUT_OF_SERVICE))
        && !conditions
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// The pods to remove. `place` tells what is known of a node; a `threshold` of 0 keeps all finished
/// pods.
pub(super) fn plan(
    all: &[Arc<Pod>],
    place: impl Fn(&str) -> Place,
    threshold: usize,
) -> Vec<(Arc<Pod>, Reason)> {
    let mut removed = Vec::new();
    let mut finished = Vec::new();
    for pod in all.iter().filter(|pod| !is_let_go(pod)) {
        let terminating = pods::is_terminating(pod);
        match pods::node_name(pod).map(|node| (node, place(node))) {
            Some((node, Place::Gone)) => {
                removed.push((pod.clone(), Reason::NodeGone(node.to_owned())));
            }
            Some((_, Place::OutOfService)) if terminating => {
                removed.push((pod.clone(), Reason::NodeOutOfService));
            }
            None if terminating => removed.push((pod.clone(), Reason::NeverPlaced)),
            _ if pods::is_finished(pod) && !terminating => finished.push(pod.clone()),
            _ => {}
        }
    }
    if threshold > 0 && finished.len() > threshold {
        finished.sort_by_key(|pod| {
            let created = pod.metadata.creation_timestamp.clone();
            (!is_evicted(pod), created, pod.metadata.name.clone())
        });
        let oldest = finished.len() - threshold;
        removed.extend(finished.into_iter().take(oldest).map(|pod| (pod, Reason::Finished)));
    }
    removed
}

/// Whether nothing is left to do here: it has ended and is deleted without grace, and a finalizer of
/// somebody keeps it.
fn is_let_go(pod: &Pod) -> bool {
    pods::is_finished(pod)
        && pods::is_terminating(pod)
        && pod.metadata.deletion_grace_period_seconds.unwrap_or(0) == 0
        && pod.metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())
}

/// Whether a node has thrown it out to save itself: of finished pods, these go first.
fn is_evicted(pod: &Pod) -> bool {
    let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
    pods::phase(pod) == "Failed" && reason == Some("Evicted")
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
        let held = |grace: i64| {
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["f"],
                "deletionGracePeriodSeconds": grace})
        };
        let at = |second: u32| json!({"creationTimestamp": format!("2026-01-01T00:00:0{second}Z")});
        let all = [
            pod("fine", Some("here"), "Running", json!({})),
            pod("lost", Some("gone"), "Running", json!({})),
            pod("waiting", None, "Pending", json!({})),
            pod("unplaced", None, "Pending", going.clone()),
            pod("going", Some("here"), "Running", going.clone()),
            pod("given-up", Some("off"), "Running", going.clone()),
            pod("still-there", Some("off"), "Running", json!({})),
            pod("kept", Some("gone"), "Failed", held(0)),
            pod("not-forced", Some("gone"), "Failed", held(30)),
            pod("new", Some("here"), "Failed", at(9)),
            pod("old", Some("here"), "Succeeded", at(1)),
        ];
        let run = |threshold| -> Vec<(String, Reason)> {
            let place = |node: &str| match node {
                "here" => Place::There,
                "off" => Place::OutOfService,
                _ => Place::Gone,
            };
            plan(&all, place, threshold)
                .into_iter()
                .map(|(pod, reason)| (pod.name_any(), reason))
                .collect()
        };
        let always = [
            ("lost".to_owned(), Reason::NodeGone("gone".to_owned())),
            ("unplaced".to_owned(), Reason::NeverPlaced),
            ("given-up".to_owned(), Reason::NodeOutOfService),
            ("not-forced".to_owned(), Reason::NodeGone("gone".to_owned())),
        ];
        assert_eq!(run(0), always);
        assert_eq!(run(2), always);
        assert_eq!(run(1)[4], ("old".to_owned(), Reason::Finished));
    }

    #[test]
    fn of_finished_pods_evicted_ones_go_first_then_the_oldest() {
        let pod = |name: &str, second: u32, reason: &str| -> Arc<Pod> {
            let created = format!("2026-01-01T00:00:0{second}Z");
            let pod = json!({"metadata": {"name": name, "creationTimestamp": created},
                "spec": {"nodeName": "here", "containers": []},
                "status": {"phase": "Failed", "reason": reason}});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        let all = [pod("c", 1, ""), pod("b", 1, ""), pod("a", 2, ""), pod("evicted", 9, "Evicted")];
        let gone = plan(&all, |_| Place::There, 1);
        let names: Vec<String> = gone.iter().map(|(pod, _)| pod.name_any()).collect();
        assert_eq!(names, ["evicted", "b", "c"]);
    }

    #[test]
    fn a_node_is_out_of_service_when_somebody_says_so_and_it_does_not_deny_it() {
        for (key, ready, wanted) in [
            (OUT_OF_SERVICE, "Unknown", true),
            (OUT_OF_SERVICE, "False", true),
            (OUT_OF_SERVICE, "True", false),
            ("node.kubernetes.io/unreachable", "Unknown", false),
        ] {
            let node: Node = serde_json::from_value(json!({
                "spec": {"taints": [{"key": key, "value": "nodeshutdown", "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
            .unwrap();
            assert_eq!(is_out_of_service(&node), wanted, "{key} {ready}");
        }
    }
}
