use serde_json::{Value, json};

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;

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

/// Alone, without siblings.
fn plan<R: Replicated>(object: &R, pods: &[Arc<Pod>], may_scale: bool, now: Timestamp) -> Plan {
    super::plan(object, pods, &HashSet::new(), may_scale, now)
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
    assert_eq!(names(&p.claims.adopt), ["orphan"]);
    assert_eq!(names(&p.claims.release), ["lost"]);
    assert_eq!(p.scale, Scale::Keep, "the orphan counts at once");

    let going = controller(1, json!({"metadata": {"deletionTimestamp": NOW}}));
    let p = plan(&going, &all, true, now());
    assert!(p.claims.adopt.is_empty() && p.claims.release.is_empty());

    let blank = controller(1, json!({"spec": {"selector": null}}));
    assert!(plan(&blank, &all, true, now()).claims.adopt.is_empty());
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
    rc = rc.with_status(failed.clone());
    let failed = Replicated::status(&rc);
    let later = "2026-01-01T01:00:00Z".parse().unwrap();
    let again = p.status(&rc, Some(&Failure::create("quota for another pod".into())), later);
    assert_eq!(again.conditions, failed.conditions, "the same reason is nothing new");

    let waiting = plan(&rc, &[], false, now());
    assert_eq!(waiting.status(&rc, None, later).conditions, failed.conditions);

    let pods = [pod("a", json!({})), pod("b", json!({}))];
    let healed = plan(&rc, &pods, true, now());
    assert_eq!(healed.status(&rc, None, later).conditions, None);
}

/// A ReplicaSet in the place of the controller, so that the pods above are its.
fn replica_set(replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": "rs", "namespace": "n", "uid": "rc-uid", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchExpressions": [
            {"key": "app", "operator": "In", "values": ["a", "b"]}]},
            "template": {"metadata": {"labels": {"app": "a"}}}}}))
    .unwrap()
}

#[test]
fn a_replica_set_counts_what_is_on_its_way_out() {
    let going = |name: &str, extra: Value| {
        let mut value = json!({"metadata": {"deletionTimestamp": NOW}});
        merge(&mut value, extra);
        pod(name, value)
    };
    let pods = [
        pod("here", json!({})),
        going("going", json!({})),
        going("ended", json!({"status": {"phase": "Failed"}})),
        going("lost", json!({"metadata": {"labels": {"app": "c"}}})),
        going("other", json!({"metadata": {"ownerReferences": null}})),
    ];
    let rs = replica_set(1);
    let status = plan(&rs, &pods, true, now()).status(&rs, None, now());
    assert_eq!((status.replicas, status.terminating_replicas), (1, Some(1)));

    let rc = controller(1, json!({}));
    let status = plan(&rc, &pods, true, now()).status(&rc, None, now());
    assert_eq!(rc.with_status(status).status().terminating_replicas, None, "no such field");
}

#[test]
fn pods_of_siblings_are_company_on_a_node() {
    let on = |name: &str, node: &str, owner: &str| {
        let mut value = json!({"spec": {"nodeName": node}});
        value["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}]);
        pod(name, value)
    };
    let pods = [
        on("alone", "quiet", "rc-uid"),
        on("crowded", "busy", "rc-uid"),
        on("sibling", "busy", "sibling-uid"),
    ];
    let victim = |siblings: &[&str]| {
        let siblings = siblings.iter().map(|uid| (*uid).to_owned()).collect();
        let plan = super::plan(&replica_set(1), &pods, &siblings, true, now());
        let Scale::Delete(victims) = plan.scale else { panic!("{:?}", plan.scale) };
        names(&victims)
    };
    assert_eq!(victim(&[]), ["alone"], "equal but for the uid");
    assert_eq!(victim(&["rc-uid", "sibling-uid"]), ["crowded"]);
}
