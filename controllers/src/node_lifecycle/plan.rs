//! A node's conditions and taints. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// What a living node changes from time to time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signs {
    renewed: Option<MicroTime>,
    /// Status and heartbeat of the `Ready` condition, unless it is the Unknown written here.
    ready: Option<(String, Option<Time>)>,
}

impl Signs {
    pub(super) fn of(node: &Node, lease: Option<&Lease>) -> Self {
        Self {
            renewed: lease
                .and_then(|lease| lease.spec.as_ref())
                .and_then(|spec| spec.renew_time.clone()),
            ready: condition(node, "Ready")
                .filter(|c| c.status != "Unknown")
                .map(|c| (c.status.clone(), c.last_heartbeat_time.clone())),
        }
    }
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn condition_status<'a>(node: &'a Node, kind: &str) -> Option<&'a str> {
    condition(node, kind).map(|c| c.status.as_str())
}

/// When to look at a node again that has been silent for so long: when its grace is over, and a whole
/// grace later once it is.
pub(super) fn next_look(grace: Duration, silent: Duration) -> Duration {
    grace.checked_sub(silent).filter(|left| !left.is_zero()).unwrap_or(grace)
}

/// For how long a node may be silent. One that has never said how it is may be starting: it has half as
/// long again (Kubernetes: 60 s instead of 40 s).
pub(super) fn grace(node: &Node, grace: Duration) -> Duration {
    if condition(node, "Ready").is_some() { grace } else { grace * 3 / 2 }
}

/// Whether the node says that it is ready.
pub(super) fn is_ready(node: &Node) -> bool {
    condition_status(node, "Ready") == Some("True")
}

/// Whether the node is known not to be ready. A new node that has not said anything yet is given the
/// time it takes.
pub(super) fn is_not_ready(node: &Node) -> bool {
    condition_status(node, "Ready").is_some_and(|status| status != "True")
}

/// Whether the node has a taint that evicts.
pub(super) fn evicts(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.is_some_and(|taints| taints.iter().any(|taint| taint.effect == "NoExecute"))
}

/// The conditions of a node that is not heard from, or none if they say so already.
pub(super) fn unknown_conditions(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let mut conditions =
        node.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    let mut changed = false;
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        let known = conditions.iter_mut().find(|c| c.type_ == kind);
        let (reason, message) = if known.is_some() {
            ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        } else {
            ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
        };
        let unknown = NodeCondition {
            type_: kind.to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: match &known {
                Some(known) => known.last_heartbeat_time.clone(),
                None => node.metadata.creation_timestamp.clone(),
            },
            last_transition_time: Some(Time(now)),
        };
        match known {
            Some(known) if known.status == "Unknown" => {}
            Some(known) => {
                *known = unknown;
                changed = true;
            }
            None => {
                conditions.push(unknown);
                changed = true;
            }
        }
    }
    changed.then_some(conditions)
}

/// What becomes of the `NoExecute` taints `not-ready` and `unreachable` of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Execution {
    /// The node is ready, or has never said how it is: it has none.
    None,
    /// It has one, and gets the right one if it has the other.
    Goes,
    /// It needs one; others may come first.
    Asks,
    /// It needs one after this long: others may turn out to be as silent, and what looks like a
    /// node that is gone is one that cannot be heard.
    Waits(Duration),
}

/// See [`Execution`]. A node that has fallen silent waits for an eighth of the grace: the 5 s (of 40 s)
/// until Kubernetes looks at it again.
pub(super) fn execution(node: &Node, grace: Duration, now: Timestamp) -> Execution {
    let Some(ready) = condition(node, "Ready").filter(|ready| ready.status != "True") else {
        return Execution::None;
    };
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    if taints.iter().any(|taint| taint.effect == "NoExecute" && is_ours(taint)) {
        return Execution::Goes;
    }
    let since = ready.last_transition_time.as_ref().filter(|_| ready.status == "Unknown");
    let passed = since.map(|since| Duration::try_from(now.duration_since(since.0)));
    // A time to come was written by another clock.
    let passed = passed.map_or(grace, Result::unwrap_or_default);
    match (grace / 8).checked_sub(passed) {
        Some(left) if !left.is_zero() => Execution::Waits(left),
        _ => Execution::Asks,
    }
}

/// The node's taints as its conditions ask for, or none if they are right; those that evict only if
/// it `executes`. Taints of others are left alone; a taint that stays keeps the time it was added.
pub(super) fn taints(node: &Node, executes: bool, now: Timestamp) -> Option<Vec<Taint>> {
    let current = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let wanted = wanted(node, executes);
    // The API server taints a new node; what has not said that it is ready keeps the taint.
    let starting = condition(node, "Ready").is_none();
    let mut taints: Vec<Taint> = current
        .iter()
        .filter(|taint| {
            !is_ours(taint)
                || wanted.iter().any(|w| same(w, taint))
                || (starting && taint.key == NOT_READY && taint.effect == "NoSchedule")
        })
        .cloned()
        .collect();
    for taint in wanted {
        if !taints.iter().any(|have| same(have, &taint)) {
            let time_added = (taint.effect == "NoExecute").then_some(Time(now));
            taints.push(Taint { time_added, ..taint });
        }
    }
    (taints != current).then_some(taints)
}

fn same(a: &Taint, b: &Taint) -> bool {
    a.key == b.key && a.effect == b.effect
}

/// By condition: the type, the status that taints, the taint's key.
const TABLE: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

fn is_ours(taint: &Taint) -> bool {
    let scheduling = taint.effect == "NoSchedule"
        && (taint.key == UNSCHEDULABLE || TABLE.iter().any(|(_, _, key)| *key == taint.key));
    let executing = taint.effect == "NoExecute" && [NOT_READY, UNREACHABLE].contains(&&*taint.key);
    scheduling || executing
}

fn wanted(node: &Node, executes: bool) -> Vec<Taint> {
    let taint = |key: &str, effect: &str| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        ..Taint::default()
    };
    let mut wanted = Vec::new();
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push(taint(UNSCHEDULABLE, "NoSchedule"));
    }
    for (kind, status, key) in TABLE {
        if condition_status(node, kind) == Some(status) {
            wanted.push(taint(key, "NoSchedule"));
            if kind == "Ready" && executes {
                wanted.push(taint(key, "NoExecute"));
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn node(ready: &str, taints: Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": ready,
                "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap()
    }

    fn names(taints: Option<Vec<Taint>>) -> Option<Vec<String>> {
        taints.map(|taints| taints.iter().map(|t| format!("{}:{}", t.key, t.effect)).collect())
    }

    const NOW: &str = "2026-01-01T00:10:00Z";

    #[test]
    fn a_node_is_looked_at_when_its_grace_is_over_and_not_at_once_again() {
        let seconds = Duration::from_secs;
        for (silent, next) in [(0, 40), (15, 25), (39, 1), (40, 40), (75, 40)] {
            assert_eq!(next_look(seconds(40), seconds(silent)), seconds(next), "after {silent} s");
        }
    }

    #[test]
    fn taints_follow_readiness() {
        let not_ready =
            [format!("{NOT_READY}:NoSchedule"), format!("{NOT_READY}:NoExecute")].to_vec();
        let unreachable =
            [format!("{UNREACHABLE}:NoSchedule"), format!("{UNREACHABLE}:NoExecute")].to_vec();
        assert_eq!(taints(&node("True", json!([])), true, at(NOW)), None);
        let kept_away = [format!("{NOT_READY}:NoSchedule")].to_vec();
        assert_eq!(names(taints(&node("False", json!([])), false, at(NOW))), Some(kept_away));
        assert_eq!(names(taints(&node("False", json!([])), true, at(NOW))), Some(not_ready));
        let lost = taints(&node("Unknown", json!([])), true, at(NOW));
        assert_eq!(names(lost.clone()), Some(unreachable));
        let added = |taints: &[Taint]| taints[1].time_added.clone();
        assert_eq!(added(lost.as_ref().unwrap()), Some(Time(at(NOW))));

        // Unchanged: nothing to write, so the time it was added stays.
        let mut same = node("Unknown", json!([]));
        same.spec.as_mut().unwrap().taints = lost.clone();
        assert_eq!(taints(&same, true, at("2026-01-01T05:00:00Z")), None);
        // From unreachable to not ready, and back to ready; others' taints stay.
        let mut back = node("True", json!([]));
        let mut mixed = lost.unwrap();
        mixed.push(Taint { key: "gpu".into(), effect: "NoSchedule".into(), ..Taint::default() });
        back.spec.as_mut().unwrap().taints = Some(mixed);
        assert_eq!(names(taints(&back, true, at(NOW))), Some(vec!["gpu:NoSchedule".to_owned()]));
    }

    #[test]
    fn a_node_that_falls_silent_is_not_emptied_at_once() {
        let grace = Duration::from_secs(40);
        let since = |ready: &str, taints: Value, time: &str| {
            let mut node = node(ready, taints);
            let conditions = node.status.as_mut().unwrap().conditions.as_mut().unwrap();
            conditions[0].last_transition_time = Some(Time(at(time)));
            execution(&node, grace, at(NOW))
        };
        let taint = |key: &str| json!([{"key": key, "effect": "NoExecute"}]);
        let seconds = Duration::from_secs;
        for (ready, taints, time, wanted) in [
            ("True", json!([]), "2026-01-01T00:00:00Z", Execution::None),
            ("True", taint(UNREACHABLE), "2026-01-01T00:00:00Z", Execution::None),
            ("Unknown", taint(UNREACHABLE), "2026-01-01T00:10:00Z", Execution::Goes),
            ("Unknown", taint(NOT_READY), "2026-01-01T00:10:00Z", Execution::Goes),
            ("Unknown", taint("gpu"), "2026-01-01T00:09:00Z", Execution::Asks),
            ("Unknown", json!([]), "2026-01-01T00:09:58Z", Execution::Waits(seconds(3))),
            ("Unknown", json!([]), "2026-01-01T00:09:55Z", Execution::Asks),
            ("Unknown", json!([]), "2026-01-01T08:00:00Z", Execution::Waits(seconds(5))),
            ("False", json!([]), "2026-01-01T00:10:00Z", Execution::Asks),
        ] {
            assert_eq!(since(ready, taints.clone(), time), wanted, "{ready} {taints} {time}");
        }
        assert_eq!(execution(&Node::default(), grace, at(NOW)), Execution::None);
        assert_eq!(execution(&node("Unknown", json!([])), grace, at(NOW)), Execution::Asks);
    }

    #[test]
    fn a_node_that_starts_has_longer() {
        let (forty, sixty) = (Duration::from_secs(40), Duration::from_secs(60));
        assert_eq!(grace(&node("True", json!([])), forty), forty);
        assert_eq!(grace(&Node::default(), forty), sixty);
    }

    #[test]
    fn a_new_node_keeps_its_first_taint_until_it_is_ready() {
        let first = json!([{"key": NOT_READY, "effect": "NoSchedule"}]);
        let mut n = node("True", first);
        let ready = n.status.take();
        assert_eq!(taints(&n, true, at(NOW)), None);
        n.status = ready;
        assert_eq!(taints(&n, true, at(NOW)), Some(Vec::new()));
    }

    #[test]
    fn cordon_and_pressure_taint_too() {
        let mut n = node("True", json!([]));
        n.spec.as_mut().unwrap().unschedulable = Some(true);
        n.status.as_mut().unwrap().conditions.as_mut().unwrap().push(NodeCondition {
            type_: "MemoryPressure".into(),
            status: "True".into(),
            ..NodeCondition::default()
        });
        assert_eq!(
            names(taints(&n, true, at(NOW))),
            Some(vec![
                "node.kubernetes.io/unschedulable:NoSchedule".to_owned(),
                "node.kubernetes.io/memory-pressure:NoSchedule".to_owned()
            ])
        );
    }

    #[test]
    fn silence_makes_conditions_unknown_once() {
        let conditions = unknown_conditions(&node("True", json!([])), at(NOW)).unwrap();
        assert_eq!(conditions.len(), 4);
        assert!(conditions.iter().all(|c| c.status == "Unknown"));
        assert_eq!(conditions[0].reason.as_deref(), Some("NodeStatusUnknown"));
        assert!(conditions[0].last_heartbeat_time.is_some());
        assert_eq!(conditions[1].reason.as_deref(), Some("NodeStatusNeverUpdated"));
        let mut silent = node("True", json!([]));
        silent.status.as_mut().unwrap().conditions = Some(conditions);
        assert_eq!(unknown_conditions(&silent, at("2026-01-01T01:00:00Z")), None);
        assert!(is_not_ready(&silent));
        assert!(!is_not_ready(&node("True", json!([]))));
        assert!(!is_not_ready(&Node::default()), "it may be starting");
    }

    #[test]
    fn signs_of_life_are_lease_and_heartbeat() {
        let lease = |time: &str| -> Lease {
            serde_json::from_value(json!({"spec": {"renewTime": time}})).unwrap()
        };
        let n = node("True", json!([]));
        let (a, b) = (lease("2026-01-01T00:00:00.000000Z"), lease("2026-01-01T00:00:10.000000Z"));
        assert_eq!(Signs::of(&n, Some(&a)), Signs::of(&n, Some(&a)));
        assert_ne!(Signs::of(&n, Some(&a)), Signs::of(&n, Some(&b)));
        assert_ne!(Signs::of(&n, Some(&a)), Signs::of(&n, None));
        let unknown = node("Unknown", json!([]));
        assert_ne!(Signs::of(&unknown, None), Signs::of(&n, None), "it is heard from again");
    }
}
