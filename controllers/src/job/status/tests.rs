use serde_json::{Value, json};

use super::super::plan::plan;
use super::super::plan::tests::{fresh, indexed, job, pod};
use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn progress(job: &Job, pods: &[Arc<Pod>], scaled: Scaled) -> Progress {
    plan(job, pods, fresh(), now()).progress(job, scaled, now())
}

fn uids(pods: &[Arc<Pod>]) -> HashSet<String> {
    pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect()
}

fn shown(status: &JobStatus) -> Value {
    let mut value = json!(status);
    let conditions = value.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        *condition = json!([condition["type"], condition["status"], condition["reason"]]);
    }
    value
}

#[test]
fn pods_that_run_are_counted() {
    let job = job(json!({"completions": 3, "parallelism": 3}), json!({}));
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let going = json!({"metadata": {"deletionTimestamp": NOW}});
    let pods = [pod("a", "Running", ready), pod("b", "Running", going)];
    let progress = progress(&job, &pods, Scaled { created: 2, ..Scaled::default() });
    assert_eq!(
        shown(&progress.status),
        json!({"active": 3, "ready": 1, "terminating": 1, "startTime": NOW,
            "uncountedTerminatedPods": {"failed": ["b"]}})
    );
}

#[test]
fn an_ended_pod_is_listed_freed_and_counted() {
    let two = job(json!({"completions": 2, "parallelism": 2}), json!({"startTime": NOW}));
    let pods = [
        pod("a", "Succeeded", json!({})),
        pod("b", "Failed", json!({})),
        pod("c", "Running", json!({})),
    ];
    let progress = progress(&two, &pods, Scaled::default());
    let lists = json!({"succeeded": ["a"], "failed": ["b"]});
    assert_eq!(shown(&progress.status)["uncountedTerminatedPods"], lists);
    assert_eq!(progress.status.succeeded, None);
    assert_eq!(uids(&progress.counted), uids(&pods[..2]));

    let (half, end) = progress.counted(&progress.status, &uids(&pods[..1]), now());
    assert_eq!(shown(&half)["uncountedTerminatedPods"], json!({"failed": ["b"]}));
    assert_eq!((half.succeeded, half.failed, end), (Some(1), None, None));
    let (all, _) = progress.counted(&progress.status, &uids(&pods[..2]), now());
    assert_eq!((all.succeeded, all.failed), (Some(1), Some(1)));

    // Stopped before it was counted: the list is enough to go on.
    let written = job(json!({"completions": 2}), json!(progress.status));
    let freed = pod("a", "Succeeded", json!({"metadata": {"finalizers": null}}));
    let next = super::tests::progress(&written, &[freed], Scaled::default());
    assert_eq!(next.status.succeeded, Some(1));
}

#[test]
fn a_complete_job_says_so_twice() {
    let one = job(json!({"completions": 1}), json!({"startTime": NOW}));
    let pods = [pod("a", "Succeeded", json!({}))];
    let progress = progress(&one, &pods, Scaled::default());
    assert_eq!(
        shown(&progress.status)["conditions"],
        json!([["SuccessCriteriaMet", "True", "CompletionsReached"]])
    );
    assert_eq!(progress.status.completion_time, None);
    let (stuck, end) = progress.counted(&progress.status, &HashSet::new(), now());
    assert_eq!((stuck.conditions.map(|c| c.len()), end), (Some(1), None));
    let (done, end) = progress.counted(&progress.status, &uids(&pods), now());
    assert_eq!(
        shown(&done),
        json!({"ready": 0, "terminating": 0, "succeeded": 1, "startTime": NOW,
            "completionTime": NOW, "uncountedTerminatedPods": {},
            "conditions": [["SuccessCriteriaMet", "True", "CompletionsReached"], ["Complete", "True", "CompletionsReached"]]})
    );
    assert!(end.is_some_and(|end| end.success));
}

#[test]
fn a_failed_job_waits_for_its_pods() {
    let none = job(
        json!({"completions": 2, "parallelism": 2, "backoffLimit": 0}),
        json!({"startTime": NOW}),
    );
    let pods = [pod("a", "Failed", json!({})), pod("b", "Running", json!({}))];
    let stopped = Scaled { deleted: 1, ..Scaled::default() };
    let progress = progress(&none, &pods, stopped);
    assert_eq!(
        shown(&progress.status)["conditions"],
        json!([["FailureTarget", "True", "BackoffLimitExceeded"]])
    );
    let (status, end) = progress.counted(&progress.status, &uids(&pods), now());
    assert_eq!((status.failed, status.terminating, end), (Some(2), Some(1), None));

    let gone = job(json!({"completions": 2, "backoffLimit": 0}), json!(status));
    let progress = super::tests::progress(&gone, &[], Scaled::default());
    let (status, end) = progress.counted(&progress.status, &HashSet::new(), now());
    assert_eq!(
        shown(&status)["conditions"],
        json!([
            ["FailureTarget", "True", "BackoffLimitExceeded"],
            ["Failed", "True", "BackoffLimitExceeded"]
        ])
    );
    assert!(end.is_some_and(|end| !end.success));

    // A pod that could not be deleted: nothing is announced.
    let progress = super::tests::progress(&none, &pods, Scaled::default());
    assert_eq!(progress.status.conditions, None);
}

#[test]
fn indexes_are_written_as_they_succeed_and_fail() {
    let spec = json!({"completions": 4, "parallelism": 4, "completionMode": "Indexed",
        "backoffLimitPerIndex": 0, "backoffLimit": i32::MAX});
    let pods = [
        indexed("a", 0, "Succeeded", json!({})),
        indexed("b", 1, "Succeeded", json!({})),
        indexed("c", 2, "Failed", json!({})),
        indexed("d", 3, "Running", json!({})),
    ];
    let progress = progress(&job(spec, json!({})), &pods, Scaled::default());
    let status = shown(&progress.status);
    assert_eq!(status["completedIndexes"], "0,1");
    assert_eq!(status["failedIndexes"], "2");
    assert_eq!(status["succeeded"], 2);
    assert_eq!(status["uncountedTerminatedPods"], json!({"failed": ["c"]}));
    assert_eq!(uids(&progress.counted), uids(&pods[..3]));
}

#[test]
fn a_pod_waits_for_its_successor() {
    let spec = json!({"completions": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 3,
        "backoffLimit": i32::MAX});
    let failed = indexed("a", 0, "Failed", json!({}));
    let waiting =
        progress(&job(spec.clone(), json!({})), std::slice::from_ref(&failed), Scaled::default());
    assert!(waiting.counted.is_empty());
    let successor = indexed("b", 0, "Pending", json!({}));
    let replaced = progress(&job(spec, json!({})), &[failed, successor], Scaled::default());
    assert_eq!(replaced.counted.len(), 1);
}

#[test]
fn suspension_is_said_when_it_changes() {
    let said = |spec: Value, status: Value| {
        let progress = progress(&job(spec, status), &[], Scaled::default());
        (progress.event.map(|(reason, _)| reason), shown(&progress.status))
    };
    let (event, status) = said(json!({"completions": 1, "suspend": true}), json!({}));
    assert_eq!(event, Some("Suspended"));
    assert_eq!(status["conditions"], json!([["Suspended", "True", "JobSuspended"]]));
    assert_eq!(status["startTime"], Value::Null);
    let suspended = json!({"conditions": [{"type": "Suspended", "status": "True"}],
        "startTime": "2026-01-01T00:00:00Z"});
    let (event, status) = said(json!({"completions": 1}), suspended);
    assert_eq!(event, Some("Resumed"));
    assert_eq!(status["conditions"], json!([["Suspended", "False", "JobResumed"]]));
    assert_eq!(status["startTime"], NOW, "the deadline starts anew");
    assert_eq!(said(json!({"completions": 1}), json!({})).0, None);
}

#[test]
fn at_most_five_hundred_pods_are_listed() {
    let job = job(json!({"completions": 600, "parallelism": 600}), json!({"startTime": NOW}));
    let pods: Vec<_> = (0..600).map(|n| pod(&n.to_string(), "Succeeded", json!({}))).collect();
    let progress = progress(&job, &pods, Scaled::default());
    assert_eq!(progress.counted.len(), 500);
    let (status, end) = progress.counted(&progress.status, &uids(&pods), now());
    assert_eq!((status.succeeded, end), (Some(500), None), "the rest comes next");
}
