//! Nodes that fall silent, and pods on nodes that are no more.

use std::time::Duration;

use controllers::Config;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};

async fn node(cluster: &Cluster, name: &str) -> Api<Node> {
    let api: Api<Node> = Api::all(cluster.client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    api.create(&PostParams::default(), &node).await.unwrap();
    ready(&api, name).await;
    api
}

async fn ready(api: &Api<Node>, name: &str) {
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}});
    api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
}

async fn pod(cluster: &Cluster, name: &str, tolerations: Value) {
    let _: Pod = cluster
        .create(
            "default",
            json!({"metadata": {"name": name}, "spec": {"nodeName": "n1",
            "tolerations": tolerations, "containers": [{"name": "c", "image": "busybox"}]}}),
        )
        .await;
    let patch = json!({"status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}]}});
    let api = cluster.api::<Pod>("default");
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn taints(node: &Node) -> Vec<String> {
    let taints = node.spec.clone().and_then(|spec| spec.taints).unwrap_or_default();
    taints.iter().map(|t| format!("{}:{}", t.key, t.effect)).collect()
}

#[tokio::test]
async fn a_silent_node_is_tainted_and_emptied_and_comes_back() {
    let grace = Duration::from_secs(3);
    let cluster = Cluster::start(Config { node_grace: grace, ..Config::default() }).await;
    let api = node(&cluster, "n1").await;
    pod(&cluster, "loyal", json!([{"operator": "Exists"}])).await;
    pod(
        &cluster,
        "brief",
        json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
        "effect": "NoExecute", "tolerationSeconds": 0}]),
    )
    .await;

    eventually("unreachable", || async {
        let node = api.get("n1").await.unwrap();
        let has = taints(&node);
        let expected = ["NoSchedule", "NoExecute"]
            .map(|effect| format!("node.kubernetes.io/unreachable:{effect}"));
        if has == expected { Ok(()) } else { Err(has) }
    })
    .await;
    let pods = cluster.api::<Pod>("default");
    eventually("the brief one is evicted, the loyal one marked", || async {
        let brief = pods.get_opt("brief").await.unwrap();
        let evicted = brief.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
        let loyal = pods.get("loyal").await.unwrap();
        let marked = !::api::pod::is_ready(&loyal) && loyal.metadata.deletion_timestamp.is_none();
        if evicted && marked { Ok(()) } else { Err((evicted, marked)) }
    })
    .await;
    assert!(
        api.get("n1")
            .await
            .unwrap()
            .status
            .unwrap()
            .conditions
            .unwrap()
            .iter()
            .all(|c| c.status == "Unknown")
    );

    // It is heard from again.
    ready(&api, "n1").await;
    eventually("untainted", || async {
        let has = taints(&api.get("n1").await.unwrap());
        if has.is_empty() { Ok(()) } else { Err(has) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn renewing_the_lease_is_enough() {
    let grace = Duration::from_secs(2);
    let cluster = Cluster::start(Config { node_grace: grace, ..Config::default() }).await;
    let nodes = node(&cluster, "n1").await;
    let silent = node(&cluster, "n2").await;
    let leases = cluster.api::<Lease>("kube-node-lease");
    let lease = serde_json::from_value(json!({"metadata": {"name": "n1"}, "spec": {}})).unwrap();
    leases.create(&PostParams::default(), &lease).await.unwrap();
    // Renewed until long after the other node, which has no lease, is gone.
    let mut renewals = 0;
    let mut after_the_other = 0;
    while after_the_other < 30 {
        renewals += 1;
        let time = format!("2026-01-01T00:{:02}:{:02}.000000Z", renewals / 60, renewals % 60);
        let patch = Patch::Merge(json!({"spec": {"renewTime": time}}));
        leases.patch("n1", &PatchParams::default(), &patch).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        if !taints(&silent.get("n2").await.unwrap()).is_empty() {
            after_the_other += 1;
        }
        assert!(renewals < 600, "the other node was never tainted");
    }
    assert_eq!(taints(&nodes.get("n1").await.unwrap()), Vec::<String>::new());
    cluster.stop().await;
}

#[tokio::test]
async fn pods_of_a_deleted_node_are_removed() {
    let cluster = Cluster::start(Config::default()).await;
    let api = node(&cluster, "n1").await;
    pod(&cluster, "lost", json!([{"operator": "Exists"}])).await;
    api.delete("n1", &DeleteParams::default()).await.unwrap();
    let pods = cluster.api::<Pod>("default");
    eventually("the pod goes", || async {
        match pods.get_opt("lost").await.unwrap() {
            None => Ok(()),
            Some(left) => Err(left.metadata),
        }
    })
    .await;
    cluster.stop().await;
}
