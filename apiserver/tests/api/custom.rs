//! Custom resources: from a definition to objects that are served, and back to nothing.
//!
//! Where a test is one of Kubernetes' conformance tests, its name is given.

mod applied;
mod bodies;
mod definitions;
mod parts;
mod published;
mod versions;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::server::{Answer, PATIENCE, TestServer};
use crate::watches::Events;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/foos.gold.io";
const FOOS: &str = "/apis/gold.io/v1/namespaces/default/foos";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// The definition of Foo: a number with a default, a list that merges by key, status and scale.
pub(crate) fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "n": {"type": "integer", "minimum": 1, "default": 3},
            "color": {"type": "string"},
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "size": {"type": "integer"}}}}}},
        "status": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.gold.io"},
        "spec": {"group": "gold.io", "scope": "Namespaced",
            "names": {"kind": "Foo", "plural": "foos", "shortNames": ["fo"], "categories": ["all"]},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {},
                    "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n"}]}]}})
}

/// Creates a definition and waits until it is served.
pub(crate) async fn define(server: &TestServer, definition: &Value) {
    server.post(DEFINITIONS, definition).await.expect(201);
    let name = definition["metadata"]["name"].as_str().expect("a name");
    until(server, name, |definition| condition(definition, "Established") == "True").await;
}

/// Waits until a definition is as it should be.
async fn until(server: &TestServer, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let path = format!("{DEFINITIONS}?watch=true&fieldSelector=metadata.name={name}");
    let mut events = Events::open(server, &path).await;
    loop {
        let event = events.next().await.expect("the definition gets there");
        if holds(&event["object"]) {
            return event["object"].clone();
        }
    }
}

/// Waits until what is served at a path is as it should be.
async fn eventually(server: &TestServer, path: &str, holds: impl Fn(&Answer) -> bool) -> Value {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = server.get(path).await;
        if holds(&answer) {
            return answer.body;
        }
        assert!(tokio::time::Instant::now() < end, "{path} is still {}", answer.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn condition<'a>(definition: &'a Value, kind: &str) -> &'a str {
    let conditions = definition["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}

fn foo(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "gold.io/v1", "kind": "Foo", "metadata": {"name": name}, "spec": spec})
}

fn warning(answer: &Answer) -> String {
    let header = answer.headers.get("warning");
    header.map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_pruned_defaulted_and_validated() {
    let server = TestServer::start().await;
    server.get(FOOS).await.expect(404);
    define(&server, &definition()).await;
    let created = server.post(FOOS, &foo("a", json!({"zzz": 1}))).await;
    assert_eq!(warning(&created), "299 - \"unknown field \\\"spec.zzz\\\"\"");
    let created = created.expect(201);
    assert_eq!(created["spec"], json!({"n": 3}));
    assert_eq!(created["metadata"]["generation"], 1);
    let strict = format!("{FOOS}?fieldValidation=Strict");
    let refused = server.post(&strict, &foo("b", json!({"zzz": 1}))).await.expect(400);
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("strict decoding error: unknown field \"spec.zzz\""), "{message}");
    let refused = server.post(FOOS, &foo("b", json!({"n": "x"}))).await.expect(422);
    assert_eq!(
        refused["message"],
        "Foo.gold.io \"b\" is invalid: [spec.n: Invalid value: \"string\": spec.n in body must be of type integer: \"string\", \
         .spec.n: Invalid value: 0: .spec.n accessor error: x is of the type string, expected int64]"
    );
    server.post(FOOS, &foo("b", json!({"color": "red"}))).await.expect(201);
    let red = server.get(&format!("{FOOS}?fieldSelector=spec.color%3Dred")).await.expect(200);
    assert_eq!(red["items"][0]["metadata"]["name"], "b");
    assert_eq!((&red["kind"], red["items"].as_array().map(Vec::len)), (&json!("FooList"), Some(1)));
    let table = server.client.get_as(FOOS, TABLE).await.expect(200);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 3]));
}

/// CustomResourceDefinition Watch: watch on custom resource definition objects.
#[tokio::test(flavor = "multi_thread")]
async fn objects_are_patched_and_watched() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let mut events = Events::open(&server, &format!("{FOOS}?watch=true")).await;
    server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let path = format!("{FOOS}/a");
    let patched = server.merge(&path, &json!({"spec": {"n": 4}})).await.expect(200);
    assert_eq!(patched["metadata"]["generation"], 2);
    let patch = json!([{"op": "replace", "path": "/spec/n", "value": 5}]).to_string();
    let send = |kind: &'static str, body: String| {
        server.client.clone().send_owned(Method::PATCH, path.clone(), kind, body)
    };
    let patched = send("application/json-patch+json", patch).await.expect(200);
    assert_eq!(patched["spec"]["n"], 5);
    let strategic = send("application/strategic-merge-patch+json", "{}".to_owned()).await;
    assert_eq!(strategic.expect(415)["reason"], "UnsupportedMediaType");
    server.merge(&path, &json!({"spec": {"n": 0}})).await.expect(422);
    server.delete(&path, &json!({})).await.expect(200);
    server.get(&path).await.expect(404);
    for (kind, n) in [("ADDED", 3), ("MODIFIED", 4), ("MODIFIED", 5), ("DELETED", 5)] {
        let event = events.next().await.expect("an event");
        assert_eq!((&event["type"], &event["object"]["spec"]["n"]), (&json!(kind), &json!(n)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_scale_are_apart() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let mut new = foo("a", json!({}));
    new["status"] = json!({"n": 9});
    assert!(server.post(FOOS, &new).await.expect(201).get("status").is_none());
    let status = json!({"spec": {"n": 8}, "status": {"n": 2}});
    let after = server.merge(&format!("{FOOS}/a/status"), &status).await.expect(200);
    assert_eq!((&after["spec"]["n"], &after["status"]["n"]), (&json!(3), &json!(2)));
    assert_eq!(after["metadata"]["generation"], 1);
    let scale = server.get(&format!("{FOOS}/a/scale")).await.expect(200);
    assert_eq!(
        (&scale["kind"], &scale["spec"], &scale["status"]),
        (&json!("Scale"), &json!({"replicas": 3}), &json!({"replicas": 2}))
    );
    server.merge(&format!("{FOOS}/a/scale"), &json!({"spec": {"replicas": 7}})).await.expect(200);
    assert_eq!(server.get(&format!("{FOOS}/a")).await.expect(200)["spec"]["n"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_follows_definitions() {
    let server = TestServer::start().await;
    server.get("/apis/gold.io/v1").await.expect(404);
    define(&server, &definition()).await;
    let list = server.get("/apis/gold.io/v1").await.expect(200);
    let names: Vec<_> =
        list["resources"].as_array().expect("resources").iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["foos", "foos/status", "foos/scale"]);
    assert_eq!(list["resources"][0]["shortNames"], json!(["fo"]));
    let groups = server.get("/apis").await.expect(200);
    let groups = groups["groups"].as_array().expect("groups");
    assert_eq!(groups.last().expect("a group")["preferredVersion"]["version"], "v1");
    assert!(server.get("/").await.expect(200)["paths"].to_string().contains("/apis/gold.io/v1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_show_the_same_objects() {
    let server = TestServer::start().await;
    let mut both = definition();
    let mut second = both["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    second["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] =
        json!({"type": "string", "default": "L"});
    both["spec"]["versions"].as_array_mut().expect("versions").push(second);
    define(&server, &both).await;
    server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let other = "/apis/gold.io/v2/namespaces/default/foos/a";
    let shown = server.get(other).await.expect(200);
    assert_eq!(
        (&shown["apiVersion"], &shown["spec"]),
        (&json!("gold.io/v2"), &json!({"n": 3, "size": "L"}))
    );
    server.merge(other, &json!({"spec": {"n": 4}})).await.expect(200);
    let first = server.get(&format!("{FOOS}/a")).await.expect(200);
    assert_eq!((&first["apiVersion"], &first["spec"]), (&json!("gold.io/v1"), &json!({"n": 4})));

    // The other one is stored from now on; what was stored before is still there.
    let mut stored = both.clone();
    stored["spec"]["versions"][0]["storage"] = false.into();
    stored["spec"]["versions"][1]["storage"] = true.into();
    stored["spec"]["versions"][1]["served"] = true.into();
    let moved = server.merge(DEFINITION, &json!({"spec": stored["spec"]})).await.expect(200);
    assert_eq!(moved["status"]["storedVersions"], json!(["v1", "v2"]));
    assert_eq!(server.get(&format!("{FOOS}/a")).await.expect(200)["spec"]["n"], 4);

    // A version may go when its definition says that nothing is stored in it any more.
    let only = json!({"spec": {"versions": [moved["spec"]["versions"][1]]}});
    let refused = server.merge(DEFINITION, &only).await.expect(422);
    let message = refused["message"].as_str().expect("a message");
    assert!(
        message.contains("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version"),
        "{message}"
    );
    let status = json!({"status": {"storedVersions": ["v2"]}});
    server.merge(&format!("{DEFINITION}/status"), &status).await.expect(200);
    let gone = server.merge(DEFINITION, &only).await.expect(200);
    assert_eq!(gone["status"]["storedVersions"], json!(["v2"]));
    assert_eq!(server.get(other).await.expect(200)["spec"]["n"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_definition_takes_its_objects_along() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let mut kept = foo("kept", json!({}));
    kept["metadata"]["finalizers"] = json!(["gold.io/wait"]);
    server.post(FOOS, &kept).await.expect(201);
    server.post(FOOS, &foo("gone", json!({}))).await.expect(201);
    let deleted = server.delete(DEFINITION, &json!({})).await.expect(200);
    assert_eq!(
        deleted["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    until(&server, "foos.gold.io", |definition| condition(definition, "Terminating") == "True")
        .await;
    let refused = server.post(FOOS, &foo("late", json!({}))).await.expect(405);
    assert_eq!(
        (&refused["message"], &refused["details"]),
        (
            &json!("create not allowed while custom resource definition is terminating"),
            &json!({"group": "gold.io", "kind": "foos"})
        )
    );
    // It is shown to the end, with the verbs that lead there; objects can be changed still.
    let shown = server.get("/apis/gold.io/v1").await.expect(200);
    let resources = shown["resources"].as_array().expect("resources");
    let foos = resources.iter().find(|resource| resource["name"] == "foos").expect("foos");
    assert_eq!(foos["verbs"], json!(["delete", "deletecollection", "get", "list", "watch"]));
    let path = format!("{FOOS}/kept");
    let mut changed = server.merge(&path, &json!({"spec": {"n": 5}})).await.expect(200);
    changed["spec"]["n"] = json!(6);
    assert_eq!(server.put(&path, &changed).await.expect(200)["spec"]["n"], 6);
    let mut events = Events::open(&server, &format!("{FOOS}?watch=true")).await;
    let mut definitions = Events::open(&server, &format!("{DEFINITIONS}?watch=true")).await;
    while !server.get(&path).await.expect(200)["metadata"]["deletionTimestamp"].is_string() {
        events.next().await.expect("a change of an object");
    }
    server.merge(&path, &json!({"metadata": {"finalizers": null}})).await.expect(200);
    while definitions.next().await.expect("an event")["type"] != "DELETED" {}
    server.get(DEFINITION).await.expect(404);
    // And it may come again, without them.
    define(&server, &definition()).await;
    assert_eq!(server.get(FOOS).await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let server = TestServer::start_in(dir.path()).await;
    define(&server, &definition()).await;
    server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    server.stop().await.expect("a clean stop");
    let server = TestServer::start_in(dir.path()).await;
    // Served with the first request, without waiting for anything.
    assert_eq!(server.get(&format!("{FOOS}/a")).await.expect(200)["spec"]["n"], 3);
    server.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_schema_holds_at_once_for_what_is_stored() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    server.post(FOOS, &foo("a", json!({"color": "red"}))).await.expect(201);
    let mut changed = definition();
    let spec =
        &mut changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    spec["properties"]["added"] = json!({"type": "string", "default": "x"});
    let mut foos = Events::open(&server, &format!("{FOOS}?watch=true")).await;
    foos.next().await.expect("the object");
    server.merge(DEFINITION, &json!({"spec": changed["spec"]})).await.expect(200);
    // Watches of the old schema end.
    while foos.next().await.is_some() {}
    let shown = server.get(&format!("{FOOS}/a")).await.expect(200);
    assert_eq!(shown["spec"]["added"], "x");
}
