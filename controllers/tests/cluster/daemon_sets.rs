//! DaemonSets: a pod per node, updates, nodes that come and go.

use std::collections::BTreeMap;

use controllers::Config;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};
use crate::kubelet::{self, Notes, image, serves};

fn set(strategy: Value) -> Value {
    json!({"metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}},
        "updateStrategy": {"rollingUpdate": strategy}, "template": template("one")}})
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "agent"}}, "spec": {
        "nodeSelector": {"os": "linux"}, "containers": [{"name": "c", "image": image}]}})
}

fn changed(image: &str) -> Value {
    json!({"spec": {"template": template(image)}})
}

async fn node(cluster: &Cluster, name: &str, os: &str) {
    let api: Api<Node> = Api::all(cluster.client.clone());
    let node = json!({"metadata": {"name": name, "labels": {"os": os}}});
    api.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}});
    let (params, status) = (PatchParams::default(), Patch::Strategic(status));
    api.patch_status(name, &params, &status).await.unwrap();
}

/// The node that a pod is meant for.
fn node_of(pod: &Pod) -> String {
    let affinity = &serde_json::to_value(&pod.spec).unwrap()["affinity"]["nodeAffinity"];
    let terms = &affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    terms[0]["matchFields"][0]["values"][0].as_str().unwrap().to_owned()
}

async fn pods(cluster: &Cluster) -> BTreeMap<String, Pod> {
    let found = cluster.api::<Pod>("default").list(&ListParams::default()).await.unwrap();
    found.items.into_iter().map(|pod| (node_of(&pod), pod)).collect()
}

/// Waits until exactly these nodes have a pod, and what is reported agrees.
async fn on(cluster: &Cluster, expected: &[&str]) -> DaemonSet {
    eventually(&format!("pods on {expected:?}"), || async {
        let nodes: Vec<String> = pods(cluster).await.into_keys().collect();
        if nodes == expected { Ok(()) } else { Err(nodes) }
    })
    .await;
    let count = i32::try_from(expected.len()).unwrap();
    cluster
        .until("default", "agent", "the report", |found: &DaemonSet| {
            let status = found.status.clone().unwrap_or_default();
            status.observed_generation == found.metadata.generation
                && status.desired_number_scheduled == count
                && status.number_available.unwrap_or(0) == count
                && status.updated_number_scheduled.unwrap_or(0) == count
        })
        .await
}

#[tokio::test]
async fn nodes_that_fit_have_a_pod() {
    let cluster = Cluster::start(Config::default()).await;
    kubelet::run(&cluster, |_| {});
    for (name, os) in [("a", "linux"), ("b", "linux"), ("w", "windows")] {
        node(&cluster, name, os).await;
    }
    let _: DaemonSet = cluster.create("default", set(json!({}))).await;
    on(&cluster, &["a", "b"]).await;
    let pod = pods(&cluster).await.remove("a").unwrap();
    let spec = pod.spec.clone().unwrap();
    assert!(
        spec.tolerations.unwrap().iter().any(|toleration| {
            toleration.key.as_deref() == Some("node.kubernetes.io/unreachable")
        })
    );
    assert_eq!(pod.labels()["pod-template-generation"], "1");

    // A new node, one that changes, one that is closed, one that goes.
    node(&cluster, "c", "linux").await;
    on(&cluster, &["a", "b", "c"]).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let (params, relabel) = (PatchParams::default(), json!({"metadata": {"labels": {"os": "x"}}}));
    nodes.patch("b", &params, &Patch::Merge(relabel)).await.unwrap();
    on(&cluster, &["a", "c"]).await;
    nodes.delete("c", &DeleteParams::default()).await.unwrap();
    on(&cluster, &["a"]).await;

    // A pod that has failed is told of and replaced.
    let failed = json!({"status": {"phase": "Failed"}});
    let api = cluster.api::<Pod>("default");
    api.patch_status(&pod.name_any(), &params, &Patch::Merge(failed)).await.unwrap();
    eventually("another pod", || async {
        let uid = pods(&cluster).await.get("a").and_then(ResourceExt::uid);
        if uid.is_some() && uid != pod.uid() { Ok(()) } else { Err(uid) }
    })
    .await;
    eventually("the event", || async {
        let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let reasons: Vec<_> = events.items.into_iter().filter_map(|event| event.reason).collect();
        let told = reasons.iter().any(|reason| reason == "FailedDaemonPod");
        if told { Ok(()) } else { Err(reasons) }
    })
    .await;
    cluster.stop().await;
}

/// Rolls an update out over three nodes; notes moments with fewer than `least` serving pods or more
/// than `most`.
async fn update(strategy: Value, least: usize, most: usize) {
    let cluster = Cluster::start(Config::default()).await;
    let (notes, told) = (Notes::default(), Notes::default());
    let noted = notes.clone();
    kubelet::run(&cluster, move |pods| {
        let serving = pods.values().filter(|pod| serves(pod)).count();
        if serving == 3 && told.all().is_empty() {
            told.add("complete".to_owned());
        }
        let there = pods.len();
        if !told.all().is_empty() && (serving < least || there > most) {
            noted.add(format!("{there} pods, {serving} serve"));
        }
    });
    for name in ["a", "b", "c"] {
        node(&cluster, name, "linux").await;
    }
    let _: DaemonSet = cluster.create("default", set(strategy)).await;
    on(&cluster, &["a", "b", "c"]).await;
    let _: DaemonSet = cluster.patch("default", "agent", changed("two")).await;
    eventually("all of the new", || async {
        let listed = cluster.api::<Pod>("default").list(&ListParams::default()).await.unwrap();
        let images: Vec<String> = listed.iter().map(|pod| image(pod).to_owned()).collect();
        if images == ["two", "two", "two"] { Ok(()) } else { Err(images) }
    })
    .await;
    on(&cluster, &["a", "b", "c"]).await;

    // And back: the first revision gets a new number.
    let _: DaemonSet = cluster.patch("default", "agent", changed("one")).await;
    eventually("all of the old", || async {
        let listed = cluster.api::<Pod>("default").list(&ListParams::default()).await.unwrap();
        let images: Vec<String> = listed.iter().map(|pod| image(pod).to_owned()).collect();
        if images == ["one", "one", "one"] { Ok(()) } else { Err(images) }
    })
    .await;
    let revisions = cluster.api::<ControllerRevision>("default");
    let revisions = revisions.list(&ListParams::default()).await.unwrap();
    let mut numbers: Vec<i64> = revisions.iter().map(|revision| revision.revision).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
    assert_eq!(notes.all(), [] as [&str; 0]);
    cluster.stop().await;
}

#[tokio::test]
async fn an_update_takes_one_pod_away_at_a_time() {
    update(json!({"maxUnavailable": 1, "maxSurge": 0}), 2, 3).await;
}

#[tokio::test]
async fn a_surge_loses_none() {
    update(json!({"maxUnavailable": 0, "maxSurge": 1}), 3, 4).await;
}
