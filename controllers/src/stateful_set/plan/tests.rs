use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Value, json};

use super::super::status::status;
use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn set(replicas: i32, spec: Value) -> StatefulSet {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "n", "uid": "set", "generation": 4},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}});
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn parallel(replicas: i32) -> StatefulSet {
    set(replicas, json!({"podManagementPolicy": "Parallel"}))
}

fn revision(name: &str) -> Arc<ControllerRevision> {
    let data = json!({"spec": {"template": {"$patch": "replace",
        "metadata": {"labels": {"app": "a", "from": name}}, "spec": {"containers": []}}}});
    Arc::new(ControllerRevision {
        metadata: serde_json::from_value(json!({"name": name})).unwrap(),
        data: Some(RawExtension(data)),
        revision: 1,
    })
}

fn revisions() -> Revisions {
    Revisions { current: revision("old"), update: revision("new") }
}

/// A pod in words: `0` is available and new; `0o` is of the old revision; `0p` pending, `0u` not
/// ready, `0f` failed, `0s` succeeded, `0t` going.
fn pod(words: &str) -> Arc<Pod> {
    let letters = words.find(|c: char| !c.is_ascii_digit()).unwrap_or(words.len());
    let (ordinal, letters) = words.split_at(letters);
    let has = |letter: char| letters.contains(letter);
    let name = format!("web-{ordinal}");
    let ready = if has('u') { "False" } else { "True" };
    let mut value = json!({"metadata": {"name": name, "uid": name, "labels": {"app": "a",
        "controller-revision-hash": if has('o') { "old" } else { "new" },
        "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": ordinal}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready,
            "lastTransitionTime": "2026-01-01T00:00:50Z"}]}});
    for (letter, phase) in [('p', "Pending"), ('f', "Failed"), ('s', "Succeeded")] {
        if has(letter) {
            value["status"] = json!({"phase": phase});
        }
    }
    if has('t') {
        value["metadata"]["deletionTimestamp"] = NOW.into();
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn pods(words: &str) -> Vec<Arc<Pod>> {
    words.split_whitespace().map(pod).collect()
}

/// The actions in words: `+0o` creates a pod of the old revision, `-0` deletes, `~0` repairs.
fn actions(set: &StatefulSet, words: &str) -> String {
    let plan = plan(set, &revisions(), &pods(words), &[], now());
    let told = plan.actions.iter().map(|action| match action {
        Action::Create { pod, .. } => {
            let old = identity::revision(pod) == Some("old");
            assert_eq!(pod.labels()["from"], if old { "old" } else { "new" });
            format!("+{}{}", &pod.name_any()[4..], if old { "o" } else { "" })
        }
        Action::Delete { pod, .. } => format!("-{}", &pod.name_any()[4..]),
        Action::Repair { pod, .. } => format!("~{}", &pod.name_any()[4..]),
    });
    told.collect::<Vec<_>>().join(" ")
}

#[test]
fn one_after_the_other() {
    for (case, replicas, pods, expected) in [
        ("the first", 3, "", "+0"),
        ("waits for the first", 3, "0p", ""),
        ("not ready", 3, "0u", ""),
        ("the second", 3, "0", "+1"),
        ("a gap", 3, "0 2", "+1"),
        ("all there", 3, "0 1 2", ""),
        ("one is going", 3, "0 1t 2", ""),
        ("one has failed", 3, "0 1f 2", "-1"),
        ("one has ended", 3, "0s", "-0"),
        ("an ended one is going", 3, "0ft", ""),
        ("the last goes first", 1, "0 1 2", "-2"),
        ("one at a time", 1, "0 1 2t", ""),
        ("none goes while a wanted one is missing", 2, "0 2 3", "+1"),
        ("a bad one that is not wanted may go", 1, "0 1 2u", "-2"),
        ("of two bad ones the lower is waited for", 1, "0 1u 2u", ""),
    ] {
        assert_eq!(actions(&set(replicas, json!({})), pods), expected, "{case}");
    }
}

#[test]
fn all_at_once() {
    for (case, replicas, pods, expected) in [
        ("all", 3, "", "+0 +1 +2"),
        ("a failed one too", 3, "0f 1p", "-0 +2"),
        ("down", 1, "0p 1 2u 3t", "-2 -1"),
        ("both ways", 2, "0 2", "+1 -2"),
    ] {
        assert_eq!(actions(&parallel(replicas), pods), expected, "{case}");
    }
}

#[test]
fn ordinals_start_where_asked() {
    let set = set(2, json!({"ordinals": {"start": 3}, "podManagementPolicy": "Parallel"}));
    assert_eq!(actions(&set, ""), "+3 +4");
    assert_eq!(actions(&set, "2 3 4 5"), "-5 -2");
}

#[test]
fn updates_go_down_the_ordinals() {
    let rolling = |rolling: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}});
    let with = |replicas, spec| set(replicas, spec);
    let all = |rest: Value| {
        let mut spec = rolling(rest);
        spec["podManagementPolicy"] = "Parallel".into();
        spec
    };
    let two = || json!({"partition": 0, "maxUnavailable": 2});
    for (case, set, pods, expected) in [
        ("the highest", with(3, json!({})), "0o 1o 2o", "-2"),
        ("then the next", with(3, json!({})), "0o 1o 2", "-1"),
        ("not before it is ready", with(3, json!({})), "0o 1o 2u", ""),
        ("two at a time", with(4, rolling(two())), "0o 1o 2o 3o", "-3 -2"),
        ("a third waits", with(4, all(two())), "0o 1o 2u 3u", ""),
        ("one more", with(4, all(two())), "0o 1o 2o 3u", "-2"),
        ("half", with(4, rolling(json!({"maxUnavailable": "50%"}))), "0o 1o 2o 3o", "-3 -2"),
        ("at least one", with(4, rolling(json!({"maxUnavailable": "10%"}))), "0o 1o 2o 3o", "-3"),
        ("above the partition", with(3, rolling(json!({"partition": 2}))), "0o 1o 2", ""),
        ("lost below the partition", with(3, rolling(json!({"partition": 2}))), "0o 2", "+1o"),
        ("lost above it", with(3, rolling(json!({"partition": 1}))), "0o 1o", "+2"),
        ("what does not work is not missed", with(3, all(json!({}))), "0o 1ou 2", "-1"),
        (
            "only when deleted",
            with(2, json!({"updateStrategy": {"type": "OnDelete"}})),
            "0o 1o",
            "",
        ),
        ("when deleted", with(2, json!({"updateStrategy": {"type": "OnDelete"}})), "0o", "+1"),
    ] {
        assert_eq!(actions(&set, pods), expected, "{case}");
    }
}

#[test]
fn pods_that_are_ready_for_too_short_are_waited_for() {
    let patient = set(2, json!({"minReadySeconds": 30}));
    assert_eq!(actions(&patient, "0"), "");
    let plan = plan(&patient, &revisions(), &pods("0"), &[], now());
    assert_eq!(plan.recheck, Some(Duration::from_secs(20)), "ready for 10 of 30 s");
    assert_eq!(actions(&set(2, json!({"minReadySeconds": 5})), "0"), "+1");
}

#[test]
fn a_deleted_set_and_a_lost_label() {
    let mut set = set(2, json!({}));
    let mut pod = (*pod("0")).clone();
    pod.labels_mut().remove("apps.kubernetes.io/pod-index");
    let owned = [Arc::new(pod)];
    let found = plan(&set, &revisions(), &owned, &[], now()).actions;
    assert!(matches!(&found[0], Action::Repair { labels, .. } if labels.len() == 1), "{found:?}");
    set.metadata.deletion_timestamp = Some(serde_json::from_value(json!(NOW)).unwrap());
    assert!(plan(&set, &revisions(), &owned, &[], now()).actions.is_empty());
}

#[test]
fn claims_come_before_their_pod_and_stale_ones_are_waited_for() {
    let set = set(1, json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}));
    let found = plan(&set, &revisions(), &[], &[], now()).actions;
    assert!(
        matches!(&found[..], [Action::Create { claims, .. }] if claims.len() == 1),
        "{found:?}"
    );
    let going = json!({"metadata": {"name": "data-web-0", "deletionTimestamp": NOW}});
    let going: PersistentVolumeClaim = serde_json::from_value(going).unwrap();
    let found = plan(&set, &revisions(), &[], &[Arc::new(going)], now()).actions;
    assert_eq!(found, []);
    // A pod that waits for a claim somebody has deleted gets it back.
    let found = plan(&set, &revisions(), &pods("0p"), &[], now()).actions;
    assert!(
        matches!(&found[..], [Action::Repair { claims, .. }] if claims.len() == 1),
        "{found:?}"
    );
}

#[test]
fn statuses() {
    let told = |set: &StatefulSet, words: &str, deleted| {
        let status = status(set, &revisions(), &pods(words), None, deleted, now());
        let value = serde_json::to_value(status).unwrap();
        assert_eq!(value["observedGeneration"], 4);
        [
            "replicas",
            "readyReplicas",
            "availableReplicas",
            "currentReplicas",
            "updatedReplicas",
            "currentRevision",
        ]
        .map(|field| value[field].to_string().replace('"', ""))
        .join(" ")
    };
    let set3 = set(3, json!({}));
    assert_eq!(told(&set3, "", 0), "0 null 0 null null old");
    assert_eq!(told(&set3, "0o 1o 2u", 0), "3 2 2 2 1 old");
    assert_eq!(told(&set3, "0o 1o 2", 1), "3 3 3 1 1 old", "one was just deleted");
    assert_eq!(told(&set3, "0o 1t 2", 0), "3 3 3 1 1 old");
    assert_eq!(told(&set3, "0 1 2", 0), "3 3 3 3 3 new", "the update is over");
    let patient = set(3, json!({"minReadySeconds": 30}));
    assert_eq!(told(&patient, "0 1 2", 0), "3 3 0 3 3 new");
    let lazy = set(3, json!({"updateStrategy": {"type": "OnDelete"}}));
    assert_eq!(told(&lazy, "0 1 2", 0), "3 3 3 null 3 old");
}
