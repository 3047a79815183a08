use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A Job named `j` with these fields of its spec and status.
pub(in crate::job) fn job(spec: Value, status: Value) -> Job {
    let mut value = json!({"metadata": {"name": "j", "namespace": "n", "uid": "j-uid"},
        "spec": {"parallelism": 1, "backoffLimit": 6,
            "selector": {"matchLabels": {"job": "j"}},
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}},
        "status": status});
    merge(&mut value["spec"], spec);
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

/// A pod of the Job in that phase, changed by `extra`.
pub(in crate::job) fn pod(name: &str, phase: &str, extra: Value) -> Arc<Pod> {
    let mut value = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"job": "j"},
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": [facts::FINALIZER],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j",
                "uid": "j-uid", "controller": true}]},
        "spec": {"nodeName": "node", "containers": []}, "status": {"phase": phase}});
    merge(&mut value, extra);
    Arc::new(serde_json::from_value(value).unwrap())
}

/// The same with an index.
pub(in crate::job) fn indexed(name: &str, index: i32, phase: &str, extra: Value) -> Arc<Pod> {
    let mut value = json!({"metadata": {"annotations": {facts::INDEX: index.to_string()}}});
    merge(&mut value, extra);
    pod(name, phase, value)
}

pub(in crate::job) fn fresh() -> Memory {
    Memory { settled: true, counted: HashSet::new(), failures: Failures::default() }
}

fn decide(job: &Job, pods: &[Arc<Pod>]) -> Plan {
    plan(job, pods, fresh(), now())
}

fn running(name: &str) -> Arc<Pod> {
    pod(name, "Running", json!({}))
}

fn created(plan: &Plan) -> usize {
    match &plan.scale {
        Scale::Create(wanted) => wanted.len(),
        _ => 0,
    }
}

fn indexes(plan: &Plan) -> Vec<i32> {
    match &plan.scale {
        Scale::Create(wanted) => wanted.iter().filter_map(|wanted| wanted.index).collect(),
        _ => Vec::new(),
    }
}

fn names(pods: &[Arc<Pod>]) -> Vec<String> {
    pods.iter().map(|p| p.name_any()).collect()
}

#[test]
fn as_many_pods_as_are_left_to_do_and_allowed_at_once() {
    let succeeded = |name: &str| pod(name, "Succeeded", json!({}));
    for (case, spec, status, pods, wanted) in [
        ("first", json!({"completions": 1}), json!({}), vec![], 1),
        ("parallel", json!({"completions": 5, "parallelism": 3}), json!({}), vec![], 3),
        (
            "some run",
            json!({"completions": 5, "parallelism": 3}),
            json!({}),
            vec![running("a"), running("b")],
            1,
        ),
        (
            "few are left",
            json!({"completions": 5, "parallelism": 3}),
            json!({"succeeded": 3}),
            vec![succeeded("a")],
            1,
        ),
        (
            "counted and with the finalizer: counted once",
            json!({"completions": 5, "parallelism": 3}),
            json!({"succeeded": 3, "uncountedTerminatedPods": {"succeeded": ["a"]}}),
            vec![succeeded("a")],
            1,
        ),
        ("work queue", json!({"parallelism": 3}), json!({}), vec![], 3),
        ("work queue is empty", json!({"parallelism": 3}), json!({"succeeded": 1}), vec![], 0),
        ("none at a time", json!({"completions": 5, "parallelism": 0}), json!({}), vec![], 0),
        (
            "ends of pods are not waited for",
            json!({"completions": 1}),
            json!({}),
            vec![pod(
                "a",
                "Running",
                json!({"metadata": {"deletionTimestamp": NOW,
                "deletionGracePeriodSeconds": 60}}),
            )],
            1,
        ),
        (
            "ends of pods are waited for",
            json!({"completions": 1, "podReplacementPolicy": "Failed"}),
            json!({}),
            vec![pod("a", "Running", json!({"metadata": {"deletionTimestamp": NOW}}))],
            0,
        ),
        ("bursts", json!({"completions": 900, "parallelism": 900}), json!({}), vec![], 500),
    ] {
        let plan = decide(&job(spec, status), &pods);
        // A pod that is being deleted has failed a minute ago: its successor may come.
        assert_eq!(created(&plan), wanted, "{case}: {:?}", plan.scale);
        assert_eq!(plan.end, None, "{case}");
    }
}

#[test]
fn too_many_pods_go_without_being_counted() {
    let two = [running("a"), pod("b", "Pending", json!({}))];
    let plan = decide(&job(json!({"completions": 3, "parallelism": 1}), json!({})), &two);
    let Scale::Remove(gone) = plan.scale else { panic!("{:?}", plan.scale) };
    assert_eq!(names(&gone), ["b"], "the pending one");

    let suspended = job(json!({"completions": 3, "suspend": true}), json!({}));
    let Scale::Remove(gone) = decide(&suspended, &two).scale else { panic!("all go") };
    assert_eq!(gone.len(), 2);
    assert_eq!(decide(&suspended, &[]).scale, Scale::Keep);

    let indexed_job =
        job(json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"}), json!({}));
    let twice = [
        indexed("a", 1, "Running", json!({})),
        indexed("b", 1, "Pending", json!({})),
        indexed("c", 7, "Running", json!({})),
        running("none"),
    ];
    let Scale::Remove(gone) = decide(&indexed_job, &twice).scale else { panic!("some go") };
    let mut gone = names(&gone);
    gone.sort();
    assert_eq!(gone, ["b", "c", "none"]);
}

#[test]
fn nothing_is_decided_on_what_has_not_been_seen() {
    let job = job(json!({"completions": 3}), json!({}));
    let memory = Memory { settled: false, ..fresh() };
    assert_eq!(plan(&job, &[], memory, now()).scale, Scale::Keep);
    let done = pod("a", "Succeeded", json!({}));
    let memory = Memory { counted: ["a".to_owned()].into(), ..fresh() };
    assert_eq!(plan(&job, &[done], memory, now()).succeeded, 0, "the status has it already");
}

#[test]
fn failures_are_waited_for_and_end_the_job() {
    let failed = |name: &str, at: &str| {
        pod(
            name,
            "Failed",
            json!({"status": {"containerStatuses": [{"name": "c", "image": "",
            "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 42, "finishedAt": at}}}]}}),
        )
    };
    let one = job(json!({"completions": 1, "backoffLimit": 1}), json!({}));
    let just_now = decide(&one, &[failed("a", "2026-01-01T00:00:56Z")]);
    assert_eq!((just_now.scale, just_now.recheck), (Scale::Keep, Some(Duration::from_secs(6))));
    let earlier = decide(&one, &[failed("a", "2026-01-01T00:00:50Z")]);
    assert_eq!(created(&earlier), 1);

    let twice = [failed("a", "2026-01-01T00:00:00Z"), failed("b", NOW), running("c")];
    let over = decide(&one, &twice);
    assert_eq!(over.end.unwrap().reason, "BackoffLimitExceeded");
    assert_eq!(over.scale, Scale::End(vec![running("c")]));

    let ignoring = job(
        json!({"completions": 1, "backoffLimit": 0, "podFailurePolicy": {"rules": [
            {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]}}),
        json!({}),
    );
    assert_eq!(decide(&ignoring, &twice).end, None);
    let failing = job(
        json!({"completions": 1, "podFailurePolicy": {"rules": [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}}),
        json!({}),
    );
    assert_eq!(decide(&failing, &twice).end.unwrap().reason, "PodFailurePolicy");
}

#[test]
fn restarts_of_containers_are_failures() {
    let restarted = pod(
        "a",
        "Running",
        json!({"status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "",
            "ready": true, "restartCount": 2}]}}),
    );
    for (policy, limit, ends) in [
        ("OnFailure", 2, true),
        ("OnFailure", 3, false),
        ("OnFailure", 0, true),
        ("Never", 0, false),
    ] {
        let spec = json!({"completions": 1, "backoffLimit": limit,
            "template": {"spec": {"restartPolicy": policy}}});
        let plan = decide(&job(spec, json!({})), std::slice::from_ref(&restarted));
        assert_eq!(plan.end.is_some(), ends, "{policy} {limit}");
    }
}

#[test]
fn the_deadline_counts_from_the_start() {
    let status = json!({"startTime": "2026-01-01T00:00:30Z"});
    for (seconds, suspend, reason, recheck) in [
        (40, false, None, Some(10)),
        (30, false, Some("DeadlineExceeded"), None),
        (30, true, None, None),
    ] {
        let spec = json!({"completions": 1, "activeDeadlineSeconds": seconds, "suspend": suspend});
        let plan = decide(&job(spec, status.clone()), &[running("a")]);
        assert_eq!(plan.end.map(|end| end.reason).as_deref(), reason, "{seconds}");
        assert_eq!(plan.recheck.map(|wait| wait.as_secs()), recheck, "{seconds}");
    }
}

#[test]
fn announced_ends_are_kept() {
    let announced = |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "reason": "R", "message": "m"}]});
    for (kind, success) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
        let plan = decide(&job(json!({"completions": 3}), announced(kind)), &[running("a")]);
        let end = End { success, reason: "R".to_owned(), message: "m".to_owned() };
        assert_eq!(plan.end, Some(end));
        assert_eq!(plan.scale, Scale::End(vec![running("a")]));
    }
}

#[test]
fn indexes_without_a_pod_get_one() {
    let spec = json!({"completions": 6, "parallelism": 3, "completionMode": "Indexed"});
    let status = json!({"completedIndexes": "0,2", "succeeded": 2});
    let pods = [
        indexed("a", 1, "Running", json!({})),
        indexed("b", 3, "Succeeded", json!({})),
        indexed("c", 4, "Failed", json!({})),
    ];
    let plan = decide(&job(spec, status), &pods);
    assert_eq!(plan.succeeded_indexes.to_string(), "0,2-3".replace("2-3", "2,3"));
    assert_eq!(indexes(&plan), [4, 5], "three at a time, one of them runs");
}

#[test]
fn each_index_has_failures_of_its_own() {
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "backoffLimitPerIndex": 1, "maxFailedIndexes": 1, "backoffLimit": i32::MAX});
    let failed = |name: &str, index: i32, before: i32| {
        indexed(
            name,
            index,
            "Failed",
            json!({"metadata": {"annotations": {facts::FAILURES: before.to_string()}}}),
        )
    };
    let first = decide(&job(spec.clone(), json!({})), &[failed("a", 0, 0), failed("b", 1, 1)]);
    assert_eq!(first.failed_indexes.as_ref().unwrap().to_string(), "1");
    assert_eq!(first.waiting.keys().copied().collect::<Vec<_>>(), [0]);
    assert_eq!(
        first.scale,
        Scale::Create(vec![
            Wanted { index: Some(0), failures: Some((1, 0)) },
            Wanted { index: Some(2), failures: Some((0, 0)) },
        ]),
        "index 0 is tried again, index 1 is not"
    );
    let over = decide(&job(spec.clone(), json!({"failedIndexes": "2"})), &[failed("b", 1, 1)]);
    assert_eq!(over.end.unwrap().reason, "MaxFailedIndexesExceeded");
    let rest = decide(
        &job(spec, json!({"failedIndexes": "2", "completedIndexes": "0,1", "succeeded": 2})),
        &[],
    );
    assert_eq!(rest.end.unwrap().reason, "FailedIndexes");
}

#[test]
fn claims_follow_selector_and_owner() {
    let orphan = pod(
        "orphan",
        "Running",
        json!({"metadata": {"ownerReferences": null,
        "finalizers": null}}),
    );
    let lost = pod("lost", "Running", json!({"metadata": {"labels": {"job": "x"}}}));
    let stranger = pod(
        "stranger",
        "Running",
        json!({"metadata": {"ownerReferences": [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": "x", "controller": true}]}}),
    );
    let plan = decide(&job(json!({"completions": 1}), json!({})), &[orphan, lost, stranger]);
    assert_eq!(names(&plan.adopt), ["orphan"]);
    assert_eq!(names(&plan.release), ["lost"]);
    assert_eq!(plan.scale, Scale::Keep, "the orphan counts at once");
    assert!(facts::has_finalizer(&plan.pods[0]), "and is tracked");
}
