//! PodDisruptionBudgets: what they allow follows their pods, and evictions spend it.

use controllers::Config;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{EvictParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};
use crate::replication::{controller, settled};

fn budget(name: &str, app: &str, spec: Value) -> Value {
    let mut value = json!({"metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": app}}}});
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    value
}

/// Waits until the budget says: expected, desired, healthy pods and disruptions allowed.
async fn says(cluster: &Cluster, name: &str, numbers: [i32; 4]) {
    let api = cluster.api::<PodDisruptionBudget>("default");
    eventually(&format!("budget {name}"), || async {
        let status = api.get(name).await.unwrap().status.unwrap_or_default();
        let said = [
            status.expected_pods,
            status.desired_healthy,
            status.current_healthy,
            status.disruptions_allowed,
        ];
        if said == numbers.map(Some) { Ok(()) } else { Err(status) }
    })
    .await;
}

async fn ready(cluster: &Cluster, pod: &Pod) {
    let status = json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let api = cluster.api::<Pod>("default");
    let (params, patch) = (PatchParams::default(), Patch::Merge(status));
    api.patch_status(&pod.name_any(), &params, &patch).await.unwrap();
}

#[tokio::test]
async fn a_budget_follows_its_pods_and_is_spent_by_evictions() {
    let cluster = Cluster::start(Config::default()).await;
    let _: ReplicationController = cluster.create("default", controller("web", 3)).await;
    let pods = settled(&cluster, "web", 3).await;
    let share = budget("share", "web", json!({"maxUnavailable": 1}));
    let _: PodDisruptionBudget = cluster.create("default", share).await;
    says(&cluster, "share", [3, 2, 0, 0]).await;
    for pod in &pods {
        ready(&cluster, pod).await;
    }
    says(&cluster, "share", [3, 2, 3, 1]).await;

    let api = cluster.api::<Pod>("default");
    let evict = async |pod: &Pod| api.evict(&pod.name_any(), &EvictParams::default()).await;
    evict(&pods[0]).await.unwrap();
    let refused = evict(&pods[1]).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 429), "{refused:?}");

    // Its successor makes room for the next one.
    let left = settled(&cluster, "web", 3).await;
    says(&cluster, "share", [3, 2, 2, 0]).await;
    let new = left.iter().find(|pod| pods.iter().all(|old| old.uid() != pod.uid())).unwrap();
    ready(&cluster, new).await;
    says(&cluster, "share", [3, 2, 3, 1]).await;
    evict(&pods[1]).await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn pods_without_an_owner_count_by_number_only() {
    let cluster = Cluster::start(Config::default()).await;
    for name in ["a", "b"] {
        let pod = json!({"metadata": {"name": name, "labels": {"app": "bare"}},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        let pod: Pod = cluster.create("default", pod).await;
        ready(&cluster, &pod).await;
    }
    let number = budget("number", "bare", json!({"minAvailable": 1}));
    let _: PodDisruptionBudget = cluster.create("default", number).await;
    says(&cluster, "number", [2, 1, 2, 1]).await;
    let share = budget("share", "bare", json!({"minAvailable": "50%"}));
    let _: PodDisruptionBudget = cluster.create("default", share).await;
    says(&cluster, "share", [0, 0, 2, 0]).await;

    // Pods of a kind that has no number of pods: nothing can be told.
    let _: k8s_openapi::api::batch::v1::Job =
        cluster.create("default", crate::jobs::job("work", json!({}))).await;
    let jobs = budget(
        "jobs",
        "x",
        json!({"maxUnavailable": 1,
        "selector": {"matchLabels": {"job-name": "work"}}}),
    );
    let _: PodDisruptionBudget = cluster.create("default", jobs).await;
    let api = cluster.api::<PodDisruptionBudget>("default");
    eventually("a failure", || async {
        let status = api.get("jobs").await.unwrap().status.unwrap_or_default();
        let condition = status.conditions.iter().flatten().next().cloned();
        let wanted = "jobs.batch does not implement the scale subresource";
        if condition.as_ref().is_some_and(|c| c.reason == "SyncFailed" && c.message == wanted) {
            Ok(())
        } else {
            Err(condition)
        }
    })
    .await;
    cluster.stop().await;
}
