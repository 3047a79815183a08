//! CronJobs: a Job at its time, once, and the books of those that were made.

use controllers::Config;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};

fn cron_job(name: &str, spec: Value) -> Value {
    let mut value = json!({"metadata": {"name": name}, "spec": {"schedule": "@every 1s",
        "jobTemplate": {"metadata": {"labels": {"cron": name}}, "spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}}}}});
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    value
}

async fn jobs(cluster: &Cluster, name: &str) -> Vec<Job> {
    let params = ListParams::default().labels(&format!("cron={name}"));
    cluster.api::<Job>("default").list(&params).await.unwrap().items
}

/// Ends a Job as its controller would.
async fn complete(cluster: &Cluster, job: &Job) {
    let at = "2030-01-01T00:00:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": at});
    let status = json!({"status": {"startTime": at, "completionTime": at, "active": null,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}});
    let api = cluster.api::<Job>("default");
    let (params, patch) = (PatchParams::default(), Patch::Merge(status));
    api.patch_status(&job.name_any(), &params, &patch).await.unwrap();
}

#[tokio::test]
async fn a_job_is_made_in_time_and_noted() {
    let cluster = Cluster::start(Config::default()).await;
    // Whoever runs the Jobs is not this controller: they end when the test says so.
    let mut forbid = cron_job(
        "web",
        json!({"concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 1}),
    );
    forbid["spec"]["jobTemplate"]["spec"]["managedBy"] = json!("example.com/test");
    let created: CronJob = cluster.create("default", forbid).await;
    let made = eventually("a Job", || async {
        let jobs = jobs(&cluster, "web").await;
        if jobs.len() == 1 { Ok(jobs) } else { Err(jobs.len()) }
    })
    .await;
    let job = &made[0];
    assert_eq!(job.owner_references()[0].uid, created.uid().unwrap());
    let due = &job.annotations()["batch.kubernetes.io/cronjob-scheduled-timestamp"];
    let minute = due.parse::<jiff::Timestamp>().unwrap().as_second() / 60;
    assert_eq!(job.name_any(), format!("web-{minute}"));

    let api = cluster.api::<CronJob>("default");
    eventually("the Job is active", || async {
        let status = api.get("web").await.unwrap().status.unwrap_or_default();
        let active: Vec<_> = status.active.iter().flatten().map(|job| job.uid.clone()).collect();
        if active == [job.uid()] && status.last_schedule_time.is_some() {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
    complete(&cluster, job).await;
    eventually("the end is noted", || async {
        let status = api.get("web").await.unwrap().status.unwrap_or_default();
        if status.last_successful_time.is_some() { Ok(()) } else { Err(status) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_suspended_one_waits_and_history_is_kept_short() {
    let cluster = Cluster::start(Config::default()).await;
    let spec = json!({"suspend": true, "successfulJobsHistoryLimit": 1});
    let created: CronJob = cluster.create("default", cron_job("web", spec)).await;
    // As `kubectl create job --from=cronjob/web` makes them.
    for name in ["one", "two", "three"] {
        let mut job = crate::jobs::job(name, json!({"managedBy": "example.com/test"}));
        job["metadata"]["labels"] = json!({"cron": "web"});
        job["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob",
            "name": "web", "uid": created.uid(), "controller": true}]);
        let job: Job = cluster.create("default", job).await;
        complete(&cluster, &job).await;
    }
    eventually("one is left", || async {
        let left: Vec<_> = jobs(&cluster, "web").await.iter().map(ResourceExt::name_any).collect();
        // All have started at once: the name decides.
        if left == ["two"] { Ok(()) } else { Err(left) }
    })
    .await;
    cluster.stop().await;
}
