//! ReplicationController: counts, ownership, restarts.

use std::collections::BTreeSet;

use controllers::Config;
use k8s_openapi::api::core::v1::{Event, Pod, ReplicationController};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::api::{Cluster, eventually};

pub(crate) fn controller(name: &str, replicas: i32) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"app": name},
        "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}}}})
}

pub(crate) async fn pods(cluster: &Cluster, app: &str) -> Vec<Pod> {
    let params = ListParams::default().labels(&format!("app={app}"));
    cluster.api::<Pod>("default").list(&params).await.unwrap().items
}

/// Waits until exactly so many pods that are not going exist, and returns them.
pub(crate) async fn settled(cluster: &Cluster, app: &str, count: usize) -> Vec<Pod> {
    eventually(&format!("{count} pods of {app}"), || async {
        let mut pods = pods(cluster, app).await;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        if pods.len() == count {
            Ok(pods)
        } else {
            Err(pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>())
        }
    })
    .await
}

async fn status(cluster: &Cluster, name: &str, expected: Value) {
    eventually(&format!("status of {name}"), || async {
        let rc = cluster.api::<ReplicationController>("default").get(name).await.unwrap();
        let status = serde_json::to_value(rc.status).unwrap();
        let same = expected.as_object().unwrap().iter().all(|(key, value)| status[key] == *value);
        if same { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test]
async fn as_many_pods_as_asked_for() {
    let cluster = Cluster::start(Config::default()).await;
    let created: ReplicationController = cluster.create("default", controller("web", 20)).await;
    let made = settled(&cluster, "web", 20).await;
    for pod in &made {
        assert!(pod.name_any().starts_with("web-"), "{}", pod.name_any());
        let owner = &pod.owner_references()[0];
        assert_eq!((Some(&owner.uid), owner.controller), (created.uid().as_ref(), Some(true)));
    }
    status(
        &cluster,
        "web",
        json!({"replicas": 20, "fullyLabeledReplicas": 20,
        "observedGeneration": 1}),
    )
    .await;

    // Three are made ready: they are the ones that stay.
    let api = cluster.api::<Pod>("default");
    let mut ready = BTreeSet::new();
    for pod in &made[..3] {
        let patch = json!({"status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let name = pod.name_any();
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        ready.insert(name);
    }
    status(&cluster, "web", json!({"readyReplicas": 3, "availableReplicas": 3})).await;
    let scale = json!({"spec": {"replicas": 3}});
    let controllers = cluster.api::<ReplicationController>("default");
    controllers.patch("web", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    let left = settled(&cluster, "web", 3).await;
    assert_eq!(left.iter().map(ResourceExt::name_any).collect::<BTreeSet<_>>(), ready);

    // One is deleted by a user: it is replaced.
    let gone = left[0].name_any();
    api.delete(&gone, &DeleteParams::default().grace_period(0)).await.unwrap();
    let left = settled(&cluster, "web", 3).await;
    assert!(left.iter().all(|pod| pod.name_any() != gone));

    eventually("events", || async {
        let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let of = |reason: &str| {
            let said = events.items.iter().filter(|e| e.reason.as_deref() == Some(reason));
            let said = said.filter(|e| e.involved_object.name.as_deref() == Some("web"));
            said.map(|e| e.count.unwrap_or(0)).collect::<Vec<_>>()
        };
        let (mut made, deleted) = (of("SuccessfulCreate"), of("SuccessfulDelete"));
        made.sort_unstable();
        // 20 pods are nine events and one that combines the others; five of 17 deletions are told
        // until 25 events are written.
        let expected = ([[1; 9].as_slice(), &[11]].concat(), vec![1; 5]);
        if (&made, &deleted) == (&expected.0, &expected.1) { Ok(()) } else { Err((made, deleted)) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn orphans_are_adopted_and_strangers_released() {
    let cluster = Cluster::start(Config::default()).await;
    let orphan: Pod = cluster
        .create(
            "default",
            json!({"metadata": {"name": "orphan", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}}),
        )
        .await;
    let created: ReplicationController = cluster.create("default", controller("web", 2)).await;
    let made = settled(&cluster, "web", 2).await;
    assert!(made.iter().any(|pod| pod.uid() == orphan.uid()), "the orphan counts");
    let api = cluster.api::<Pod>("default");
    eventually("adoption", || async {
        let owners = api.get("orphan").await.unwrap().owner_references().to_vec();
        if owners.first().map(|o| &o.uid) == created.uid().as_ref() { Ok(()) } else { Err(owners) }
    })
    .await;

    let relabel = json!({"metadata": {"labels": {"app": "other"}}});
    api.patch("orphan", &PatchParams::default(), &Patch::Merge(relabel)).await.unwrap();
    settled(&cluster, "web", 2).await;
    eventually("release", || async {
        let owners = api.get("orphan").await.unwrap().owner_references().to_vec();
        if owners.is_empty() { Ok(()) } else { Err(owners) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn restarts_neither_lose_nor_double() {
    let cluster = Cluster::without_controllers().await;
    let _: ReplicationController = cluster.create("default", controller("web", 60)).await;
    // Stopped in the middle of creating, several times.
    for pods_seen in [1, 10, 30] {
        let stop = CancellationToken::new();
        let running = cluster.controllers(Config::default(), &stop);
        eventually("some pods", || async {
            let count = pods(&cluster, "web").await.len();
            if count >= pods_seen { Ok(()) } else { Err(count) }
        })
        .await;
        stop.cancel();
        running.await.unwrap();
    }
    let stop = CancellationToken::new();
    drop(cluster.controllers(Config::default(), &stop));
    settled(&cluster, "web", 60).await;
    status(&cluster, "web", json!({"replicas": 60})).await;
    // Had there ever been too many, some would have been deleted.
    let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
    let deletions = events.items.iter().filter(|e| e.reason.as_deref() == Some("SuccessfulDelete"));
    assert_eq!(deletions.count(), 0);
    stop.cancel();
    cluster.stop().await;
}

#[tokio::test]
async fn a_failure_is_said_in_the_status_and_healed() {
    let cluster = Cluster::start(Config::default()).await;
    // The template is valid when the controller is created and refused when its pods are: the
    // namespace admits no pod whose service account is missing.
    let mut rc = controller("web", 2);
    rc["spec"]["template"]["spec"]["serviceAccountName"] = json!("nobody");
    let api = cluster.api::<ReplicationController>("default");
    let rc: ReplicationController = serde_json::from_value(rc).unwrap();
    api.create(&PostParams::default(), &rc).await.unwrap();
    let made = eventually("pods or a failure", || async {
        let rc = api.get("web").await.unwrap();
        let conditions = rc.status.and_then(|s| s.conditions).unwrap_or_default();
        let failed = conditions.iter().any(|c| c.type_ == "ReplicaFailure" && c.status == "True");
        match (failed, pods(&cluster, "web").await.len()) {
            (true, _) => Ok(false),
            (_, 2) => Ok(true),
            other => Err(other),
        }
    })
    .await;
    if made {
        eprintln!("this API server does not check service accounts: no failure to see");
    } else {
        let account = json!({"metadata": {"name": "nobody"}});
        let _: k8s_openapi::api::core::v1::ServiceAccount =
            cluster.create("default", account).await;
        settled(&cluster, "web", 2).await;
        eventually("the condition goes", || async {
            let conditions = api.get("web").await.unwrap().status.and_then(|s| s.conditions);
            if conditions.is_none() { Ok(()) } else { Err(conditions) }
        })
        .await;
    }
    cluster.stop().await;
}
