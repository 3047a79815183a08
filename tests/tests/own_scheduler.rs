//! Schedulers beside the built-in one: a user's own, which is a client of the API like any other, and
//! those that a configuration file describes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Config, ResourceExt as _};
use serde_json::Value;
use tests::cluster::Cluster;

fn pod(name: &str, scheduler: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  schedulerName: {scheduler}
  restartPolicy: Never
  containers: [{{name: main, image: 'test/hello:v1'}}]
---
"
    )
}

fn succeeded(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded"
}

/// What was told about a pod, each with who told it.
fn told(cluster: &Cluster, pod: &str) -> Vec<(String, String)> {
    let about = format!("involvedObject.name={pod}");
    let list = cluster.get(&["events", "--field-selector", &about]).unwrap();
    let events = list["items"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events.iter().map(|e| (text(&e["source"]["component"]), text(&e["reason"]))).collect()
}

async fn client(cluster: &Cluster) -> Client {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

/// The smallest scheduler there is: the first node will do for every pod that names it. Ends when
/// `pods` are bound.
async fn schedule(cluster: &Cluster, name: &str, mut pods: usize) {
    let client = client(cluster).await;
    let nodes: Api<Node> = Api::all(client.clone());
    let node = nodes.list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    let mine = format!("spec.schedulerName={name},spec.nodeName=");
    let waiting: Api<Pod> = Api::default_namespaced(client);
    let config = watcher::Config::default().fields(&mine);
    let seen = watcher(waiting.clone(), config).applied_objects();
    pin_mut!(seen);
    while pods > 0 {
        let pod = seen.next().await.unwrap().unwrap();
        let name = pod.name_any();
        let binding = Binding {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.clone()),
                ..ObjectReference::default()
            },
        };
        let params = PostParams::default();
        let answer: Value =
            waiting.create_subresource("binding", &name, &params, &binding).await.unwrap();
        assert_eq!(answer["status"], "Success", "{answer}");
        pods -= 1;
    }
}

#[test]
fn a_users_own_scheduler_places_the_pods_that_name_it() {
    let cluster = Cluster::start().unwrap();
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    cluster.apply(&pod("first", "mine")).unwrap();
    // Created later, done earlier: the built-in scheduler has seen both.
    cluster.apply(&pod("usual", "default-scheduler")).unwrap();
    cluster.until(&["pod", "usual"], succeeded);
    assert!(told(&cluster, "usual").contains(&("default-scheduler".into(), "Scheduled".into())));
    let first = cluster.get(&["pod", "first"]).unwrap();
    assert_eq!(first["status"]["phase"], "Pending", "{first}");
    assert!(first["spec"]["nodeName"].is_null(), "{first}");
    assert!(first["status"]["conditions"].is_null(), "nobody judges it: {first}");
    assert_eq!(told(&cluster, "first"), []);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    cluster.apply(&pod("second", "mine")).unwrap();
    runtime.block_on(schedule(&cluster, "mine", 2));
    for name in ["first", "second"] {
        cluster.until(&["pod", name], succeeded);
        let told = told(&cluster, name);
        assert!(told.iter().all(|(by, _)| by != "default-scheduler"), "{told:?}");
        let pod = cluster.get(&["pod", name]).unwrap();
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let placed = |c: &Value| c["type"] == "PodScheduled" && c["status"] == "True";
        assert!(conditions.iter().any(placed), "{pod}");
    }
}

#[test]
fn a_configuration_file_gives_more_schedulers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scheduler.yaml");
    let path = file.to_str().unwrap();
    let profile = |strategy: &str| {
        format!(
            "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 50
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score:
      disabled: [{{name: NodeResourcesBalancedAllocation}}]
      enabled: [{{name: NodeResourcesFit, weight: 5}}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy: {{type: {strategy}}}
"
        )
    };
    std::fs::write(&file, profile("Fullest")).unwrap();
    let refused = Cluster::start_with(&["--scheduler-config", path]).unwrap_err();
    let wanted = "scheduler.yaml: profiles[1].pluginConfig[0].args.scoringStrategy.type: \
                  \"Fullest\" must be one of LeastAllocated, MostAllocated, RequestedToCapacityRatio";
    assert!(format!("{refused:#}").contains(wanted), "{refused:#}");

    std::fs::write(&file, profile("MostAllocated")).unwrap();
    let cluster = Cluster::start_with(&["--scheduler-config", path]).unwrap();
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    for (name, scheduler) in [("packed", "packing"), ("usual", "default-scheduler")] {
        cluster.apply(&pod(name, scheduler)).unwrap();
        cluster.until(&["pod", name], succeeded);
        let told = told(&cluster, name);
        assert!(told.contains(&(scheduler.to_owned(), "Scheduled".to_owned())), "{told:?}");
    }
}
