//! Nodes that fall silent, and pods on nodes that are no more.

use std::time::Duration;

use ::api::pod as pods;
use controllers::{Config, EvictionRates};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::api::{Cluster, eventually};
use crate::jobs::job;

/// Keeps a pod after its deletion, so that its end can be looked at.
const HOLD: &str = "test.wharf.dev/hold";

async fn node(cluster: &Cluster, name: &str) -> Api<Node> {
    let api: Api<Node> = Api::all(cluster.client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    api.create(&PostParams::default(), &node).await.unwrap();
    ready(&api, name).await;
    api
}

async fn ready(api: &Api<Node>, name: &str) {
    says(api, name, "True").await;
}

async fn says(api: &Api<Node>, name: &str, ready: &str) {
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": ready,
        "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}});
    api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
}

/// A node that renews its Lease, and says that it is ready whenever somebody denies it, until the token
/// is cancelled.
async fn living_node(cluster: &Cluster, name: &'static str) -> CancellationToken {
    let api = node(cluster, name).await;
    let leases = cluster.api::<Lease>("kube-node-lease");
    let lease = serde_json::from_value(json!({"metadata": {"name": name}, "spec": {}})).unwrap();
    leases.create(&PostParams::default(), &lease).await.unwrap();
    let silence = CancellationToken::new();
    let silent = silence.clone();
    cluster.spawn(async move {
        let mut seconds = 0;
        while !silent.is_cancelled() {
            seconds += 1;
            let time = format!(
                "2026-01-01T{:02}:{:02}:{:02}.000000Z",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60
            );
            let patch = Patch::Merge(json!({"spec": {"renewTime": time}}));
            leases.patch(name, &PatchParams::default(), &patch).await.unwrap();
            if condition(&api.get(name).await.unwrap()) != "True" {
                ready(&api, name).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    silence
}

/// What is said of the node's readiness.
fn condition(node: &Node) -> String {
    let conditions = node.status.clone().and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| ready.status).unwrap_or_default()
}

async fn taint(api: &Api<Node>, name: &str, taints: Value) {
    let patch = Patch::Merge(json!({"spec": {"taints": taints}}));
    api.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// Waits until the node has these taints and no others.
async fn has_taints(api: &Api<Node>, name: &str, what: &str, wanted: &[&str]) {
    eventually(what, || async {
        let has = taints(&api.get(name).await.unwrap());
        if has == wanted { Ok(()) } else { Err(has) }
    })
    .await;
}

async fn hold(cluster: &Cluster, name: &str) {
    let held = json!({"metadata": {"finalizers": [HOLD]}});
    cluster.patch::<Pod>("default", name, held).await;
}

/// The status and reason of the pod's condition `DisruptionTarget`.
fn disruption(pod: &Pod) -> Option<(&str, &str, &str)> {
    let it = pods::condition(pod, "DisruptionTarget")?;
    Some((&it.status, it.reason.as_deref()?, it.message.as_deref()?))
}

/// Waits for an event on something of that name.
async fn told(cluster: &Cluster, reason: &str, name: &str, message: &str) {
    eventually(message, || async {
        let list = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let about = |event: &&Event| event.involved_object.name.as_deref() == Some(name);
        let told: Vec<_> = list
            .items
            .iter()
            .filter(about)
            .map(|e| (e.reason.clone(), e.message.clone()))
            .collect();
        let wanted = (Some(reason.to_owned()), Some(message.to_owned()));
        if told.contains(&wanted) { Ok(()) } else { Err(told) }
    })
    .await;
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

const UNREACHABLE: [&str; 2] =
    ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"];

fn taints(node: &Node) -> Vec<String> {
    let taints = node.spec.clone().and_then(|spec| spec.taints).unwrap_or_default();
    taints.iter().map(|t| format!("{}:{}", t.key, t.effect)).collect()
}

#[tokio::test]
async fn a_silent_node_is_tainted_and_emptied_and_comes_back() {
    let grace = Duration::from_secs(3);
    let cluster = Cluster::start(Config { node_grace: grace, ..Config::default() }).await;
    living_node(&cluster, "other").await;
    let api = node(&cluster, "n1").await;
    pod(&cluster, "loyal", json!([{"operator": "Exists"}])).await;
    pod(
        &cluster,
        "brief",
        json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
        "effect": "NoExecute", "tolerationSeconds": 0}]),
    )
    .await;

    has_taints(&api, "n1", "unreachable", &UNREACHABLE).await;
    let pods = cluster.api::<Pod>("default");
    eventually("the brief one is evicted, the loyal one marked", || async {
        // No agent ends it.
        let brief = pods.get("brief").await.unwrap();
        let evicted = brief.metadata.deletion_timestamp.is_some();
        let loyal = pods.get("loyal").await.unwrap();
        let marked = !::api::pod::is_ready(&loyal) && loyal.metadata.deletion_timestamp.is_none();
        if evicted && marked { Ok(()) } else { Err((evicted, marked)) }
    })
    .await;
    let brief = pods.get("brief").await.unwrap();
    let reason = "Taint manager: deleting due to NoExecute taint";
    assert_eq!(disruption(&brief), Some(("True", "DeletionByTaintManager", reason)));
    told(&cluster, "NodeNotReady", "n1", "Node n1 status is now: NodeNotReady").await;
    told(&cluster, "NodeNotReady", "loyal", "Node is not ready").await;
    told(&cluster, "TaintManagerEviction", "brief", "Marking for deletion Pod default/brief").await;
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
    has_taints(&api, "n1", "untainted", &[]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn when_every_node_is_silent_nobody_is_evicted() {
    let rates = EvictionRates { node: 10.0, ..EvictionRates::default() };
    let node_grace = Duration::from_secs(3);
    let config = Config { node_grace, eviction_rates: rates, ..Config::default() };
    let cluster = Cluster::start(config).await;
    let silence = living_node(&cluster, "last").await;
    let api = node(&cluster, "n1").await;
    has_taints(&api, "n1", "unreachable", &UNREACHABLE).await;

    silence.cancel();
    let kept_away = [UNREACHABLE[0]];
    has_taints(&api, "last", "nothing is put there", &kept_away).await;
    has_taints(&api, "n1", "it need not be emptied", &kept_away).await;
    has_taints(&api, "last", "still", &kept_away).await;

    ready(&api, "last").await;
    has_taints(&api, "n1", "unreachable again", &UNREACHABLE).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_taint_that_goes_in_time_evicts_nobody() {
    let cluster = Cluster::start(Config::default()).await;
    let api = node(&cluster, "n1").await;
    pod(
        &cluster,
        "patient",
        json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3600}]),
    )
    .await;
    pod(&cluster, "fussy", json!([])).await;
    told(&cluster, "RegisteredNode", "n1", "Node n1 event: Registered Node n1 in Controller").await;

    taint(&api, "n1", json!([{"key": "repair", "effect": "NoExecute"}])).await;
    told(&cluster, "TaintManagerEviction", "fussy", "Marking for deletion Pod default/fussy").await;
    taint(&api, "n1", json!([])).await;
    let message = "Cancelling deletion of Pod default/patient";
    told(&cluster, "TaintManagerEviction", "patient", message).await;
    let patient = cluster.api::<Pod>("default").get("patient").await.unwrap();
    assert!(pods::is_active(&patient) && disruption(&patient).is_none(), "{patient:?}");

    api.delete("n1", &DeleteParams::default()).await.unwrap();
    told(&cluster, "RemovingNode", "n1", "Node n1 event: Removing Node n1 from Controller").await;
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

/// The controllers, for which a node is soon missing for long enough.
async fn hasty() -> Cluster {
    let node_quarantine = Duration::from_millis(500);
    Cluster::start(Config { node_quarantine, ..Config::default() }).await
}

#[tokio::test]
async fn pods_of_a_deleted_node_fail_and_go() {
    let cluster = hasty().await;
    let api = node(&cluster, "n1").await;
    pod(&cluster, "lost", json!([{"operator": "Exists"}])).await;
    pod(&cluster, "held", json!([{"operator": "Exists"}])).await;
    hold(&cluster, "held").await;
    api.delete("n1", &DeleteParams::default()).await.unwrap();
    let held = cluster
        .until::<Pod>("default", "held", "it is deleted", |pod| {
            pod.metadata.deletion_grace_period_seconds == Some(0)
        })
        .await;
    assert_eq!(pods::phase(&held), "Failed");
    let message = "PodGC: node no longer exists";
    assert_eq!(disruption(&held), Some(("True", "DeletionByPodGC", message)));
    let pods = cluster.api::<Pod>("default");
    eventually("the other pod goes", || async {
        match pods.get_opt("lost").await.unwrap() {
            None => Ok(()),
            Some(left) => Err(left.metadata),
        }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn deleted_pods_of_a_node_out_of_service_fail_and_go() {
    let cluster = hasty().await;
    let api = node(&cluster, "n1").await;
    says(&api, "n1", "False").await;
    for name in ["deleted", "evicted"] {
        let tolerates = if name == "deleted" { json!([{"operator": "Exists"}]) } else { json!([]) };
        pod(&cluster, name, tolerates).await;
        hold(&cluster, name).await;
    }
    let pods = cluster.api::<Pod>("default");
    pods.delete("deleted", &DeleteParams::default()).await.unwrap();
    let out = json!([{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown",
        "effect": "NoExecute"}]);
    taint(&api, "n1", out).await;
    for (name, target) in [("deleted", None), ("evicted", Some("DeletionByTaintManager"))] {
        let pod = cluster
            .until::<Pod>("default", name, "it is deleted for good", |pod| {
                pod.metadata.deletion_grace_period_seconds == Some(0)
            })
            .await;
        assert_eq!(pods::phase(&pod), "Failed", "{name}");
        assert_eq!(disruption(&pod).map(|(_, reason, _)| reason), target, "{name}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_job_that_waits_for_the_end_of_pods_goes_on_when_their_node_is_gone() {
    let cluster = hasty().await;
    let api = node(&cluster, "n1").await;
    let mut work = job(
        "work",
        json!({"backoffLimit": 0, "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [{"action": "Ignore",
                "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}}),
    );
    work["spec"]["template"]["spec"]["nodeName"] = "n1".into();
    let _: Job = cluster.create("default", work).await;
    let pods = cluster.api::<Pod>("default");
    let params = ListParams::default().labels("job-name=work");
    let first = eventually("a pod", || async {
        pods.list(&params).await.unwrap().items.pop().ok_or("none")
    })
    .await;
    let name = first.metadata.name.clone().unwrap();
    let running = Patch::Merge(json!({"status": {"phase": "Running"}}));
    pods.patch_status(&name, &PatchParams::default(), &running).await.unwrap();
    api.delete("n1", &DeleteParams::default()).await.unwrap();
    eventually("another pod in its place", || async {
        let list = pods.list(&params).await.unwrap().items;
        let found: Vec<_> = list.iter().map(|pod| pod.metadata.uid.clone()).collect();
        let replaced = !found.is_empty() && !found.contains(&first.metadata.uid);
        if replaced { Ok(()) } else { Err(list) }
    })
    .await;
    cluster.stop().await;
}
