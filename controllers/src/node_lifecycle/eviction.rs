//! When a `NoExecute` taint evicts a pod. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

use crate::informer::Key;

/// What to do with a pod on a tainted node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eviction {
    /// It may stay.
    None,
    /// It has to go.
    Now,
    /// It has to go after this long, if the taint is still there.
    After(Duration),
}

/// What is to be done about the pods of a node.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// They have to go now.
    pub(super) go: Vec<Arc<Pod>>,
    /// They were to go later, and may stay now.
    pub(super) stay: Vec<Arc<Pod>>,
    /// They have to go later,
    pub(super) later: BTreeSet<Key>,
    /// the first of them after this long.
    pub(super) next: Option<Duration>,
}

/// Decides about the pods of a node, of which those in `later` were to go later.
pub(super) fn plan(all: &[Arc<Pod>], node: &Node, later: &BTreeSet<Key>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for pod in all.iter().filter(|pod| !pods::is_terminating(pod)) {
        let key = Key::of(&**pod);
        match of(pod, node, now) {
            Eviction::None if later.contains(&key) => plan.stay.push(pod.clone()),
            Eviction::None => {}
            Eviction::Now => plan.go.push(pod.clone()),
            Eviction::After(wait) => {
                plan.later.insert(key);
                plan.next = Some(plan.next.map_or(wait, |next| next.min(wait)));
            }
        }
    }
    plan
}

/// Decides about one pod.
///
/// A taint without a matching toleration evicts at once; the shortest `tolerationSeconds` among the
/// matching ones counts, from when the taint was added; a toleration without seconds stays for ever.
fn of(pod: &Pod, node: &Node, now: Timestamp) -> Eviction {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations =
        pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut deadline: Option<Timestamp> = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let matching: Vec<&Toleration> =
            tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Eviction::Now;
        }
        let Some(seconds) = matching.iter().filter_map(|t| t.toleration_seconds).min() else {
            continue;
        };
        if seconds <= 0 {
            return Eviction::Now;
        }
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let until = Timestamp::from_second(since.as_second().saturating_add(seconds))
            .unwrap_or(Timestamp::MAX);
        deadline = Some(deadline.map_or(until, |earlier| earlier.min(until)));
    }
    match deadline {
        None => Eviction::None,
        Some(until) => match Duration::try_from(until.duration_since(now)) {
            Ok(wait) if !wait.is_zero() => Eviction::After(wait),
            _ => Eviction::Now,
        },
    }
}

/// Whether a toleration is for a taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let unset = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    if !unset(&toleration.effect) && toleration.effect.as_deref() != Some(&taint.effect) {
        return false;
    }
    if !unset(&toleration.key) && toleration.key.as_deref() != Some(&taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("") {
        "Exists" => true,
        "" | "Equal" => {
            !unset(&toleration.key)
                && toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or("")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decide(taints: Value, tolerations: Value) -> Eviction {
        let node: Node = serde_json::from_value(json!({"spec": {"taints": taints}})).unwrap();
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"containers": [], "tolerations": tolerations}}))
                .unwrap();
        of(&pod, &node, "2026-01-01T00:01:00Z".parse().unwrap())
    }

    #[test]
    fn eviction_table() {
        let taint = json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute",
            "timeAdded": "2026-01-01T00:00:00Z"}]);
        let for_seconds = |seconds: i64| {
            json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
                "effect": "NoExecute", "tolerationSeconds": seconds}])
        };
        assert_eq!(decide(json!([]), json!([])), Eviction::None);
        assert_eq!(
            decide(json!([{"key": "k", "effect": "NoSchedule"}]), json!([])),
            Eviction::None
        );
        assert_eq!(decide(taint.clone(), json!([])), Eviction::Now);
        assert_eq!(decide(taint.clone(), json!([{"operator": "Exists"}])), Eviction::None);
        assert_eq!(
            decide(taint.clone(), for_seconds(300)),
            Eviction::After(Duration::from_secs(240)),
            "60 of 300 seconds are over"
        );
        assert_eq!(decide(taint.clone(), for_seconds(60)), Eviction::Now);
        assert_eq!(decide(taint.clone(), for_seconds(0)), Eviction::Now);
        let both = json!([{"operator": "Exists", "tolerationSeconds": 90},
            {"operator": "Exists", "tolerationSeconds": 300}]);
        assert_eq!(decide(taint, both), Eviction::After(Duration::from_secs(30)));
    }

    #[test]
    fn pods_that_were_to_go_may_stay_when_the_taint_goes_in_time() {
        let pod = |name: &str, seconds: Option<i64>, going: bool| -> Arc<Pod> {
            let mut pod = json!({"metadata": {"name": name, "namespace": "n"},
                "spec": {"containers": [], "tolerations": [
                    {"operator": "Exists", "tolerationSeconds": seconds}]}});
            if going {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        let all = [
            pod("loyal", None, false),
            pod("patient", Some(300), false),
            pod("brief", Some(90), false),
            pod("over", Some(60), false),
            pod("going", Some(0), true),
        ];
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let tainted: Node = serde_json::from_value(json!({"spec": {"taints": [{"key": "k",
            "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]}}))
        .unwrap();
        let key = |name: &str| Key::new("n", name);
        let names = |pods: &[Arc<Pod>]| {
            pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>()
        };

        let first = plan(&all, &tainted, &BTreeSet::new(), now);
        assert_eq!(names(&first.go), ["over"]);
        assert!(first.stay.is_empty());
        assert_eq!(first.later, BTreeSet::from([key("patient"), key("brief")]));
        assert_eq!(first.next, Some(Duration::from_secs(30)));

        let second = plan(&all, &Node::default(), &first.later, now);
        assert_eq!(names(&second.stay), ["patient", "brief"]);
        assert_eq!((&second.go, &second.later, second.next), (&vec![], &BTreeSet::new(), None));
        assert_eq!(plan(&all, &Node::default(), &second.later, now), Plan::default());
    }
}
