//! Rules of jobs: a change to a valid object, and the error that it earns.

use serde_json::{Value, json};

use crate::lifecycle::{before_status_update, before_update};
use crate::strategy::tests::{changed, create, refuses, resource};

fn job() -> Value {
    json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}}})
}

fn indexed(change: &Value) -> Value {
    let mut spec = json!({"completionMode": "Indexed", "completions": 5});
    json_patch::merge(&mut spec, change);
    json!({"spec": spec})
}

#[test]
fn jobs_are_checked() {
    let template = |change: Value| json!({"spec": {"template": {"spec": change}}});
    let many: Vec<Value> = (0..21)
        .map(|_| json!({"action": "Ignore", "onExitCodes": {"operator": "In", "values": [1]}}))
        .collect();
    let failing = |rule: Value| json!({"spec": {"podFailurePolicy": {"rules": [rule]}}});
    refuses(
        resource("batch", "jobs"),
        &job(),
        &[
            (json!({"spec": {"parallelism": -1}}), "spec.parallelism: Invalid value: -1"),
            (json!({"spec": {"completions": -1}}), "spec.completions: Invalid value: -1"),
            (json!({"spec": {"backoffLimit": -1}}), "spec.backoffLimit: Invalid value: -1"),
            (
                json!({"spec": {"ttlSecondsAfterFinished": -1}}),
                "spec.ttlSecondsAfterFinished: Invalid value: -1",
            ),
            (
                template(json!({"restartPolicy": null})),
                "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ),
            (
                json!({"spec": {"completionMode": "X"}}),
                "spec.completionMode: Unsupported value: \"X\": supported values: \"NonIndexed\", \"Indexed\"",
            ),
            (
                json!({"spec": {"completionMode": "Indexed", "completions": null, "parallelism": 2}}),
                "spec.completions: Required value: when completion mode is Indexed",
            ),
            (
                indexed(&json!({"parallelism": 100_001})),
                "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
            ),
            (
                json!({"spec": {"backoffLimitPerIndex": 1}}),
                "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
            ),
            (
                indexed(&json!({"maxFailedIndexes": 1})),
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            ),
            (
                indexed(&json!({"backoffLimitPerIndex": 1, "maxFailedIndexes": 6})),
                "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions",
            ),
            (
                indexed(&json!({"backoffLimitPerIndex": 1, "completions": 100_001})),
                "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            ),
            (
                json!({"spec": {"managedBy": "me"}}),
                "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            ),
            (
                json!({"spec": {"podReplacementPolicy": "Soon"}}),
                "spec.podReplacementPolicy: Unsupported value: \"Soon\": supported values: \"Failed\", \"TerminatingOrFailed\"",
            ),
            (
                json!({"spec": {"podFailurePolicy": {"rules": many}}}),
                "spec.podFailurePolicy.rules: Too many: 21",
            ),
            (
                failing(
                    json!({"action": "Explode", "onExitCodes": {"operator": "In", "values": [1]}}),
                ),
                "spec.podFailurePolicy.rules[0].action: Unsupported value: \"Explode\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
            ),
            (
                failing(json!({"action": "Ignore"})),
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ),
            (
                failing(
                    json!({"action": "Ignore", "onExitCodes": {"operator": "In", "values": [0, 2, 1, 2]}}),
                ),
                "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator, spec.podFailurePolicy.rules[0].onExitCodes.values[3]: Duplicate value: 2, spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [0,2,1,2]: must be ordered",
            ),
            (
                failing(
                    json!({"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}),
                ),
                "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            ),
            (
                failing(json!({"action": "Ignore", "onPodConditions": [{"type": "a b"}]})),
                "spec.podFailurePolicy.rules[0].onPodConditions[0].type: Invalid value: \"a b\"",
            ),
            (
                json!({"spec": {"successPolicy": {"rules": [{"succeededCount": 1}]}}}),
                "spec.successPolicy: Invalid value: {\"rules\":[{\"succeededCount\":1}]}: requires indexed completion mode",
            ),
            (
                indexed(
                    &json!({"successPolicy": {"rules": [{"succeededIndexes": "0-2", "succeededCount": 4}]}}),
                ),
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)",
            ),
            (
                json!({"spec": {"template": {"metadata": {"labels": {"job-name": "other"}}}}}),
                "spec.template.metadata.labels[job-name]: Invalid value",
            ),
            (json!({"spec": {"manualSelector": true}}), "spec.selector: Required value"),
            (
                json!({"metadata": {"name": "x".repeat(62)}, "spec": {"completionMode": "Indexed"}}),
                "will not able to create pod with invalid DNS label",
            ),
        ],
    );
}

#[test]
fn the_server_makes_selectors() {
    let row = resource("batch", "jobs");
    let made = create(row, job()).expect("valid");
    assert_eq!(
        made["spec"]["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})
    );
    let labels = json!({"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j",
        "controller-uid": "u", "job-name": "j"});
    assert_eq!(made["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(made["metadata"]["labels"], labels);
    let own = json!({"spec": {"manualSelector": true, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}}}});
    let made = create(row, changed(&job(), &own)).expect("valid");
    assert_eq!(made["spec"]["template"]["metadata"]["labels"], json!({"a": "b"}));
    let per_index = indexed(&json!({"backoffLimitPerIndex": 1}));
    let made = create(row, changed(&job(), &per_index)).expect("valid");
    assert_eq!(made["spec"]["backoffLimit"], i32::MAX);
}

#[test]
fn running_jobs_hardly_change() {
    let row = resource("batch", "jobs");
    let old = create(row, job()).expect("valid");
    let update = |old: &Value, change: Value| {
        let mut new = changed(old, &change);
        before_update(row, &mut new, old).map(|()| new).map_err(|status| status.message)
    };
    for (change, wanted) in [
        (
            json!({"spec": {"completions": 2}}),
            "spec.completions: Invalid value: 2: field is immutable",
        ),
        (
            json!({"spec": {"completionMode": "Indexed"}}),
            "spec.completionMode: Invalid value: \"Indexed\": field is immutable",
        ),
        (
            json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}),
            "spec.template: Invalid value",
        ),
        (
            json!({"spec": {"selector": {"matchLabels": {"job-name": "j"}}}}),
            "spec.selector: Invalid value",
        ),
    ] {
        let message = update(&old, change.clone()).expect_err(wanted);
        assert!(message.contains(wanted), "{change}\nwanted {wanted}\ngot    {message}");
    }
    let new = update(&old, json!({"spec": {"parallelism": 3, "suspend": true}})).expect("these do");
    assert_eq!(new["metadata"]["generation"], 2);
    // The manifest again, without what the server made.
    update(&old, job()).expect("no change");
    let mut manifest = job();
    crate::meta::ensure(&mut manifest);
    before_update(row, &mut manifest, &old).expect("no change");
    assert_eq!(manifest["spec"], old["spec"]);
    let waiting = create(row, changed(&job(), &json!({"spec": {"suspend": true}}))).expect("valid");
    let place = json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "x", "operator": "Exists"}]}]}}}}}}});
    update(&waiting, place).expect("told where to run before it begins");
    let elastic =
        create(row, changed(&job(), &indexed(&json!({"parallelism": 5})))).expect("valid");
    update(&elastic, json!({"spec": {"completions": 7, "parallelism": 7}})).expect("grows");
    let alone = update(&elastic, json!({"spec": {"completions": 7}})).expect_err("alone");
    assert!(alone.contains("can only be modified in tandem with spec.parallelism"), "{alone}");
}

#[test]
fn the_end_of_a_job_is_final() {
    let row = resource("batch", "jobs");
    let started = |status: Value| {
        let mut job = create(row, job()).expect("valid");
        job["status"] = status;
        job
    };
    let condition = |kind: &str| json!({"type": kind, "status": "True"});
    let complete = json!({"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z",
        "succeeded": 1, "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]});
    let running = started(json!({"startTime": "2026-01-01T00:00:00Z", "active": 1, "failed": 2}));
    let update = |old: &Value, status: &Value| {
        let mut new = old.clone();
        new["status"] = status.clone();
        before_status_update(row, &mut new, old).map_err(|status| status.message)
    };
    let mut done = complete.clone();
    done["failed"] = 2.into();
    update(&running, &done).expect("a job may end");
    let with = |change: Value| changed(&json!({"s": done}), &json!({"s": change}))["s"].clone();
    for (old, status, wanted) in [
        (
            &running,
            json!({"startTime": "2026-01-01T00:00:00Z", "failed": 1}),
            "cannot decrease the failed counter",
        ),
        (&running, json!({"failed": 2}), "startTime cannot be removed for unsuspended job"),
        (
            &running,
            with(json!({"completionTime": null})),
            "completionTime is required for Complete jobs",
        ),
        (
            &running,
            with(json!({"completionTime": "2025-01-01T00:00:00Z"})),
            "completionTime cannot be set before startTime",
        ),
        (&running, with(json!({"active": 1})), "active>0 is invalid for finished job"),
        (&running, with(json!({"ready": 1})), "cannot set more ready pods than active"),
        (
            &running,
            with(json!({"conditions": [condition("Complete")]})),
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (
            &running,
            with(json!({"conditions": [condition("Failed")], "completionTime": null})),
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            &running,
            with(json!({"completedIndexes": "0"})),
            "cannot set non-empty completedIndexes when non-indexed completion mode",
        ),
        (
            &running,
            with(json!({"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}})),
            "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
        ),
        (
            &started(done.clone()),
            json!({"startTime": "2026-01-01T00:00:00Z", "failed": 2, "succeeded": 1}),
            "cannot disable the terminal Complete=True condition",
        ),
        (
            &started(done.clone()),
            with(json!({"completionTime": "2026-01-01T00:02:00Z"})),
            "completionTime cannot be mutated",
        ),
    ] {
        let message = update(old, &status).expect_err(wanted);
        assert!(message.contains(wanted), "wanted {wanted}\ngot    {message}");
    }
}

#[test]
fn cron_jobs() {
    let base = json!({"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *",
        "jobTemplate": {"spec": job()["spec"]}}});
    let row = resource("batch", "cronjobs");
    let template = |change: Value| json!({"spec": {"jobTemplate": {"spec": change}}});
    refuses(
        row,
        &base,
        &[
            (json!({"spec": {"schedule": null}}), "spec.schedule: Required value"),
            (
                json!({"spec": {"schedule": "* * * *"}}),
                "spec.schedule: Invalid value: \"* * * *\": expected exactly 5 fields, found 4: [* * * *]",
            ),
            (
                json!({"spec": {"schedule": "TZ=UTC * * * * *"}}),
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ),
            (
                json!({"spec": {"timeZone": "Mars/Olympus"}}),
                "spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus",
            ),
            (
                json!({"spec": {"concurrencyPolicy": "Maybe"}}),
                "spec.concurrencyPolicy: Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
            ),
            (
                json!({"spec": {"successfulJobsHistoryLimit": -1}}),
                "spec.successfulJobsHistoryLimit: Invalid value: -1",
            ),
            (
                template(json!({"selector": {"matchLabels": {"a": "b"}}})),
                "spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated",
            ),
            (
                template(json!({"manualSelector": true})),
                "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\"",
            ),
            (
                template(json!({"template": {"spec": {"restartPolicy": "Always"}}})),
                "spec.jobTemplate.spec.template.spec.restartPolicy: Required value",
            ),
            (json!({"metadata": {"name": "x".repeat(53)}}), "must be no more than 52 characters"),
        ],
    );
    let old = create(row, base).expect("valid");
    let mut new =
        changed(&old, &json!({"spec": {"suspend": true}, "status": {"active": [{"name": "x"}]}}));
    before_update(row, &mut new, &old).expect("valid");
    assert_eq!((&new["metadata"]["generation"], &new["status"]), (&json!(2), &json!({})));
}
