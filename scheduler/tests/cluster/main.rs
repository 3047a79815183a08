//! The scheduler against a real API server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Server, User, pki};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use scheduler::Config;
use serde_json::{Value, json};
use store::Store;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod devices;
mod framework;
mod preemption;
mod volumes;

const PATIENCE: Duration = Duration::from_secs(30);

struct Cluster {
    pods: Api<Pod>,
    nodes: Api<Node>,
    events: Api<Event>,
    server: Server,
    store: Store,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    async fn start_with(scheduler: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = pki::Authority::open(&dir.path().join("pki")).unwrap();
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let store = Store::open(&url, store::Options::default()).await.unwrap();
        let config = apiserver::Config::new(store.clone(), Arc::new(authority));
        let server = Server::bind(config).await.unwrap();
        let client = |user: User| Client::new(server.local(user), "default");
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let (own, stop) = (client(User::new("system:kube-scheduler", vec![])), shutdown.clone());
        tracker.spawn(async move { scheduler::run(scheduler, own, stop).await.unwrap() });
        let admin = client(User::new("test", vec!["system:masters".to_owned()]));
        Self {
            pods: Api::default_namespaced(admin.clone()),
            nodes: Api::all(admin.clone()),
            events: Api::default_namespaced(admin),
            server,
            store,
            tracker,
            shutdown,
            _dir: dir,
        }
    }

    async fn node(&self, name: &str, memory: &str) {
        let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
        let node = serde_json::from_value(node).unwrap();
        self.nodes.create(&PostParams::default(), &node).await.unwrap();
        let status = json!({"status": {"allocatable": {"cpu": "4", "memory": memory, "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}]}});
        let params = PatchParams::default();
        self.nodes.patch_status(name, &params, &Patch::Merge(status)).await.unwrap();
        // A new node is tainted not-ready; taking that off is the node controller's.
        let untaint = Patch::Merge(json!({"spec": {"taints": null}}));
        self.nodes.patch(name, &params, &untaint).await.unwrap();
    }

    async fn pod(&self, name: &str, memory: &str, extra: Value) {
        let mut pod = json!({"metadata": {"name": name, "labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "busybox",
                "resources": {"requests": {"memory": memory}}}]}});
        for (key, value) in extra.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        let pod = serde_json::from_value(pod).unwrap();
        self.pods.create(&PostParams::default(), &pod).await.unwrap();
    }

    async fn bound(&self, name: &str) -> String {
        eventually(&format!("{name} is bound"), || async {
            let pod = self.pods.get(name).await.unwrap();
            pod.spec.as_ref().and_then(|s| s.node_name.clone()).ok_or(pod.status)
        })
        .await
    }

    async fn event(&self, pod: &str, reason: &str) -> Event {
        eventually(&format!("event {reason} of {pod}"), || async {
            let events = self.events.list(&ListParams::default()).await.unwrap().items;
            let found = events.iter().find(|e| {
                e.involved_object.name.as_deref() == Some(pod)
                    && e.reason.as_deref() == Some(reason)
            });
            found.cloned().ok_or(events.len())
        })
        .await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.tracker.close();
        timeout(PATIENCE, self.tracker.wait()).await.expect("the scheduler does not stop");
        drop(self.server);
        self.store.close().await;
    }
}

async fn eventually<T, E: Debug, Ask>(what: &str, ask: impl Fn() -> Ask) -> T
where
    Ask: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) if Instant::now() > deadline => panic!("{what}: not yet; last: {last:#?}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_why_and_is_bound_when_it_can_be() {
    let cluster = Cluster::start().await;
    cluster.node("small", "1Gi").await;
    cluster.pod("large", "3Gi", json!({})).await;
    let why = "0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, \
               preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    let event = cluster.event("large", "FailedScheduling").await;
    assert_eq!(event.message.as_deref(), Some(why));
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.source.unwrap().component.as_deref(), Some("default-scheduler"));
    eventually("the condition", || async {
        let conditions = cluster.pods.get("large").await.unwrap().status.unwrap().conditions;
        let condition = conditions.iter().flatten().find(|c| c.type_ == "PodScheduled").cloned();
        let said = condition.as_ref().is_some_and(|c| {
            c.status == "False"
                && c.reason.as_deref() == Some("Unschedulable")
                && c.message.as_deref() == Some(why)
        });
        if said { Ok(()) } else { Err(condition) }
    })
    .await;

    cluster.node("big", "4Gi").await;
    assert_eq!(cluster.bound("large").await, "big");
    let event = cluster.event("large", "Scheduled").await;
    assert_eq!(event.message.as_deref(), Some("Successfully assigned default/large to big"));
    let pod = cluster.pods.get("large").await.unwrap();
    let scheduled = pod.status.unwrap().conditions.unwrap();
    assert!(scheduled.iter().any(|c| c.type_ == "PodScheduled" && c.status == "True"));
    cluster.stop().await;
}

#[tokio::test]
async fn room_that_becomes_free_is_used() {
    let cluster = Cluster::start().await;
    cluster.node("only", "1Gi").await;
    cluster.pod("first", "800Mi", json!({})).await;
    cluster.bound("first").await;
    cluster.pod("second", "800Mi", json!({})).await;
    cluster.event("second", "FailedScheduling").await;
    cluster.pods.delete("first", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(cluster.bound("second").await, "only");
    cluster.stop().await;
}

#[tokio::test]
async fn cordons_taints_and_selectors_are_kept() {
    let cluster = Cluster::start().await;
    for name in ["cordoned", "tainted", "open"] {
        cluster.node(name, "4Gi").await;
    }
    let change = |name: &'static str, spec: Value| {
        let nodes = cluster.nodes.clone();
        async move {
            let patch = Patch::Merge(json!({"spec": spec}));
            nodes.patch(name, &PatchParams::default(), &patch).await.unwrap();
        }
    };
    change("cordoned", json!({"unschedulable": true})).await;
    change("tainted", json!({"taints": [{"key": "k", "effect": "NoSchedule"}]})).await;
    // The scheduler may not have heard of it yet when it decides: give it a pod that says so.
    let toward_cordoned = json!({"nodeSelector": {"kubernetes.io/hostname": "cordoned"}});
    cluster.pod("stuck", "1Mi", toward_cordoned).await;
    let event = cluster.event("stuck", "FailedScheduling").await.message.unwrap();
    assert!(event.starts_with("0/3 nodes are available: "), "{event}");
    cluster.pod("plain", "1Mi", json!({})).await;
    assert_eq!(cluster.bound("plain").await, "open");
    let tolerant = json!({"tolerations": [{"key": "k", "operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/hostname": "tainted"}});
    cluster.pod("tolerant", "1Mi", tolerant).await;
    assert_eq!(cluster.bound("tolerant").await, "tainted");
    change("cordoned", json!({"unschedulable": null})).await;
    assert_eq!(cluster.bound("stuck").await, "cordoned");
    // Pods of another scheduler are not ours.
    cluster.pod("foreign", "1Mi", json!({"schedulerName": "another"})).await;
    cluster.pod("last", "1Mi", json!({})).await;
    cluster.bound("last").await;
    assert_eq!(cluster.pods.get("foreign").await.unwrap().spec.unwrap().node_name, None);
    cluster.stop().await;
}

#[tokio::test]
async fn a_crowd_is_spread_and_never_overcommitted() {
    let cluster = Cluster::start().await;
    for i in 0..4 {
        cluster.node(&format!("n{i}"), "1000Mi").await;
    }
    // Room for ten on each; all are created before the first binding is seen.
    for i in 0..44 {
        cluster.pod(&format!("p{i}"), "100Mi", json!({})).await;
    }
    let counts = eventually("forty bound", || async {
        let mut counts = BTreeMap::<String, usize>::new();
        for pod in cluster.pods.list(&ListParams::default()).await.unwrap() {
            if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.clone()) {
                *counts.entry(node).or_default() += 1;
            }
        }
        if counts.values().sum::<usize>() == 40 { Ok(counts) } else { Err(counts) }
    })
    .await;
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [10, 10, 10, 10]);
    let waiting: Vec<String> = cluster
        .pods
        .list(&ListParams::default().fields("spec.nodeName="))
        .await
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(waiting.len(), 4, "{waiting:?}");
    cluster.stop().await;
}

#[tokio::test]
async fn pods_that_want_company_or_distance_get_it() {
    let cluster = Cluster::start().await;
    for name in ["a", "b"] {
        cluster.node(name, "4Gi").await;
    }
    let wish = |kind: &str| {
        json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app": "a"}}}]}}})
    };
    // Every pod here is labelled app=a: each wants a node without another.
    cluster.pod("first", "1Mi", wish("podAntiAffinity")).await;
    let first = cluster.bound("first").await;
    cluster.pod("second", "1Mi", wish("podAntiAffinity")).await;
    assert_ne!(cluster.bound("second").await, first);
    cluster.pod("third", "1Mi", wish("podAntiAffinity")).await;
    let event = cluster.event("third", "FailedScheduling").await.message.unwrap();
    assert!(
        event.starts_with(
            "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
        ),
        "{event}"
    );
    // Those already there keep even a pod without wishes away, until one of them leaves.
    cluster.pod("plain", "1Mi", json!({})).await;
    let event = cluster.event("plain", "FailedScheduling").await.message.unwrap();
    assert!(
        event.contains("2 node(s) didn't satisfy existing pods anti-affinity rules"),
        "{event}"
    );
    cluster.pods.delete("third", &DeleteParams::default().grace_period(0)).await.unwrap();
    cluster.pods.delete("first", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(cluster.bound("plain").await, first);
    cluster.stop().await;
}

#[tokio::test]
async fn a_change_of_a_pod_wakes_those_it_may_help() {
    let cluster = Cluster::start().await;
    cluster.node("a", "1Gi").await;
    let label = |app: &str| json!({"metadata": {"labels": {"app": app}}});
    let change = async |pod: &str, patch: Value| {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        cluster.pods.patch(pod, &params, &patch).await.unwrap();
    };
    let beside = |app: &str, how: &str| {
        json!({"affinity": {how: {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}]}}})
    };
    cluster.pod("first", "1Mi", json!({})).await;
    cluster.bound("first").await;

    cluster.pod("company", "1Mi", beside("b", "podAffinity")).await;
    cluster.event("company", "FailedScheduling").await;
    change("first", label("b")).await;
    cluster.bound("company").await;

    // It has the label "a" itself, as the pod that it has come to.
    change("company", label("c")).await;
    cluster.pod("apart", "1Mi", beside("b", "podAntiAffinity")).await;
    cluster.event("apart", "FailedScheduling").await;
    change("first", label("d")).await;
    cluster.bound("apart").await;

    cluster.pod("unwanted", "1Mi", json!({})).await;
    cluster.bound("unwanted").await;
    cluster.pod("guard", "1Mi", beside("e", "podAntiAffinity")).await;
    cluster.bound("guard").await;
    let mut shy = beside("nobody", "podAntiAffinity");
    shy["schedulingGates"] = json!([{"name": "example.com/later"}]);
    cluster.pod("shy", "1Mi", shy).await;
    change("shy", label("e")).await;
    change("shy", json!({"spec": {"schedulingGates": []}})).await;
    cluster.event("shy", "FailedScheduling").await;
    change("shy", label("f")).await;
    cluster.bound("shy").await;

    cluster.pod("large", "800Mi", json!({})).await;
    cluster.bound("large").await;
    cluster.pod("next", "500Mi", json!({})).await;
    cluster.event("next", "FailedScheduling").await;
    let smaller = json!({"spec": {"containers": [
        {"name": "c", "resources": {"requests": {"memory": "100Mi"}}}]}});
    let (params, patch) = (PatchParams::default(), Patch::Strategic(smaller));
    cluster.pods.patch_subresource("resize", "large", &params, &patch).await.unwrap();
    cluster.bound("next").await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_hard_spread_waits_for_the_emptiest_domain() {
    let cluster = Cluster::start().await;
    cluster.node("a", "4Gi").await;
    let even = json!({"topologySpreadConstraints": [{"maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "minDomains": 2, "labelSelector": {"matchLabels": {"app": "a"}}}]});
    cluster.pod("first", "1Mi", even.clone()).await;
    assert_eq!(cluster.bound("first").await, "a");
    cluster.pod("second", "1Mi", even).await;
    let event = cluster.event("second", "FailedScheduling").await.message.unwrap();
    assert!(
        event.starts_with(
            "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints."
        ),
        "{event}"
    );
    cluster.node("b", "4Gi").await;
    assert_eq!(cluster.bound("second").await, "b");
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_that_matters_more_takes_the_place_of_another() {
    let cluster = Cluster::start().await;
    let client = cluster.pods.clone().into_client();
    let classes: Api<PriorityClass> = Api::all(client);
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    let class = serde_json::from_value(class).unwrap();
    classes.create(&PostParams::default(), &class).await.unwrap();
    cluster.node("only", "1Gi").await;
    cluster.pod("low", "800Mi", json!({})).await;
    cluster.bound("low").await;

    // One that must not preempt waits.
    let class = json!({"metadata": {"name": "polite"}, "value": 500, "preemptionPolicy": "Never"});
    let class = serde_json::from_value(class).unwrap();
    classes.create(&PostParams::default(), &class).await.unwrap();
    cluster.pod("polite", "800Mi", json!({"priorityClassName": "polite"})).await;
    let event = cluster.event("polite", "FailedScheduling").await.message.unwrap();
    assert!(event.ends_with("preemption: not eligible due to preemptionPolicy=Never."), "{event}");

    cluster.pod("high", "800Mi", json!({"priorityClassName": "high"})).await;
    let event = cluster.event("high", "FailedScheduling").await;
    let why = "0/1 nodes are available: 1 Insufficient memory.";
    assert_eq!(event.message.as_deref(), Some(why));
    eventually("the node is nominated", || async {
        let status = cluster.pods.get("high").await.unwrap().status.unwrap();
        let nominated = status.nominated_node_name.clone();
        if nominated.as_deref() == Some("only") { Ok(()) } else { Err(status) }
    })
    .await;
    let event = cluster.event("low", "Preempted").await.message.unwrap();
    assert!(event.starts_with("Preempted by pod ") && event.ends_with(" on node only"), "{event}");
    // It leaves gracefully, and says why.
    let low = cluster.pods.get("low").await.unwrap();
    assert!(low.metadata.deletion_timestamp.is_some());
    let conditions = low.status.unwrap().conditions.unwrap();
    let target = conditions.iter().find(|c| c.type_ == "DisruptionTarget").unwrap();
    assert_eq!(target.reason.as_deref(), Some("PreemptionByScheduler"));
    assert_eq!(
        target.message.as_deref(),
        Some("default-scheduler: preempting to accommodate a higher priority pod")
    );

    // The room is for the one it was made for.
    cluster.pods.delete("low", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(cluster.bound("high").await, "only");
    assert_eq!(cluster.pods.get("polite").await.unwrap().spec.unwrap().node_name, None);
    cluster.stop().await;
}
