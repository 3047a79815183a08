//! Server-side apply, and who owns what after other writes.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::server::{Answer, MAPS, PODS, TestServer, config_map, pod, read};

const YAML: &str = "application/apply-patch+yaml";
const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";

async fn apply(server: &TestServer, path: &str, config: &Value) -> Answer {
    server.client.send(Method::PATCH, path, YAML, config.to_string()).await
}

/// Replaces what differs from run to run, as the records have it.
fn normal(mut object: Value) -> Value {
    let metadata = &mut object["metadata"];
    for (field, placeholder) in
        [("uid", "<uid>"), ("resourceVersion", "<rv>"), ("creationTimestamp", "<time>")]
    {
        if metadata[field].is_string() {
            metadata[field] = placeholder.into();
        }
    }
    let entries = metadata.get_mut("managedFields").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        if entry["time"].is_string() {
            entry["time"] = "<time>".into();
        }
    }
    // Managers of one second come by name; how the seconds fall differs from run to run.
    if let Some(entries) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
        entries.sort_by_key(|entry| format!("{}{}", entry["operation"], entry["manager"]));
    }
    object
}

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default();
            format!("{} {} {}", text("manager"), text("operation"), text("subresource"))
        })
        .map(|name| name.trim().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_are_those_of_a_real_server() {
    let different = [("strategic", "the printed form of Go maps")];
    let server = TestServer::start().await;
    let gold = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gold"}});
    server.post("/api/v1/namespaces", &gold).await.expect(201);
    crate::custom::define(&server, &crate::golden::foos()).await;
    let mut compared = 0;
    for line in include_str!("../../../fixtures/wire/apply.jsonl").lines() {
        let record: Value = serde_json::from_str(line).expect("a record per line");
        let text = |field: &str| record[field].as_str().unwrap_or_default();
        if different.iter().any(|(name, _)| *name == text("name")) {
            continue;
        }
        let body =
            record["body"].as_str().map_or_else(|| record["body"].to_string(), str::to_owned);
        let headers = [("content-type", text("contentType"))];
        let method = text("method").parse().expect("a method");
        let answer =
            read(server.client.open(method, text("path"), &headers, Bytes::from(body)).await).await;
        let name = text("name");
        assert_eq!(Value::from(answer.code), record["status"], "{name}: {}", answer.text());
        assert_eq!(normal(answer.body), normal(record["response"].clone()), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_makes_changes_and_leaves_alone() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}/m?fieldManager=one");
    let made = apply(&server, &path, &config_map("m", "1")).await.expect(201);
    assert_eq!(managers(&made), ["one Apply"]);
    let again = apply(&server, &path, &config_map("m", "1")).await.expect(200);
    assert_eq!(again, made, "nothing to write");
    let dry = format!("{path}&dryRun=All");
    let tried = apply(&server, &dry, &config_map("m", "2")).await.expect(200);
    assert_eq!(tried["data"]["a"], "2");
    assert_eq!(server.get(&format!("{MAPS}/m")).await.expect(200), made);
    let dry = format!("{MAPS}/none?fieldManager=one&dryRun=All");
    apply(&server, &dry, &config_map("none", "1")).await.expect(201);
    server.get(&format!("{MAPS}/none")).await.expect(404);
    // YAML, as kubectl sends it; of a key that occurs twice the last one counts.
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: '1'\n  a: '3'\n";
    let send =
        |path: String| server.client.clone().send_owned(Method::PATCH, path, YAML, yaml.to_owned());
    let warned = send(path.clone()).await;
    assert!(warned.headers.contains_key("warning"), "{:?}", warned.headers);
    assert_eq!(warned.expect(200)["data"]["a"], "3");
    send(format!("{path}&fieldValidation=Strict")).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}/m?fieldManager=one");
    let send = |kind: &'static str, path: String, body: Value| {
        server.client.clone().send_owned(Method::PATCH, path, kind, body.to_string())
    };
    let map = config_map("m", "1");
    send("application/apply-patch+cbor", path.clone(), map.clone()).await.expect(415);
    let forced = format!("{MAPS}/m?force=true");
    send("application/merge-patch+json", forced, json!({})).await.expect(422);
    send(YAML, path.clone(), json!([1])).await.expect(400);
    send(YAML, path.clone(), json!({"kind": "Pod", "apiVersion": "v1"})).await.expect(400);
    let mut other = map.clone();
    other["metadata"]["name"] = "other".into();
    send(YAML, path.clone(), other).await.expect(400);
    let mut known = map.clone();
    known["metadata"]["uid"] = "11111111-1111-4111-8111-111111111111".into();
    let status = send(YAML, path.clone(), known.clone()).await.expect(409);
    assert!(status["message"].as_str().unwrap_or_default().contains("uid mismatch"), "{status}");
    let nowhere = "/api/v1/namespaces/nowhere/configmaps/m?fieldManager=one".to_owned();
    send(YAML, nowhere, map.clone()).await.expect(404);
    send(YAML, format!("{PODS}/none/status?fieldManager=one"), pod("none")).await.expect(404);
    send(YAML, path.clone(), map.clone()).await.expect(201);
    send(YAML, path.clone(), known).await.expect(409);
    let mut stale = map;
    stale["metadata"]["resourceVersion"] = "1".into();
    stale["data"]["a"] = "2".into();
    send(YAML, path, stale).await.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_leaves_its_name() {
    let server = TestServer::start().await;
    let body = config_map("m", "1").to_string();
    let headers = [("content-type", "application/json"), ("user-agent", "tool/1.0 (linux)")];
    let made = read(server.client.open(Method::POST, MAPS, &headers, body).await).await.expect(201);
    assert_eq!(managers(&made), ["tool Update"]);
    let path = format!("{MAPS}/m?fieldManager=hand");
    let patched = server.merge(&path, &json!({"data": {"b": "1"}})).await.expect(200);
    assert_eq!(managers(&patched), ["hand Update", "tool Update"]);
    let mut put = patched.clone();
    put["data"] = json!({"a": "2", "b": "2"});
    let put = server.put(&path, &put).await.expect(200);
    assert_eq!(managers(&put), ["hand Update", "tool Update"]);
    let mut entries = put["metadata"]["managedFields"].as_array().into_iter().flatten();
    let tool = entries.find(|entry| entry["manager"] == "tool").expect("an entry");
    assert_eq!(tool["fieldsV1"], json!({"f:data": {}}), "the map is tool's, what is in it is not");
    // One empty entry makes the server forget; a later write does not bring the managers back.
    let reset = json!({"metadata": {"managedFields": [{}]}});
    let forgotten = server.merge(&path, &reset).await.expect(200);
    assert_eq!(managers(&forgotten), Vec::<String>::new());
    let changed = server.merge(&path, &json!({"data": {"b": "3"}})).await.expect(200);
    assert_eq!(managers(&changed), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn subresources_have_managers_of_their_own() {
    let server = TestServer::start().await;
    server.post(&format!("{PODS}?fieldManager=maker"), &pod("p")).await.expect(201);
    let path = format!("{PODS}/p/status?fieldManager=node");
    let status = json!({"status": {"phase": "Running"}, "metadata": {"labels": {"x": "y"}}});
    let running = server.merge(&path, &status).await.expect(200);
    assert_eq!(managers(&running), ["maker Update", "node Update status"]);
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"}});
    server.post(&format!("{PODS}/p/binding"), &binding).await.expect(201);
    let bound = server.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(managers(&bound), managers(&running), "the node belongs to nobody");

    let controller = json!({"apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "rc"},
        "spec": {"replicas": 1, "selector": {"a": "b"}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}});
    let path = format!("{CONTROLLERS}/rc");
    apply(&server, &format!("{path}?fieldManager=owner"), &controller).await.expect(201);
    let scale = |replicas: i64| {
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "rc", "namespace": "default"}, "spec": {"replicas": replicas}})
    };
    let door = format!("{path}/scale?fieldManager=scaler");
    let refused = apply(&server, &door, &scale(2)).await.expect(409);
    assert_eq!(
        refused["message"],
        "Apply failed with 1 conflict: conflict with \"owner\": .spec.replicas"
    );
    let scaled = apply(&server, &format!("{door}&force=true"), &scale(2)).await.expect(200);
    assert_eq!((&scaled["kind"], &scaled["spec"]["replicas"]), (&"Scale".into(), &2.into()));
    let rc = server.get(&path).await.expect(200);
    assert_eq!(managers(&rc), ["owner Apply", "scaler Apply scale"]);
    server
        .merge(&format!("{path}/scale?fieldManager=hand"), &json!({"spec": {"replicas": 3}}))
        .await
        .expect(200);
    let rc = server.get(&path).await.expect(200);
    assert_eq!(managers(&rc), ["hand Update scale", "owner Apply"]);
    let refused =
        apply(&server, &format!("{path}?fieldManager=owner"), &controller).await.expect(409);
    assert_eq!(
        refused["message"],
        "Apply failed with 1 conflict: conflict with \"hand\" with subresource \"scale\" using v1: .spec.replicas"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_applies_all_count() {
    let server = TestServer::start().await;
    let applies = (0..12).map(|n| {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"},
            "data": {format!("k{n}"): "x"}});
        let path = format!("{MAPS}/m?fieldManager=m{n}");
        server.client.clone().send_owned(Method::PATCH, path, YAML, config.to_string())
    });
    let codes: Vec<u16> = futures_util::future::join_all(applies)
        .await
        .into_iter()
        .map(|answer| answer.code)
        .collect();
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 1, "{codes:?}");
    let map = server.get(&format!("{MAPS}/m")).await.expect(200);
    assert_eq!(map["data"].as_object().map(serde_json::Map::len), Some(12), "{codes:?}");
    assert_eq!(managers(&map).len(), 12);
}
