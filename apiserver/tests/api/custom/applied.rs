//! Server-side apply of custom resources, of their status and of their Scale.

use http::Method;
use serde_json::{Value, json};

use super::{FOOS, define, definition, foo};
use crate::server::{Answer, TestServer};

async fn apply(server: &TestServer, path: &str, config: &Value) -> Answer {
    let kind = "application/apply-patch+yaml";
    server.client.send(Method::PATCH, path, kind, config.to_string()).await
}

/// `MANAGER SUBRESOURCE` of the managers of an object, with what they own.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = entries
        .map(|entry| {
            let name = format!("{} {}", text(entry, "manager"), text(entry, "subresource"));
            (name.trim().to_owned(), entry["fieldsV1"].clone())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_share_an_object_as_its_definition_says() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let path = |manager: &str| format!("{FOOS}/a?fieldManager={manager}");
    let one = foo("a", json!({"n": 5, "parts": [{"name": "x", "size": 1}]}));
    apply(&server, &path("one"), &one).await.expect(201);
    let two = foo("a", json!({"parts": [{"name": "y"}]}));
    let both = apply(&server, &path("two"), &two).await.expect(200);
    assert_eq!(both["spec"]["parts"], json!([{"name": "x", "size": 1}, {"name": "y"}]));
    assert_eq!(
        owners(&both),
        [
            (
                "one".to_owned(),
                json!({"f:spec": {"f:n": {}, "f:parts": {
                    "k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:size": {}}}}})
            ),
            (
                "two".to_owned(),
                json!({"f:spec": {"f:parts": {"k:{\"name\":\"y\"}": {".": {}, "f:name": {}}}}})
            ),
        ]
    );
    let three = foo("a", json!({"parts": [{"name": "x", "size": 2}]}));
    let refused = apply(&server, &path("three"), &three).await.expect(409);
    assert_eq!(
        refused["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"one\"",
            "field": ".spec.parts[name=\"x\"].size"}])
    );
    let unknown = foo("a", json!({"zzz": 1}));
    let refused = apply(&server, &path("four"), &unknown).await.expect(500);
    assert_eq!(
        refused["message"],
        "failed to create typed patch object (/a; gold.io/v1, Kind=Foo): .spec.zzz: field not declared in schema"
    );
    // An item goes with the last one who wanted it.
    let none = foo("a", json!({"n": 5}));
    let left = apply(&server, &path("one"), &none).await.expect(200);
    assert_eq!(left["spec"], json!({"n": 5, "parts": [{"name": "y"}]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_and_a_scale_are_applied_apart() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    server.post(&format!("{FOOS}?fieldManager=maker"), &foo("a", json!({}))).await.expect(201);
    let mut config = foo("a", json!({"n": 9}));
    config["status"] = json!({"n": 2});
    let path = format!("{FOOS}/a/status?fieldManager=teller");
    let told = apply(&server, &path, &config).await.expect(200);
    assert_eq!((&told["spec"]["n"], &told["status"]["n"]), (&json!(3), &json!(2)));
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "a", "namespace": "default"}, "spec": {"replicas": 7}});
    let path = format!("{FOOS}/a/scale?fieldManager=scaler");
    apply(&server, &path, &scale).await.expect(409);
    let scaled = apply(&server, &format!("{path}&force=true"), &scale).await.expect(200);
    assert_eq!((&scaled["kind"], &scaled["spec"]["replicas"]), (&json!("Scale"), &json!(7)));
    let after = server.get(&format!("{FOOS}/a")).await.expect(200);
    assert_eq!((&after["spec"]["n"], &after["metadata"]["generation"]), (&json!(7), &json!(2)));
    assert_eq!(
        owners(&after),
        [
            ("maker".to_owned(), json!({"f:spec": {}})),
            ("scaler scale".to_owned(), json!({"f:spec": {"f:n": {}}})),
            ("teller status".to_owned(), json!({"f:status": {"f:n": {}}})),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_wants_no_number_of_replicas_has_no_scale_yet() {
    let server = TestServer::start().await;
    let mut bare = definition();
    let schema = &mut bare["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["properties"]["n"] = json!({"type": "integer"});
    define(&server, &bare).await;
    server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let path = format!("{FOOS}/a/scale");
    let refused = server.get(&path).await.expect(500);
    assert_eq!(
        refused["message"],
        "Internal error occurred: the spec replicas field \".spec.n\" does not exist"
    );
    server.merge(&path, &json!({"spec": {"replicas": 2}})).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200)["spec"]["replicas"], 2);
}
