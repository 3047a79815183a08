use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn controller(replicas: i32, extra: Value) -> ReplicationController {
    let mut value = json!({
        "metadata": {"name": "rc", "namespace": "n", "uid": "rc-uid", "generation": 3},
        "spec": {"replicas": replicas, "selector": {"app": "a"},
            "template": {"metadata": {"labels": {"app": "a", "tier": "t"}},
                "spec": {"containers": [{"name": "c"}]}}}});
    merge(&mut value, extra);
    serde_json::from_value(value).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A running, ready pod owned by the controller, changed by `extra`.
fn pod(name: &str, extra: Value) -> Arc<Pod> {
    let mut value = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "a"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "ReplicationController",
                "name": "rc", "uid": "rc-uid", "controller": true}]},
        "spec": {"nodeName": "node", "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:50Z"}]}});
    merge(&mut value, extra);
    Arc::new(serde_json::from_value(value).unwrap())
}

fn names(pods: &[Arc<Pod>]) -> Vec<String> {
    pods.iter().map(|p| p.name_any()).collect()
}

#[test]
fn scale_table() {
    let finished = || pod("finished", json!({"status": {"phase": "Failed"}}));
    let going = || pod("going", json!({"metadata": {"deletionTimestamp": NOW}}));
    let ready = |n: &str| pod(n, json!({}));
    for (case, replicas, pods, expected) in [
        ("nothing there", 3, vec![], Scale::Create(3)),
        ("enough", 1, vec![ready("a")], Scale::Keep),
        ("finished pods do not count", 1, vec![finished()], Scale::Create(1)),
        ("pods being deleted do not count", 1, vec![going()], Scale::Create(1)),
        ("at most a burst", 10_000, vec![], Scale::Create(500)),
        ("scaled to none", 0, vec![ready("a")], Scale::Delete(vec![ready("a")])),
    ] {
        let plan = plan(&controller(replicas, json!({})), &pods, true, now());
        assert_eq!(plan.scale, expected, "{case}");
    }
}

#[test]
fn the_least_useful_pod_is_deleted() {
    let unready = pod(
        "unready",
        json!({"status": {"conditions": [
        {"type": "Ready", "status": "False"}]}}),
    );
    let plan = plan(&controller(1, json!({})), &[pod("a", json!({})), unready], true, now());
    let Scale::Delete(victims) = plan.scale else { panic!("{:?}", plan.scale) };
    assert_eq!(names(&victims), ["unready"]);
}

#[test]
fn nothing_is_scaled_while_expectations_are_open_or_the_controller_goes() {
    let rc = controller(3, json!({}));
    assert_eq!(plan(&rc, &[], false, now()).scale, Scale::Keep);
    let going = controller(3, json!({"metadata": {"deletionTimestamp": NOW}}));
    assert_eq!(plan(&going, &[], true, now()).scale, Scale::Keep);
}

#[test]
fn claims_follow_selector_and_owner() {
    let orphan = pod("orphan", json!({"metadata": {"ownerReferences": null}}));
    let stranger = pod(
        "stranger",
        json!({"metadata": {"ownerReferences": null,
        "labels": {"app": "b"}}}),
    );
    let lost = pod("lost", json!({"metadata": {"labels": {"app": "b"}}}));
    let other = pod(
        "other",
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1",
        "kind": "ReplicationController", "name": "x", "uid": "x", "controller": true}]}}),
    );
    let going = pod(
        "going",
        json!({"metadata": {"ownerReferences": null,
        "deletionTimestamp": NOW}}),
    );
    let all = [orphan, stranger, lost, other, going];
    let rc = controller(1, json!({}));
    let p = plan(&rc, &all, true, now());
    assert_eq!(names(&p.adopt), ["orphan"]);
    assert_eq!(names(&p.release), ["lost"]);
    assert_eq!(p.scale, Scale::Keep, "the orphan counts at once");

    let going = controller(1, json!({"metadata": {"deletionTimestamp": NOW}}));
    let p = plan(&going, &all, true, now());
    assert!(p.adopt.is_empty() && p.release.is_empty());

    let blank = controller(1, json!({"spec": {"selector": null}}));
    assert!(plan(&blank, &all, true, now()).adopt.is_empty());
}

#[test]
fn status_counts_and_waits_for_min_ready_seconds() {
    let rc = controller(3, json!({"spec": {"minReadySeconds": 30}}));
    let pods = [
        pod(
            "full",
            json!({"metadata": {"labels": {"tier": "t"}}, "status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
        ),
        pod("fresh", json!({})),
        pod("starting", json!({"status": {"phase": "Pending", "conditions": null}})),
    ];
    let p = plan(&rc, &pods, true, now());
    let status = p.status(&rc, None, now());
    assert_eq!(status.replicas, 3);
    assert_eq!(status.fully_labeled_replicas, Some(1));
    assert_eq!(status.ready_replicas, Some(2));
    assert_eq!(status.available_replicas, Some(1));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.conditions, None);
    assert_eq!(p.recheck, Some(Duration::from_secs(20)), "fresh is ready for 10 of 30 s");
}

#[test]
fn failure_condition_comes_stays_and_goes() {
    let rc = controller(2, json!({}));
    let p = plan(&rc, &[], true, now());
    let failed = p.status(&rc, Some(&Failure::create("quota".into())), now());
    let condition = failed.conditions.clone().unwrap().remove(0);
    assert_eq!(condition.reason.as_deref(), Some("FailedCreate"));
    assert_eq!(condition.message.as_deref(), Some("quota"));

    let mut rc = rc;
    rc.status = Some(failed.clone());
    let later = "2026-01-01T01:00:00Z".parse().unwrap();
    let again = p.status(&rc, Some(&Failure::create("quota".into())), later);
    assert_eq!(again, failed, "the transition time is kept");

    let waiting = plan(&rc, &[], false, now());
    assert_eq!(waiting.status(&rc, None, later).conditions, failed.conditions);

    let pods = [pod("a", json!({})), pod("b", json!({}))];
    let healed = plan(&rc, &pods, true, now());
    assert_eq!(healed.status(&rc, None, later).conditions, None);
}
