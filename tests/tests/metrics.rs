//! What pods use: shown by `kubectl top`, and followed by an autoscaler.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, succeed};
use tests::wait;

use super::web::items;

/// Busy all the time, so that its limit is what each pod uses: five times what it requests. On a busy machine
/// it may get less, and has to get a tenth of it.
const BURN: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: burn}
spec:
  selector: {matchLabels: {app: burn}}
  template:
    metadata: {labels: {app: burn}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: spin
        image: test/spin:v1
        args: [cpu]
        resources: {requests: {cpu: 20m}, limits: {cpu: 100m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: burn}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: burn}
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}
";

/// Waits for what a command says; it may fail before.
fn until(cluster: &Cluster, arguments: &[&str], fits: impl Fn(&str) -> bool) -> String {
    wait::eventually(&format!("wctl {arguments:?}"), PATIENCE, || {
        let said = cluster.wctl(arguments).map_err(|error| format!("{error:#}"))?;
        if fits(&said) { Ok(said) } else { Err(said) }
    })
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    let mut all = object["status"]["conditions"].as_array().into_iter().flatten();
    all.find(|condition| condition["type"] == name)?["status"].as_str()
}

#[test]
fn an_autoscaler_follows_what_real_pods_use() {
    let cluster = Cluster::start().unwrap();
    cluster.load_fixture("spin.wasm", "test/spin:v1").unwrap();
    cluster.apply(BURN).unwrap();
    cluster.until(&["deployment", "burn"], |object| object["status"]["readyReplicas"] == 1);

    let top = until(&cluster, &["top", "pods"], |said| said.contains("burn-"));
    let words: Vec<&str> = top.lines().nth(1).unwrap().split_whitespace().collect();
    let millis = words[1].strip_suffix('m').and_then(|cpu| cpu.parse::<u32>().ok());
    assert!(millis > Some(0) && words[2].ends_with("Mi"), "{top}");
    let containers = cluster.wctl(&["top", "pods", "--containers", "-A"]).unwrap();
    assert!(containers.lines().any(|line| line.contains(" spin ")), "{containers}");
    let nodes = cluster.wctl(&["top", "nodes", "--no-headers"]).unwrap();
    assert_eq!((nodes.lines().count(), nodes.matches('%').count()), (1, 2), "{nodes}");
    if let Some(mut kubectl) = cluster.kubectl() {
        let said = succeed(kubectl.args(["top", "pods", "--containers", "--sort-by=cpu"])).unwrap();
        assert!(said.contains("burn-") && said.contains(" spin "), "{said}");
        let said = succeed(cluster.kubectl().unwrap().args(["top", "nodes"])).unwrap();
        assert!(said.contains('%'), "{said}");
    } else {
        println!("not tested: there is no kubectl on this machine");
    }

    // From the first look of the autoscaler, every fifteen seconds.
    let scaled = wait::eventually("the autoscaler scales", PATIENCE * 2, || {
        let object = cluster.get(&["hpa", "burn"]).map_err(|error| format!("{error:#}"))?;
        let replicas = &object["status"]["currentReplicas"];
        let measured = object["status"]["currentMetrics"].is_array();
        if *replicas == 3 && measured { Ok(object) } else { Err(object["status"].to_string()) }
    });
    let status = &scaled["status"];
    for name in ["AbleToScale", "ScalingActive"] {
        assert_eq!(condition(&scaled, name), Some("True"), "{status}");
    }
    let current = &status["currentMetrics"][0]["resource"]["current"];
    assert!(current["averageUtilization"].as_i64() > Some(0), "{status}");
    assert!(current["averageValue"].is_string() && status["lastScaleTime"].is_string(), "{status}");
    cluster.until(&["deployment", "burn"], |object| object["status"]["readyReplicas"] == 3);
    let reason = "cpu resource utilization (percentage of request) above target";
    cluster.until(&["events"], |list| {
        items(list).iter().any(|event| {
            event["reason"] == "SuccessfulRescale"
                && event["message"].as_str().is_some_and(|message| message.ends_with(reason))
        })
    });
}
