//! Which pods go first when there are too many.
//!
//! Those that are of least use: not yet on a node, not running, not ready; then what the user says
//! (`controller.kubernetes.io/pod-deletion-cost`), then crowded nodes, then the youngest.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use api::pod as pods;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts so that the pods to delete come first. `all` are the pods that count as company on a node.
pub(crate) fn sort_for_deletion(victims: &mut [Arc<Pod>], all: &[Arc<Pod>], now: Timestamp) {
    let mut company: HashMap<String, usize> = HashMap::new();
    for pod in all.iter().filter(|pod| pods::is_active(pod)) {
        if let Some(node) = pods::node_name(pod) {
            *company.entry(node.to_owned()).or_default() += 1;
        }
    }
    victims.sort_by(|a, b| compare(a, b, &company, now));
}

fn compare(a: &Pod, b: &Pod, company: &HashMap<String, usize>, now: Timestamp) -> Ordering {
    let company =
        |pod: &Pod| pods::node_name(pod).and_then(|n| company.get(n)).copied().unwrap_or(0);
    pods::node_name(a)
        .is_some()
        .cmp(&pods::node_name(b).is_some())
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| pods::is_ready(a).cmp(&pods::is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| Reverse(company(a)).cmp(&Reverse(company(b))))
        .then_with(|| age_class(ready_since(a), now).cmp(&age_class(ready_since(b), now)))
        .then_with(|| Reverse(restarts(a)).cmp(&Reverse(restarts(b))))
        .then_with(|| age_class(created(a), now).cmp(&age_class(created(b), now)))
        .then_with(|| a.uid().cmp(&b.uid()))
}

fn phase(pod: &Pod) -> u8 {
    match pods::phase(pod) {
        "Pending" | "" => 0,
        "Running" => 2,
        _ => 1,
    }
}

fn cost(pod: &Pod) -> i32 {
    pod.annotations().get(COST).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|s| s.restart_count).max().unwrap_or(0)
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    pods::condition(pod, "Ready")
        .filter(|c| c.status == "True")
        .and_then(|c| c.last_transition_time.as_ref())
        .map(|t| t.0)
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|t| t.0)
}

/// Ages that differ by less than a factor of two are equal, so that scaling down does not always
/// hit the newest pod. Unknown is youngest.
fn age_class(since: Option<Timestamp>, now: Timestamp) -> u32 {
    let Some(since) = since else { return 0 };
    let seconds = now.as_second().saturating_sub(since.as_second());
    u64::try_from(seconds).unwrap_or(0).checked_ilog2().map_or(0, |class| class + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(uid: &str, value: Value) -> Arc<Pod> {
        let mut value = value;
        value["metadata"]["uid"] = json!(uid);
        value["metadata"]["name"] = json!(uid);
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn running(uid: &str, node: &str, created: &str, ready: bool) -> Arc<Pod> {
        let ready = if ready { "True" } else { "False" };
        pod(
            uid,
            json!({"metadata": {"creationTimestamp": created}, "spec": {"nodeName": node,
            "containers": []}, "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": created}]}}),
        )
    }

    fn order(mut pods: Vec<Arc<Pod>>) -> Vec<String> {
        let all = pods.clone();
        sort_for_deletion(&mut pods, &all, "2026-01-02T00:00:00Z".parse().unwrap());
        pods.iter().map(|p| p.name_any()).collect()
    }

    #[test]
    fn least_useful_first() {
        let old = "2026-01-01T00:00:00Z";
        let young = "2026-01-01T23:59:50Z";
        let cheap = pod(
            "cheap",
            json!({"metadata": {"creationTimestamp": old,
            "annotations": {COST: "-5"}}, "spec": {"nodeName": "c", "containers": []},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": old}]}}),
        );
        assert_eq!(
            order(vec![
                running("old", "a", old, true),
                running("young", "b", young, true),
                cheap,
                running("unready", "a", old, false),
                pod(
                    "pending",
                    json!({"spec": {"nodeName": "a", "containers": []},
                    "status": {"phase": "Pending"}})
                ),
                pod("unassigned", json!({"spec": {"containers": []}})),
            ]),
            ["unassigned", "pending", "unready", "cheap", "old", "young"],
            "node a is crowded, so its old pod goes before the young one on b"
        );
    }

    #[test]
    fn on_equal_nodes_the_younger_goes() {
        assert_eq!(
            order(vec![
                running("old", "a", "2026-01-01T00:00:00Z", true),
                running("young", "b", "2026-01-01T23:59:50Z", true),
            ]),
            ["young", "old"]
        );
    }
}
