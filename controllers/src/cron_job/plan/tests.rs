use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T01:00:20Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn cron_job(spec: Value, status: Value) -> CronJob {
    let mut value = json!({
        "metadata": {"name": "c", "namespace": "n", "creationTimestamp": "2026-01-01T00:58:30Z"},
        "spec": {"schedule": "* * * * *", "timeZone": "UTC", "concurrencyPolicy": "Allow",
            "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": {"template": {}}}},
        "status": status});
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn job(name: &str, condition: &str, minute: u8) -> Arc<Job> {
    let at = format!("2026-01-01T00:{minute:02}:00Z");
    let mut status = json!({"startTime": at,
        "conditions": [{"type": condition, "status": "True"}]});
    if condition == "Complete" {
        status["completionTime"] = at.into();
    }
    let value = json!({"metadata": {"name": name, "uid": name}, "spec": {"template": {}},
        "status": status});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn listed(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "namespace": "n", "uid": name})).collect()
}

fn reasons(plan: &Plan) -> Vec<&'static str> {
    plan.events.iter().map(|event| event.reason).collect()
}

#[test]
fn what_is_due_is_started_as_the_policy_says() {
    let running = json!({"active": listed(&["old"])});
    for (case, spec, status, due, reason) in [
        ("due", json!({}), json!({}), Some("2026-01-01T01:00:00Z"), None),
        ("suspended", json!({"suspend": true}), json!({}), None, None),
        ("made", json!({}), json!({"lastScheduleTime": "2026-01-01T01:00:00Z"}), None, None),
        ("made, by name", json!({}), json!({"active": listed(&["c-29453820"])}), None, None),
        ("one runs", json!({}), running.clone(), Some("2026-01-01T01:00:00Z"), None),
        (
            "one runs",
            json!({"concurrencyPolicy": "Forbid"}),
            running.clone(),
            None,
            Some("JobAlreadyActive"),
        ),
        ("none", json!({"schedule": "0 5 * * *"}), json!({}), None, None),
        (
            "in time",
            json!({"startingDeadlineSeconds": 30}),
            json!({}),
            Some("2026-01-01T01:00:00Z"),
            None,
        ),
        ("too late", json!({"startingDeadlineSeconds": 10}), json!({}), None, None),
        ("never", json!({"schedule": "0 0 31 2 *"}), json!({}), None, Some("InvalidSchedule")),
        ("no schedule", json!({"schedule": "x"}), json!({}), None, Some("UnparseableSchedule")),
        ("no zone", json!({"timeZone": "x"}), json!({}), None, Some("UnknownTimeZone")),
        (
            "zone in the schedule",
            json!({"schedule": "TZ=UTC * * * * *", "timeZone": null}),
            json!({}),
            Some("2026-01-01T01:00:00Z"),
            Some("UnsupportedSchedule"),
        ),
    ] {
        let plan = plan(&cron_job(spec, status), &[], &HashSet::new(), now());
        let started = plan.start.as_ref().map(|start| start.due.to_string());
        assert_eq!(started.as_deref(), due, "{case}");
        assert_eq!(reasons(&plan), reason.into_iter().collect::<Vec<_>>(), "{case}");
    }
    let replace = cron_job(json!({"concurrencyPolicy": "Replace"}), running);
    let start = plan(&replace, &[], &HashSet::new(), now()).start.unwrap();
    assert_eq!(start.replaced[0].name.as_deref(), Some("old"));
}

#[test]
fn many_missed_times_are_told_and_the_latest_is_made() {
    let mut old = cron_job(json!({}), json!({"lastScheduleTime": "2025-12-31T00:00:00Z"}));
    let told = plan(&old, &[], &HashSet::new(), now());
    assert_eq!(reasons(&told), ["TooManyMissedTimes"]);
    assert_eq!(told.start.unwrap().due.to_string(), "2026-01-01T01:00:00Z");
    old.metadata.deletion_timestamp = Some(Time(now()));
    assert_eq!(plan(&old, &[], &HashSet::new(), now()).start, None);
}

#[test]
fn the_books_are_kept() {
    let jobs = [
        job("done", "Complete", 30),
        job("failed", "Failed", 31),
        job("runs", "X", 32),
        job("stray", "X", 33),
    ];
    let status = json!({"active": listed(&["done", "failed", "runs", "gone"]),
        "lastSuccessfulTime": "2026-01-01T00:10:00Z"});
    let suspended = cron_job(json!({"suspend": true}), status);
    let plan = plan(&suspended, &jobs, &["gone".to_owned()].into(), now());
    let left: Vec<_> = plan.status.active.iter().flatten().filter_map(|a| a.name.clone()).collect();
    assert_eq!(left, ["runs"]);
    let last = plan.status.last_successful_time.as_ref().unwrap().0;
    assert_eq!(last.to_string(), "2026-01-01T00:30:00Z");
    assert_eq!(
        reasons(&plan),
        ["SawCompletedJob", "SawCompletedJob", "UnexpectedJob", "MissingJob"]
    );
    assert_eq!(plan.events[0].message, "Saw completed job: done, status: Complete");
}

#[test]
fn the_oldest_finished_jobs_go() {
    let jobs = [
        job("c1", "Complete", 4),
        job("c2", "Complete", 2),
        job("c3", "Complete", 3),
        job("f1", "Failed", 1),
        job("f2", "Failed", 2),
        job("runs", "X", 0),
    ];
    let outdated = |spec: Value| -> Vec<String> {
        let plan = plan(&cron_job(spec, json!({})), &jobs, &HashSet::new(), now());
        plan.outdated.iter().map(|job| job.name_any()).collect()
    };
    assert_eq!(outdated(json!({})), ["f1"]);
    assert_eq!(outdated(json!({"successfulJobsHistoryLimit": 1})), ["c2", "c3", "f1"]);
    assert_eq!(outdated(json!({"failedJobsHistoryLimit": 0})), ["f1", "f2"]);
}

#[test]
fn a_started_job_is_noted_once() {
    let mut status = CronJobStatus::default();
    let job = ObjectReference { uid: Some("u".to_owned()), ..ObjectReference::default() };
    started(&mut status, job.clone(), now());
    started(&mut status, job, now());
    assert_eq!(status.active.map(|active| active.len()), Some(1));
    assert_eq!(status.last_schedule_time, Some(Time(now())));
}
