//! Wasm as the scheduler sees it: nodes say which worlds they run, pods and RuntimeClasses ask for one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use super::web::with_web;

fn class_and_pod(world: &str) -> String {
    format!(
        r#"apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {{name: {world}}}
handler: wasm
scheduling: {{nodeSelector: {{wasm.wharf.dev/{world}: "true"}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {world}}}
spec:
  runtimeClassName: {world}
  containers: [{{name: web, image: 'test/web:v1', ports: [{{containerPort: 8080}}]}}]
"#
    )
}

#[test]
fn a_pod_goes_where_its_world_is_and_waits_where_none_is() {
    let cluster = with_web(&["test/web:v1"]);
    for world in ["http-proxy-0.2", "http-service-0.9"] {
        cluster.apply(&class_and_pod(world)).unwrap();
    }
    let status = |pod: &serde_json::Value| pod["status"].clone();
    cluster.until(&["pod", "http-proxy-0.2"], |pod| status(pod)["phase"] == "Running");
    let waiting = cluster.until(&["pod", "http-service-0.9"], |pod| {
        status(pod)["conditions"][0]["reason"] == "Unschedulable"
    });
    let message = status(&waiting)["conditions"][0]["message"].clone();
    let message = message.as_str().unwrap();
    let wanted = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
    assert!(message.starts_with(wanted), "{message}");
}
