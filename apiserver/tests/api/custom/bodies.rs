//! What a body must say of itself, on every way that an object takes.

use http::Method;
use serde_json::{Value, json};

use super::{FOOS, define, definition, foo};
use crate::server::{Answer, TestServer};

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

async fn patch(server: &TestServer, path: &str, kind: &str, body: &Value) -> Answer {
    server.client.send(Method::PATCH, path, kind, body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_an_object_of_the_kind_and_version_of_its_path() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let made = server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let path = format!("{FOOS}/a");
    let with = |field: &str, value: Value| {
        let mut body = made.clone();
        body[field] = value;
        body
    };
    let version = "the API version in the data (gold.io/v2) does not match the expected API version (gold.io/v1)";
    let kind = "Bar.gold.io \"a\" is invalid: kind: Invalid value: \"Bar\": must be Foo";
    for (body, code, message) in [
        (with("kind", json!("Bar")), 422, kind),
        (with("apiVersion", json!("gold.io/v2")), 400, version),
        (with("kind", json!("")), 400, "Object 'Kind' is missing in"),
        (with("apiVersion", json!("")), 400, "the API version in the data () does not match"),
    ] {
        let created = server.post(FOOS, &body).await;
        let replaced = server.put(&path, &body).await;
        let told = server.put(&format!("{path}/status"), &body).await;
        for answer in [created, replaced, told] {
            let status = answer.expect(code);
            let said = status["message"].as_str().unwrap_or_default();
            assert!(said.contains(message), "{body}: {said}");
        }
    }
    let group = "Foo.gold.io \"a\" is invalid: apiVersion: Invalid value: \"gold.io/v2\": must be gold.io/v1";
    for (body, code, message) in [
        (json!({"kind": "Bar"}), 422, kind),
        (json!({"apiVersion": "gold.io/v2"}), 422, group),
        (json!({"kind": null}), 422, "Object 'Kind' is missing in"),
        (json!({"apiVersion": null}), 500, "Object 'apiVersion' is missing in"),
    ] {
        let (name, value) = body.as_object().and_then(|body| body.iter().next()).expect("a field");
        let pointer = format!("/{name}");
        let operation = match value {
            Value::Null => json!({"op": "remove", "path": pointer}),
            value => json!({"op": "replace", "path": pointer, "value": value}),
        };
        for path in [path.clone(), format!("{path}/status")] {
            let merged = patch(&server, &path, MERGE, &body).await;
            let edited = patch(&server, &path, JSON, &json!([operation])).await;
            for answer in [merged, edited] {
                let status = answer.expect(code);
                let said = status["message"].as_str().unwrap_or_default();
                assert!(said.contains(message), "{body}: {said}");
            }
        }
    }
    for (field, value, message) in [
        ("kind", json!("Bar"), "invalid object type: gold.io/v1, Kind=Bar"),
        ("apiVersion", json!("gold.io/v2"), "invalid object type: gold.io/v2, Kind=Foo"),
        ("kind", json!(null), "invalid object type: gold.io/v1, Kind="),
    ] {
        let mut config = foo("a", json!({}));
        config[field] = value;
        let status = patch(&server, &format!("{path}?fieldManager=m"), APPLY, &config).await;
        assert_eq!(status.expect(400)["message"], message);
    }
    assert_eq!(server.get(&path).await.expect(200), made);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_a_definition_does_not_have() {
    let server = TestServer::start().await;
    let mut bare = definition();
    bare["spec"]["versions"][0]["subresources"] = json!({"status": {}});
    define(&server, &bare).await;
    server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    for below in ["scale", "other"] {
        let status = server.get(&format!("{FOOS}/a/{below}")).await.expect(404);
        assert_eq!(
            (&status["message"], &status["details"]),
            (
                &json!("foos.gold.io \"a\" not found"),
                &json!({"name": "a", "group": "gold.io", "kind": "foos"})
            )
        );
    }
    let status = server.delete(&format!("{FOOS}/a/status"), &json!({})).await.expect(405);
    assert_eq!(status["message"], "delete is not supported on resources of kind \"foos.gold.io\"");
    // An object has a namespace, a list may have all.
    server.get("/apis/gold.io/v1/foos").await.expect(200);
    let answer = server.post("/apis/gold.io/v1/foos", &foo("b", json!({}))).await;
    assert_eq!((answer.code, answer.text()), (404, "404 page not found\n"));
}
