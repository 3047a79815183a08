//! What a real API server answered to bad requests, asked of this one.
//!
//! The records are in fixtures/wire/errors.jsonl; code, reason, message and details must be the
//! same, except where [`DIFFERENT`] says why not.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::server::{TestServer, config_map, read};

/// Records whose message differs on purpose. Code and reason are still compared, unless said.
const DIFFERENT: &[(&str, &str)] = &[
    ("version-mismatch", "a path of Go's source"),
    ("rv-future", "the current version"),
    ("uid-precondition", "the UID"),
    ("immutable-pod", "a diff of Go structs"),
    ("many-causes", "order and number of causes are the api crate's tests' business"),
];

/// Records that cannot be compared at all.
const SKIPPED: &[(&str, &str)] = &[
    ("unknown-warn", "a success; tests/api/create.rs looks at the warning"),
    ("binding-missing-node", "a 500 there, a 400 here: the mistake is the client's"),
    ("ssr", "a success, and another user; tests/api/tokens.rs"),
    ("forbidden", "made as another user; tests/api/access.rs"),
    ("forbidden-create", "made as another user; tests/api/access.rs"),
    ("forbidden-nonresource", "made as another user; tests/api/access.rs"),
    ("pod-delete-grace", "a success; tests/api/delete.rs"),
    ("ns-delete", "a success; tests/api/delete.rs"),
    ("delete-ok", "a success; tests/api/delete.rs"),
    ("cr-table", "the real server's cache was still being filled"),
    ("logs-unscheduled", "a success; tests/api/logs.rs"),
];

async fn setting(server: &TestServer) {
    let post = |path: &'static str, body: Value| async move {
        server.post(path, &body).await.expect(201);
    };
    let meta = json!({"name": "min"});
    for name in ["gold", "min"] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        post("/api/v1/namespaces", namespace).await;
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta,
        "spec": {"containers": [{"name": "c", "image": "nginx"}]}});
    post("/api/v1/namespaces/gold/pods", pod).await;
    let mut map = config_map("min", "b");
    map["metadata"] = meta.clone();
    post("/api/v1/namespaces/gold/configmaps", map).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": meta,
        "spec": {"ports": [{"port": 80}]}});
    post("/api/v1/namespaces/gold/services", service).await;
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    post("/api/v1/namespaces/gold/persistentvolumeclaims", claim).await;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}});
    post("/apis/apps/v1/namespaces/gold/deployments", deployment).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta});
    post("/api/v1/namespaces/gold/serviceaccounts", account).await;
    crate::custom::define(server, &foos()).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta});
    post("/api/v1/namespaces/gold/secrets", secret).await;
}

/// The definition that the records about custom resources were made with.
pub(crate) fn foos() -> Value {
    let records = include_str!("../../../fixtures/wire/defaulting.jsonl");
    let mut records = records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.find(|record| record["name"] == "crd").expect("a recorded definition")["body"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_those_of_a_real_server() {
    let server = TestServer::start().await;
    setting(&server).await;
    let records = include_str!("../../../fixtures/wire/errors.jsonl");
    let mut compared = 0;
    let mut wrong = Vec::new();
    for line in records.lines().filter(|line| !line.trim().is_empty()) {
        let record: Value = serde_json::from_str(line).expect("a record per line");
        let name = record["name"].as_str().expect("a name");
        if SKIPPED.iter().any(|(skipped, _)| *skipped == name) {
            continue;
        }
        if name == "pod-in-terminating-ns" {
            server.delete("/api/v1/namespaces/min", &json!({})).await.expect(200);
        }
        if let Some(difference) = compare(&server, &record).await {
            wrong.push(format!("{name}: {difference}"));
        }
        compared += 1;
    }
    assert!(compared > 25, "only {compared} records were compared");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}

async fn compare(server: &TestServer, record: &Value) -> Option<String> {
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let method: Method = text("method").parse().expect("a method");
    let mut headers = Vec::new();
    let kind = text("contentType");
    if !kind.is_empty() || !record["body"].is_null() {
        headers.push(("content-type", if kind.is_empty() { "application/json" } else { kind }));
    }
    if !text("accept").is_empty() {
        headers.push(("accept", text("accept")));
    }
    let body = match &record["body"] {
        Value::Null => Bytes::new(),
        Value::String(text) => Bytes::from(text.clone()),
        body => Bytes::from(body.to_string()),
    };
    let answer = read(server.client.open(method, text("path"), &headers, body).await).await;
    let want = &record["response"];
    if u64::from(answer.code) != record["status"].as_u64().unwrap_or(0) {
        return Some(format!(
            "code {} instead of {}: {}",
            answer.code,
            record["status"],
            answer.text()
        ));
    }
    let mut fields = vec!["kind", "apiVersion", "status", "reason", "code"];
    if !DIFFERENT.iter().any(|(different, _)| *different == text("name")) {
        fields.extend(["message", "details"]);
    }
    fields
        .into_iter()
        .find(|field| answer.body[*field] != want[*field])
        .map(|field| format!("{field}\n   have {}\n   want {}", answer.body[field], want[field]))
}
