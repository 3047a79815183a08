//! Jobs: pods that end are counted once, and the Job ends with them.

use controllers::Config;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::api::{Cluster, eventually};

const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

pub(crate) fn job(name: &str, spec: Value) -> Value {
    let mut value = json!({"metadata": {"name": name}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}}});
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    value
}

async fn pods_of(cluster: &Cluster, job: &str) -> Vec<Pod> {
    let params = ListParams::default().labels(&format!("job-name={job}"));
    cluster.api::<Pod>("default").list(&params).await.unwrap().items
}

/// Waits until so many pods of the Job have not ended, and returns them.
async fn running(cluster: &Cluster, job: &str, count: usize) -> Vec<Pod> {
    eventually(&format!("{count} pods of {job}"), || async {
        let mut pods = pods_of(cluster, job).await;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none() && !api::pod::is_finished(pod));
        if pods.len() == count {
            Ok(pods)
        } else {
            Err(pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>())
        }
    })
    .await
}

/// Ends a pod, as its agent would tell.
async fn end(cluster: &Cluster, pod: &Pod, phase: &str, code: i32) {
    let status = json!({"status": {"phase": phase, "containerStatuses": [{"name": "c",
        "image": "busybox", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "finishedAt": "2026-01-01T00:00:00Z"}}}]}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(status));
    let pods = cluster.api::<Pod>("default");
    pods.patch_status(&pod.name_any(), &params, &patch).await.unwrap();
}

/// Waits for fields of the status; conditions are compared by type and reason.
pub(crate) async fn status(cluster: &Cluster, name: &str, expected: Value) {
    eventually(&format!("status of {name}"), || async {
        let job = cluster.api::<Job>("default").get(name).await.unwrap();
        let mut status = serde_json::to_value(job.status).unwrap();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        status["conditions"] = conditions
            .iter()
            .filter(|c| c["status"] == "True")
            .map(|c| json!([c["type"], c["reason"]]))
            .collect();
        let same = expected.as_object().unwrap().iter().all(|(key, value)| status[key] == *value);
        if same { Ok(()) } else { Err(status) }
    })
    .await;
}

async fn freed(cluster: &Cluster, job: &str) {
    eventually("finalizers", || async {
        let pods = pods_of(cluster, job).await;
        let held = pods.iter().filter(|p| p.finalizers().contains(&FINALIZER.to_owned())).count();
        if held == 0 { Ok(()) } else { Err(held) }
    })
    .await;
}

#[tokio::test]
async fn completions_are_counted_once() {
    let cluster = Cluster::start(Config::default()).await;
    let spec = json!({"completions": 5, "parallelism": 2});
    let _: Job = cluster.create("default", job("work", spec)).await;
    for left in [2, 2, 2, 2, 1] {
        let pods = running(&cluster, "work", left).await;
        assert!(pods.iter().all(|p| p.finalizers().contains(&FINALIZER.to_owned())));
        end(&cluster, &pods[0], "Succeeded", 0).await;
    }
    let wanted = json!({"succeeded": 5, "active": null, "ready": 0, "terminating": 0,
        "uncountedTerminatedPods": {},
        "conditions": [["SuccessCriteriaMet", "CompletionsReached"], ["Complete", "CompletionsReached"]]});
    status(&cluster, "work", wanted).await;
    assert_eq!(pods_of(&cluster, "work").await.len(), 5);
    freed(&cluster, "work").await;
    eventually("events", || async {
        let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let of = |reason: &str| {
            let said = events.items.iter().filter(|e| e.reason.as_deref() == Some(reason));
            said.filter(|e| e.involved_object.name.as_deref() == Some("work")).count()
        };
        let counts = (of("SuccessfulCreate"), of("Completed"));
        if counts == (5, 1) { Ok(()) } else { Err(counts) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn restarts_count_no_pod_twice() {
    let cluster = Cluster::without_controllers().await;
    let spec = json!({"completions": 30, "parallelism": 10});
    let _: Job = cluster.create("default", job("work", spec)).await;
    let mut ended = 0;
    for until in [7, 16, 30] {
        let stop = CancellationToken::new();
        let controllers = cluster.controllers(Config::default(), &stop);
        while ended < until {
            let left = (30 - ended).min(10);
            let pods = running(&cluster, "work", left).await;
            for pod in pods.iter().take(until - ended) {
                end(&cluster, pod, "Succeeded", 0).await;
                ended += 1;
            }
        }
        // Stopped in the middle of counting, if it comes to that.
        if ended == 30 {
            status(&cluster, "work", json!({"succeeded": 30, "failed": null})).await;
        }
        stop.cancel();
        controllers.await.unwrap();
    }
    assert_eq!(pods_of(&cluster, "work").await.len(), 30);
    cluster.stop().await;
}

#[tokio::test]
async fn failures_end_the_job_and_stop_its_pods() {
    let cluster = Cluster::start(Config::default()).await;
    let spec = json!({"completions": 3, "parallelism": 3, "backoffLimit": 0});
    let _: Job = cluster.create("default", job("work", spec)).await;
    let pods = running(&cluster, "work", 3).await;
    end(&cluster, &pods[0], "Failed", 1).await;
    let reason = "BackoffLimitExceeded";
    let conditions = json!([["FailureTarget", reason], ["Failed", reason]]);
    status(&cluster, "work", json!({"failed": 3, "active": null, "conditions": conditions})).await;
    freed(&cluster, "work").await;
    cluster.stop().await;
}

#[tokio::test]
async fn indexed_jobs_try_an_index_again_and_tell_it_its_index() {
    let cluster = Cluster::start(Config::default()).await;
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "backoffLimitPerIndex": 1, "podFailurePolicy": {"rules": [{"action": "FailIndex",
            "onExitCodes": {"operator": "In", "values": [42]}}]}});
    let _: Job = cluster.create("default", job("work", spec)).await;
    let mut pods = running(&cluster, "work", 3).await;
    pods.sort_by_key(|pod| pod.annotations()[INDEX].clone());
    for (n, pod) in pods.iter().enumerate() {
        assert_eq!(pod.labels()[INDEX], n.to_string());
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.hostname, Some(format!("work-{n}")));
        let variable = &spec.containers[0].env.as_ref().unwrap()[0];
        assert_eq!(variable.name, "JOB_COMPLETION_INDEX");
        assert!(pod.name_any().starts_with(&format!("work-{n}-")), "{}", pod.name_any());
    }
    end(&cluster, &pods[0], "Failed", 1).await;
    end(&cluster, &pods[1], "Failed", 42).await;
    end(&cluster, &pods[2], "Succeeded", 0).await;
    // Index 0 is tried again, index 1 is not.
    let again = running(&cluster, "work", 1).await;
    assert_eq!(again[0].annotations()[INDEX], "0");
    assert_eq!(again[0].annotations()["batch.kubernetes.io/job-index-failure-count"], "1");
    end(&cluster, &again[0], "Succeeded", 0).await;
    let conditions = json!([["FailureTarget", "FailedIndexes"], ["Failed", "FailedIndexes"]]);
    let wanted = json!({"completedIndexes": "0,2", "failedIndexes": "1", "succeeded": 2,
        "failed": 2, "conditions": conditions});
    status(&cluster, "work", wanted).await;
    cluster.stop().await;
}

#[tokio::test]
async fn suspended_jobs_have_no_pods_and_go_on_later() {
    let cluster = Cluster::start(Config::default()).await;
    let spec = json!({"completions": 2, "parallelism": 2, "suspend": true});
    let _: Job = cluster.create("default", job("work", spec)).await;
    let suspended = json!([["Suspended", "JobSuspended"]]);
    status(&cluster, "work", json!({"startTime": null, "conditions": suspended})).await;
    assert!(pods_of(&cluster, "work").await.is_empty());
    let api = cluster.api::<Job>("default");
    let suspend = async |is: bool| {
        let patch = Patch::Merge(json!({"spec": {"suspend": is}}));
        api.patch("work", &PatchParams::default(), &patch).await.unwrap();
    };
    suspend(false).await;
    let pods = running(&cluster, "work", 2).await;
    end(&cluster, &pods[0], "Succeeded", 0).await;
    status(&cluster, "work", json!({"succeeded": 1, "active": 1})).await;
    suspend(true).await;
    status(&cluster, "work", json!({"succeeded": 1, "active": null, "failed": null})).await;
    running(&cluster, "work", 0).await;
    cluster.stop().await;
}

#[tokio::test]
async fn success_policy_and_time_to_live() {
    let cluster = Cluster::start(Config::default()).await;
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "ttlSecondsAfterFinished": 1000,
        "successPolicy": {"rules": [{"succeededIndexes": "1"}]}});
    let _: Job = cluster.create("default", job("work", spec)).await;
    let pods = running(&cluster, "work", 3).await;
    let leader = pods.iter().find(|pod| pod.annotations()[INDEX] == "1").unwrap();
    end(&cluster, leader, "Succeeded", 0).await;
    let reason = "SuccessPolicy";
    let conditions = json!([["SuccessCriteriaMet", reason], ["Complete", reason]]);
    status(&cluster, "work", json!({"succeeded": 1, "failed": null, "conditions": conditions}))
        .await;
    // Its time is over when its user says so.
    let api = cluster.api::<Job>("default");
    let patch = Patch::Merge(json!({"spec": {"ttlSecondsAfterFinished": 0}}));
    api.patch("work", &PatchParams::default(), &patch).await.unwrap();
    eventually("the Job and its pods are gone", || async {
        let (job, pods) = (api.get_opt("work").await.unwrap(), pods_of(&cluster, "work").await);
        if job.is_none() && pods.is_empty() { Ok(()) } else { Err((job, pods.len())) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn deleted_jobs_leave_no_pod_behind() {
    let cluster = Cluster::start(Config::default()).await;
    let api = cluster.api::<Job>("default");
    for (name, how) in
        [("background", DeleteParams::background()), ("foreground", DeleteParams::foreground())]
    {
        let _: Job =
            cluster.create("default", job(name, json!({"completions": 2, "parallelism": 2}))).await;
        running(&cluster, name, 2).await;
        api.delete(name, &how).await.unwrap();
        eventually("the Job and its pods are gone", || async {
            let (job, pods) = (api.get_opt(name).await.unwrap(), pods_of(&cluster, name).await);
            if job.is_none() && pods.is_empty() { Ok(()) } else { Err((job, pods.len())) }
        })
        .await;
    }
    // Somebody else's Job is left alone.
    let spec = json!({"managedBy": "example.com/other"});
    let _: Job = cluster.create("default", job("theirs", spec)).await;
    let _: Job = cluster.create("default", job("ours", json!({}))).await;
    running(&cluster, "ours", 1).await;
    assert!(pods_of(&cluster, "theirs").await.is_empty());
    cluster.stop().await;
}
