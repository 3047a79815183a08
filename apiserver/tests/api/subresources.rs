//! Subresources of pods and namespaces, the scale of workloads, and what is computed when read.

use http::Method;
use serde_json::{Value, json};

use crate::server::{PODS, TestServer, pod};

const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A pod that runs on a node, as its agent would report.
async fn running(server: &TestServer, name: &str) -> Value {
    let mut new = pod(name);
    new["metadata"]["labels"] = json!({"app": "web"});
    server.post(PODS, &new).await.expect(201);
    let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}});
    server.post(&format!("{PODS}/{name}/binding"), &binding).await.expect(201);
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    server.merge(&format!("{PODS}/{name}/status"), &status).await.expect(200)
}

fn eviction(name: &str, options: Value) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
        "deleteOptions": options})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_is_a_deletion_with_a_reason() {
    let server = TestServer::start().await;
    let path = format!("{PODS}/p");
    let before = running(&server, "p").await;
    let evict = format!("{path}/eviction");
    let tried = server.post(&evict, &eviction("p", json!({"dryRun": ["All"]}))).await.expect(201);
    assert_eq!((&tried["kind"], &tried["status"]), (&json!("Status"), &json!("Success")));
    let same = server.get(&path).await.expect(200);
    assert_eq!(same["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    server.post(&evict, &eviction("q", json!({}))).await.expect(400);
    for precondition in [json!({"uid": "other"}), json!({"resourceVersion": "1"})] {
        let options = json!({"preconditions": precondition});
        server.post(&evict, &eviction("p", options)).await.expect(409);
    }
    let same = server.get(&path).await.expect(200);
    assert_eq!(same["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    let options = json!({"preconditions": {"uid": before["metadata"]["uid"],
        "resourceVersion": before["metadata"]["resourceVersion"]}});
    server.post(&evict, &eviction("p", options)).await.expect(201);
    let ending = server.get(&path).await.expect(200);
    assert!(ending["metadata"]["deletionTimestamp"].is_string(), "{ending}");
    let conditions = ending["status"]["conditions"].as_array().unwrap();
    let told = conditions.iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
    assert_eq!(told["reason"], "EvictionByEvictionAPI");
    // Again: it is on its way.
    server.post(&evict, &eviction("p", json!({}))).await.expect(201);
    let mut old = eviction("none", json!({}));
    old["apiVersion"] = "policy/v1beta1".into();
    server.post(&format!("{PODS}/none/eviction"), &old).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_asks_the_disruption_budget() {
    let server = TestServer::start().await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = |name: &str| {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}})
    };
    server.post(budgets, &budget("b")).await.expect(201);
    for name in ["p", "q"] {
        running(&server, name).await;
    }
    let evict = |name: &'static str| (format!("{PODS}/{name}/eviction"), eviction(name, json!({})));
    let (path, body) = evict("p");
    let refused = server.post(&path, &body).await;
    assert_eq!(refused.headers["retry-after"], "10");
    let refused = refused.expect(429);
    assert_eq!(refused["details"]["causes"][0]["reason"], "DisruptionBudget");
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "The disruption budget b is still being processed by the server."
    );
    let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 1,
        "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}});
    server.merge(&format!("{budgets}/b/status"), &status).await.expect(200);
    server.post(&path, &body).await.expect(201);
    let spent = server.get(&format!("{budgets}/b")).await.expect(200);
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    assert!(spent["status"]["disruptedPods"]["p"].is_string(), "{spent}");
    let (path, body) = evict("q");
    let refused = server.post(&path, &body).await.expect(429);
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "The disruption budget b needs 1 healthy pods and has 2 currently"
    );
    assert!(
        server.get(&format!("{PODS}/q")).await.expect(200)["metadata"]["deletionTimestamp"]
            .is_null()
    );
    server.post(budgets, &budget("c")).await.expect(201);
    server.post(&path, &body).await.expect(500);
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_containers_are_added_through_their_own_path() {
    let server = TestServer::start().await;
    running(&server, "p").await;
    let path = format!("{PODS}/p/ephemeralcontainers");
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}});
    let patched = server.client.send(Method::PATCH, &path, STRATEGIC, debug.to_string()).await;
    let patched = patched.expect(200);
    assert_eq!(patched["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(patched["metadata"]["generation"], 2);
    let mut whole = server.get(&path).await.expect(200);
    whole["spec"]["ephemeralContainers"] = json!([]);
    let refused = server.put(&path, &whole).await.expect(422);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("existing ephemeral containers \"debug\" may not be removed"),
        "{message}"
    );
    server.put(&format!("{PODS}/p"), &whole).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_resized_through_its_own_path() {
    let server = TestServer::start().await;
    let mut new = pod("p");
    new["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    let made = server.post(PODS, &new).await.expect(201);
    let name = made["spec"]["containers"][0]["name"].clone();
    let cpu = |cpu: &str| json!({"spec": {"containers": [{"name": name, "resources": {"requests": {"cpu": cpu}}}]}});
    let path = format!("{PODS}/p/resize");
    let send = |body: Value| {
        let path = path.clone();
        let server = &server;
        async move { server.client.send(Method::PATCH, &path, STRATEGIC, body.to_string()).await }
    };
    let resized = send(cpu("200m")).await.expect(200);
    assert_eq!(resized["spec"]["containers"][0]["resources"]["requests"]["cpu"], "200m");
    assert_eq!(resized["metadata"]["generation"], 2);
    let main = server
        .client
        .send(Method::PATCH, &format!("{PODS}/p"), STRATEGIC, cpu("300m").to_string())
        .await;
    main.expect(422);
    let running = json!({"status": {"phase": "Running",
        "containerStatuses": [{"name": name, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}});
    server.merge(&format!("{PODS}/p/status"), &running).await.expect(200);
    let refused = send(cpu("300m")).await.expect(422);
    assert_eq!(
        refused["message"],
        "Pod \"p\" is invalid: spec: Forbidden: Pod running on node without support for resize"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn component_statuses_are_asked_for_when_read() {
    let server = TestServer::start().await;
    let path = "/api/v1/componentstatuses";
    let answer = server.client.get_as(path, "application/json").await;
    assert_eq!(answer.headers["warning"], "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
    let list = answer.expect(200);
    assert_eq!(
        (&list["kind"], &list["items"][0]["metadata"]["name"]),
        (&json!("ComponentStatusList"), &json!("etcd-0"))
    );
    let one = server.get(&format!("{path}/etcd-0")).await.expect(200);
    assert_eq!(one["conditions"], json!([{"type": "Healthy", "status": "True", "message": "ok"}]));
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = server.client.get_as(path, table).await.expect(200);
    assert_eq!(table["rows"][0]["cells"], json!(["etcd-0", "Healthy", "ok", ""]));
    let none = server.get(&format!("{path}?fieldSelector=metadata.name%3Dx")).await.expect(200);
    assert_eq!(none["items"], json!([]));
    server.get(&format!("{path}/scheduler")).await.expect(404);
    server.post(path, &one).await.expect(405);
    server.delete(&format!("{path}/etcd-0"), &json!({})).await.expect(405);
    server.get(&format!("{path}?watch=true")).await.expect(405);
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_scale() {
    let server = TestServer::start().await;
    for (plural, kind) in [
        ("deployments", "Deployment"),
        ("replicasets", "ReplicaSet"),
        ("statefulsets", "StatefulSet"),
    ] {
        let path = format!("/apis/apps/v1/namespaces/default/{plural}");
        let workload = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "w"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        server.post(&path, &workload).await.expect(201);
        let mut scale = server.get(&format!("{path}/w/scale")).await.expect(200);
        assert_eq!(scale["status"]["selector"], "a=b", "{plural}");
        scale["spec"]["replicas"] = 3.into();
        server.put(&format!("{path}/w/scale"), &scale).await.expect(200);
        let scaled = server.get(&format!("{path}/w")).await.expect(200);
        assert_eq!(scaled["spec"]["replicas"], 3);
        assert_eq!(scaled["metadata"]["generation"], 2);
        scale["spec"]["replicas"] = (-1).into();
        server.put(&format!("{path}/w/scale"), &scale).await.expect(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_finalized_under_rules() {
    let server = TestServer::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let mut made = server.post("/api/v1/namespaces", &namespace).await.expect(201);
    made["spec"]["finalizers"] = json!(["mine"]);
    let refused = server.put("/api/v1/namespaces/n/finalize", &made).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "spec.finalizers[0]");
    made["spec"]["finalizers"] = json!(["example.com/mine"]);
    made["metadata"]["labels"] = json!({"not": "here"});
    let kept = server.put("/api/v1/namespaces/n/finalize", &made).await.expect(200);
    assert_eq!(kept["spec"]["finalizers"], json!(["example.com/mine"]));
    assert!(kept["metadata"]["labels"].get("not").is_none(), "{kept}");
}
