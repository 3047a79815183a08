use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn set(strategy: Value) -> DaemonSet {
    serde_json::from_value(json!({
        "metadata": {"name": "ds", "namespace": "n", "uid": "1", "generation": 2},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "minReadySeconds": 5,
            "updateStrategy": strategy,
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}}}}))
    .unwrap()
}

fn rolling(unavailable: Value, surge: Value) -> DaemonSet {
    set(json!({"type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}))
}

/// Nodes in words: `a`, `b:NoSchedule` with a taint.
fn nodes(words: &str) -> Vec<Arc<Node>> {
    let node = |word: &str| {
        let (name, effect) = word.split_once(':').unwrap_or((word, ""));
        let mut value = json!({"metadata": {"name": name}, "spec": {}});
        if !effect.is_empty() {
            value["spec"]["taints"] = json!([{"key": "k", "effect": effect}]);
        }
        Arc::new(serde_json::from_value(value).unwrap())
    };
    words.split_whitespace().map(node).collect()
}

/// Pods in words, in the order of their age: node, a number, and letters: `a1` is available and new
/// on node a; `o` old, `u` not ready, `y` ready for too short, `f` failed, `s` succeeded, `t` going,
/// `w` only meant for the node.
fn pods(words: &str) -> Vec<Arc<Pod>> {
    let pod = |(age, word): (usize, &str)| {
        let (name, letters) = word.split_at(2);
        let has = |letter: char| letters.contains(letter);
        let ready = if has('u') { "False" } else { "True" };
        let since = if has('y') { NOW } else { "2026-01-01T00:00:00Z" };
        let mut value = json!({
            "metadata": {"name": name, "uid": name, "labels": {"app": "a",
                "controller-revision-hash": if has('o') { "old" } else { "new" }},
                "creationTimestamp": format!("2026-01-01T00:00:{age:02}Z")},
            "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready,
                "lastTransitionTime": since}]}});
        if has('w') {
            value["spec"]["affinity"] = json!({"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In",
                        "values": [&name[..1]]}]}]}}});
        } else {
            value["spec"]["nodeName"] = name[..1].into();
        }
        for (letter, phase) in [('f', "Failed"), ('s', "Succeeded")] {
            if has(letter) {
                value["status"] = json!({"phase": phase});
            }
        }
        if has('t') {
            value["metadata"]["deletionTimestamp"] = NOW.into();
        }
        Arc::new(serde_json::from_value(value).unwrap())
    };
    words.split_whitespace().enumerate().map(pod).collect()
}

fn view<'a>(set: &'a DaemonSet, on: &str, with: &str) -> View<'a> {
    let template = set.spec.clone().unwrap().template;
    View::new(set, &template, "new", &nodes(on), &pods(with), NOW.parse().unwrap())
}

/// The plan in words: `+a` creates on node a, `-a1` deletes a pod, `!a1` has ended.
fn plan(set: &DaemonSet, on: &str, with: &str) -> String {
    let plan = view(set, on, with).plan();
    let mut told: Vec<String> = plan.create.iter().map(|node| format!("+{node}")).collect();
    told.extend(plan.delete.iter().map(|pod| format!("-{}", pod.name_any())));
    told.extend(plan.ended.iter().map(|(_, pod)| format!("!{}", pod.name_any())));
    told.sort();
    told.join(" ")
}

#[test]
fn one_pod_per_node() {
    let set = rolling(json!(1), json!(0));
    for (case, on, with, expected) in [
        ("none yet", "a b", "", "+a +b"),
        ("one is missing", "a b", "a1", "+b"),
        ("all there", "a b", "a1 b1", ""),
        ("meant for it is enough", "a", "a1w", ""),
        ("on its way out", "a", "a1t", ""),
        ("over and on its way out", "a", "a1ft", "+a"),
        ("one too many", "a", "a1 a2", "-a2"),
        ("the one on the node stays", "a", "a1w a2", "-a1"),
        ("closed to new ones", "a:NoSchedule b:NoSchedule", "a1", ""),
        ("driven out", "a:NoExecute", "a1", "-a1"),
        ("a node that is gone", "a", "a1 b1w b2", "-b1"),
        ("failed", "a b", "a1f b1", "!a1"),
        ("succeeded", "a", "a1s", "!a1"),
    ] {
        assert_eq!(plan(&set, on, with), expected, "{case}");
    }
}

#[test]
fn updates_take_pods_away_as_far_as_allowed() {
    for (case, unavailable, with, expected) in [
        ("one at a time", json!(1), "a1o b1o c1o d1o", "-a1"),
        ("two at a time", json!(2), "a1o b1o c1o d1o", "-a1 -b1"),
        ("half, rounded up", json!("40%"), "a1o b1o c1o d1o", "-a1 -b1"),
        ("one is going", json!(1), "a1ot b1o c1o d1o", ""),
        ("a new one starts", json!(1), "a1u b1o c1o d1o", ""),
        ("a new one is too young", json!(1), "a1y b1o c1o d1o", ""),
        ("the next", json!(1), "a1 b1o c1o d1o", "-b1"),
        ("what does not work is not missed", json!(1), "a1o b1ou c1ou d1o", "-b1 -c1"),
        ("it is one of those that may be missing", json!(2), "a1o b1ou c1o d1o", "-a1 -b1"),
        ("a node without a pod counts", json!(1), "a1o b1o c1o", "+d"),
        ("done", json!(1), "a1 b1 c1 d1", ""),
    ] {
        let set = rolling(unavailable, json!(0));
        assert_eq!(plan(&set, "a b c d", with), expected, "{case}");
    }
}

#[test]
fn a_surge_brings_the_new_before_the_old_goes() {
    for (case, surge, with, expected) in [
        ("one at a time", json!(1), "a1o b1o c1o", "+a"),
        ("two at a time", json!(2), "a1o b1o c1o", "+a +b"),
        ("a new one starts", json!(1), "a1o a2u b1o c1o", ""),
        ("it is too young", json!(1), "a1o a2y b1o c1o", ""),
        ("it takes over", json!(1), "a1o a2 b1o c1o", "+b -a1"),
        ("what does not work is not waited for", json!(1), "a1ou b1ou c1", "+a +b"),
        ("an old one that fails makes room", json!(1), "a1ou a2u b1 c1", "-a1"),
        ("two new ones", json!(1), "a1o a2u a3u b1 c1", "-a3"),
        ("done", json!(1), "a1 b1 c1", ""),
    ] {
        let set = rolling(json!(0), surge);
        assert_eq!(plan(&set, "a b c", with), expected, "{case}");
    }
}

#[test]
fn on_delete_leaves_old_pods_alone() {
    assert_eq!(plan(&set(json!({"type": "OnDelete"})), "a b", "a1o"), "+b");
}

#[test]
fn statuses() {
    let set = rolling(json!(1), json!(0));
    let told = |on: &str, with: &str| {
        let status = view(&set, on, with).status(Some(2), None);
        let value = serde_json::to_value(status).unwrap();
        [
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberMisscheduled",
            "numberReady",
            "numberAvailable",
            "numberUnavailable",
            "updatedNumberScheduled",
        ]
        .map(|field| value[field].to_string())
        .join(" ")
    };
    assert_eq!(told("", ""), "0 0 0 0 null null null");
    assert_eq!(told("a b c", "a1 b1oy"), "3 2 0 2 1 2 1");
    assert_eq!(told("a b:NoSchedule", "a1u b1"), "1 1 1 0 null 1 1");
    assert_eq!(view(&set, "a", "a1y").recheck(), Some(Duration::from_secs(5)));
}
