//! `wctl sim`: hollow nodes do what nodes do, as far as the API server can tell.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]
#![allow(clippy::print_stdout, reason = "says when the host has no kubectl")]

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, succeed};
use tests::wait;

use super::web::items;

/// Pods of the Deployment.
const REPLICAS: usize = 200;
/// A node fails about once a minute and is away for at most six times its grace period of 12 s.
const LONG: Duration = Duration::from_secs(300);

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|c| c["type"] == kind).map_or(&Value::Null, |c| &c["status"])
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn is_leaving(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// A Deployment whose pods leave a lost node at once.
fn deployment() -> String {
    let toleration = |taint: &str| {
        format!(
            "{{key: node.kubernetes.io/{taint}, operator: Exists, effect: NoExecute, \
             tolerationSeconds: 0}}"
        )
    };
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {REPLICAS}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      tolerations: [{}, {}]
      containers:
      - {{name: web, image: test/web:v1, resources: {{requests: {{cpu: 100m}}}}}}
",
        toleration("not-ready"),
        toleration("unreachable")
    )
}

/// The pods that are to stay, if all of them are there and ready.
fn complete(cluster: &Cluster) -> Result<Vec<Value>, String> {
    let list = cluster.get(&["pods", "-l", "app=web"]).map_err(|error| format!("{error:#}"))?;
    let here: Vec<Value> = items(&list).iter().filter(|pod| !is_leaving(pod)).cloned().collect();
    let ready = here.iter().filter(|pod| condition(pod, "Ready") == "True").count();
    if here.len() == REPLICAS && ready == REPLICAS {
        Ok(here)
    } else {
        Err(format!("{ready} of {} pods are ready, {REPLICAS} wanted", here.len()))
    }
}

#[test]
fn pods_of_a_node_that_falls_silent_are_made_again_elsewhere() {
    let mut cluster = Cluster::simulate(&[
        "--nodes=50",
        "--pod-start-delay=100ms",
        "--node-grace=12s",
        "--node-failures=0.02",
        "--seed=209",
    ])
    .unwrap();
    cluster.expect_log("node is not heard from");
    let nodes = cluster.wctl(&["get", "nodes", "--no-headers"]).unwrap();
    assert_eq!(nodes.lines().filter(|line| line.starts_with("hollow-")).count(), 50, "{nodes}");
    if let Some(mut kubectl) = cluster.kubectl() {
        let nodes = succeed(kubectl.args(["get", "nodes"])).unwrap();
        assert!(nodes.contains("hollow-49"), "{nodes}");
    } else {
        println!("not tested with kubectl: there is none on this machine");
    }

    cluster.apply(&deployment()).unwrap();
    let pods = wait::eventually("all pods are ready", PATIENCE, || complete(&cluster));
    let addresses: BTreeSet<&str> =
        pods.iter().filter_map(|pod| pod["status"]["podIP"].as_str()).collect();
    assert_eq!(addresses.len(), REPLICAS, "every pod has an address of its own");

    let lost = wait::eventually("a node with pods falls silent", LONG, || {
        let nodes = cluster.get(&["nodes"]).map_err(|error| format!("{error:#}"))?;
        let silent: Vec<&Value> = items(&nodes)
            .iter()
            .filter(|node| condition(node, "Ready") == "Unknown")
            .map(|node| &node["metadata"]["name"])
            .collect();
        let pods = cluster.get(&["pods"]).map_err(|error| format!("{error:#}"))?;
        let there = items(&pods).iter().filter(|pod| silent.contains(&&pod["spec"]["nodeName"]));
        let lost: BTreeSet<String> = there.map(uid).collect();
        if lost.is_empty() { Err(format!("silent: {silent:?}")) } else { Ok(lost) }
    });
    wait::eventually("the lost pods are replaced", LONG, || {
        let pods = complete(&cluster)?;
        let kept = pods.iter().filter(|pod| lost.contains(&uid(pod))).count();
        if kept == 0 { Ok(()) } else { Err(format!("{kept} of {} are still wanted", lost.len())) }
    });
    wait::eventually("the node comes back and removes them", LONG, || {
        let pods = cluster.get(&["pods"]).map_err(|error| format!("{error:#}"))?;
        let left = items(&pods).iter().filter(|pod| lost.contains(&uid(pod))).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} of {} are there", lost.len())) }
    });
}

fn job(name: &str, code: u8) -> String {
    format!(
        "apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  completions: 4
  parallelism: 4
  backoffLimit: 0
  template:
    metadata:
      annotations: {{sim.wharf.dev/run-seconds: '0.2', sim.wharf.dev/exit-code: '{code}'}}
    spec:
      restartPolicy: Never
      initContainers: [{{name: setup, image: test/setup:v1}}]
      containers: [{{name: work, image: test/work:v1}}]
---
"
    )
}

/// A Job that waits for the end of a pod before it makes another sees one.
fn a_deleted_pod_ends(cluster: &Cluster) {
    let manifest = "apiVersion: batch/v1
kind: Job
metadata: {name: patient}
spec:
  podReplacementPolicy: Failed
  template:
    spec:
      restartPolicy: Never
      containers: [{name: work, image: test/work:v1}]
";
    cluster.apply(manifest).unwrap();
    let selected = ["pods", "-l", "job-name=patient"];
    let runs = |pod: &Value| condition(pod, "Ready") == "True" && !is_leaving(pod);
    let first = cluster.until(&selected, |list| items(list).iter().any(runs));
    let first = &items(&first)[0];
    let name = first["metadata"]["name"].as_str().unwrap();
    cluster.wctl(&["delete", "pod", name]).unwrap();
    cluster.until(&selected, |list| items(list).iter().any(|pod| uid(pod) != uid(first)));
    cluster.until(&["job", "patient"], |job| {
        job["status"]["failed"] == 1 && job["status"]["active"] == 1
    });
}

#[test]
fn jobs_end_and_deleted_pods_go_also_over_a_restart() {
    let mut cluster =
        Cluster::simulate(&["--nodes=3", "--pod-start-delay=50ms", "--pod-stop-delay=50ms"])
            .unwrap();
    cluster.apply(&[job("good", 0), job("bad", 3)].concat()).unwrap();
    let done = |kind: &'static str| move |job: &Value| condition(job, kind) == "True";
    let good = cluster.until(&["job", "good"], done("Complete"));
    assert_eq!(good["status"]["succeeded"], 4, "{good}");
    cluster.until(&["job", "bad"], done("Failed"));
    a_deleted_pod_ends(&cluster);

    let manifest = "apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  containers: [{name: main, image: test/web:v1}]
---
";
    cluster.apply(&["a", "b"].map(|name| manifest.replace("NAME", name)).concat()).unwrap();
    let ready = |pod: &Value| condition(pod, "Ready") == "True";
    let before = ["a", "b"].map(|name| cluster.until(&["pod", name], ready));
    cluster.stop().unwrap();
    cluster.launch().unwrap();
    cluster.wctl(&["delete", "pod", "a"]).unwrap();
    cluster.until(&["pods"], |list| !items(list).iter().any(|pod| pod["metadata"]["name"] == "a"));
    cluster.apply(&manifest.replace("NAME", "c")).unwrap();
    let new = cluster.until(&["pod", "c"], ready);
    let old = cluster.get(&["pod", "b"]).unwrap();
    assert_eq!(old["status"]["podIP"], before[1]["status"]["podIP"]);
    assert_ne!(
        (&new["spec"]["nodeName"], &new["status"]["podIP"]),
        (&old["spec"]["nodeName"], &old["status"]["podIP"]),
        "an address is taken once, over a restart too"
    );
}
