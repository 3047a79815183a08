//! What a body says of which object it is: the name must be that of the URL, the namespace that of the
//! request or none, and what is in no namespace does not come into one.

use http::Method;
use serde_json::{Value, json};

use crate::server::{Answer, MAPS, TestServer, config_map};

const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

#[track_caller]
fn is_bad(answer: Answer, message: &str) {
    let status = answer.expect(400);
    assert_eq!(
        (status["message"].as_str(), status["reason"].as_str()),
        (Some(message), Some("BadRequest"))
    );
}

async fn patch(server: &TestServer, path: &str, kind: &str, body: &Value) -> Answer {
    let kind = format!("application/{kind}");
    server.client.send(Method::PATCH, path, &kind, body.to_string()).await
}

fn nameless(name: &str) -> String {
    format!(
        "the name of the object ({name} based on URL) was undeterminable: name must be provided"
    )
}

fn other(name: &str, wanted: &str) -> String {
    format!("the name of the object ({name}) does not match the name on the URL ({wanted})")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_says_its_name() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let path = format!("{MAPS}/m");
    let mut map = config_map("m", "2");
    map["metadata"] = json!({});
    is_bad(server.put(&path, &map).await, &nameless("m"));
    is_bad(server.put(&path, &config_map("n", "2")).await, &other("n", "m"));
    map["metadata"] = json!({"namespace": "y", "name": "n"});
    is_bad(
        server.put(&path, &map).await,
        "the namespace of the provided object does not match the namespace sent on the request",
    );
    for change in [json!({"metadata": null}), json!({"metadata": {"name": null}})] {
        is_bad(patch(&server, &path, "merge-patch+json", &change).await, &nameless("m"));
    }
    let removed = json!([{"op": "remove", "path": "/metadata/name"}]);
    is_bad(patch(&server, &path, "json-patch+json", &removed).await, &nameless("m"));
    let renamed = json!({"metadata": {"name": "n"}});
    is_bad(patch(&server, &path, "strategic-merge-patch+json", &renamed).await, &other("n", "m"));
    // A configuration of what is there may leave it out, one of what is to be made may not.
    let mut config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "1"}});
    let apply = |name: &str| format!("{MAPS}/{name}?fieldManager=f");
    patch(&server, &apply("m"), "apply-patch+yaml", &config).await.expect(200);
    is_bad(patch(&server, &apply("new"), "apply-patch+yaml", &config).await, &nameless("new"));
    config["metadata"] = json!({"name": "n"});
    is_bad(patch(&server, &apply("m"), "apply-patch+yaml", &config).await, &other("n", "m"));
    assert_eq!(server.get(&path).await.expect(200)["data"], json!({"a": "1", "b": "1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_says_whose_it_is() {
    let server = TestServer::start().await;
    let controller = json!({"apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "rc"}, "spec": {"replicas": 1, "selector": {"a": "b"}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}});
    server.post(CONTROLLERS, &controller).await.expect(201);
    let path = format!("{CONTROLLERS}/rc/scale");
    let mut scale = server.get(&path).await.expect(200);
    scale["metadata"] = json!({});
    is_bad(server.put(&path, &scale).await, &nameless("rc"));
    scale["metadata"] = json!({"name": "n"});
    is_bad(server.put(&path, &scale).await, &other("n", "rc"));
    for (change, want) in [
        (json!({"metadata": {"name": "n"}, "spec": {"replicas": 2}}), other("n", "rc")),
        (json!({"metadata": {"name": null}}), nameless("rc")),
    ] {
        is_bad(patch(&server, &path, "merge-patch+json", &change).await, &want);
    }
    scale["spec"] = json!({"replicas": 3});
    let apply = format!("{path}?fieldManager=f&force=true");
    is_bad(patch(&server, &apply, "apply-patch+yaml", &scale).await, &other("n", "rc"));
    assert_eq!(server.get(&path).await.expect(200)["spec"]["replicas"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_no_namespace_comes_into_none() {
    let server = TestServer::start().await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "r", "namespace": "y"}, "rules": []});
    let path = format!("{ROLES}/r");
    let made = server.post(ROLES, &role).await.expect(201);
    let replaced = server.put(&path, &role).await.expect(200);
    let change = json!({"metadata": {"namespace": "y", "labels": {"a": "b"}}});
    let patched = server.merge(&path, &change).await.expect(200);
    let mut config = role.clone();
    config["metadata"] = json!({"name": "r", "namespace": "y", "labels": {"c": "d"}});
    let apply = format!("{path}?fieldManager=f");
    let applied = patch(&server, &apply, "apply-patch+yaml", &config).await.expect(200);
    for object in [made, replaced, patched, applied] {
        assert_eq!(object["metadata"].get("namespace"), None, "{object}");
    }
    let space = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "s", "namespace": "y"}});
    let made = server.post("/api/v1/namespaces", &space).await.expect(201);
    assert_eq!(made["metadata"].get("namespace"), None, "{made}");
    server.put("/api/v1/namespaces/s", &space).await.expect(200);
}
