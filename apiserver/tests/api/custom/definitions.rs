//! The definitions themselves: names, conditions, status, deletion.

use serde_json::{Value, json};

use super::{DEFINITION, DEFINITIONS, FOOS, condition, define, definition, eventually, foo, until};
use crate::server::TestServer;
use crate::watches::Events;

/// A definition of the group with these names.
fn named(plural: &str, kind: &str) -> Value {
    let mut new = definition();
    new["metadata"] = json!({"name": format!("{plural}.gold.io"), "labels": {"test": "yes"}});
    new["spec"]["names"] = json!({"plural": plural, "kind": kind});
    new
}

/// CustomResourceDefinition resources: Simple CustomResourceDefinition creating/deleting custom
/// resource definition objects works; listing custom resource definition objects works.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_listed_and_deleted_together() {
    let server = TestServer::start().await;
    for (plural, kind) in [("ones", "One"), ("twos", "Two")] {
        define(&server, &named(plural, kind)).await;
    }
    define(&server, &definition()).await;
    let selected = format!("{DEFINITIONS}?labelSelector=test%3Dyes");
    let listed = server.get(&selected).await.expect(200);
    let names: Vec<_> =
        listed["items"].as_array().expect("items").iter().map(|d| &d["metadata"]["name"]).collect();
    assert_eq!(names, ["ones.gold.io", "twos.gold.io"]);
    assert_eq!(listed["kind"], "CustomResourceDefinitionList");
    server.delete(&selected, &json!({})).await.expect(200);
    let none = |answer: &crate::server::Answer| answer.body["items"] == json!([]);
    eventually(&server, &selected, none).await;
    server.get("/apis/gold.io/v1/namespaces/default/ones").await.expect(404);
    server.get(FOOS).await.expect(200);
}

/// CustomResourceDefinition resources: Simple CustomResourceDefinition
/// getting/updating/patching custom resource definition status sub-resource works.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_definition_can_be_written() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let path = format!("{DEFINITION}/status");
    let mut got = server.get(&path).await.expect(200);
    let told =
        json!({"type": "Told", "status": "True", "reason": "E2E", "message": "Set from a test"});
    got["status"]["conditions"].as_array_mut().expect("conditions").push(told);
    got["spec"]["scope"] = "Cluster".into();
    got["metadata"]["labels"] = json!({"a": "b"});
    let updated = server.put(&path, &got).await.expect(200);
    assert_eq!(condition(&updated, "Told"), "True");
    assert_eq!(updated["spec"]["scope"], "Namespaced", "a status is only a status");
    assert!(updated["metadata"].get("labels").is_none());
    let patch = json!({"status": {"conditions": [
        {"type": "Told", "status": "False", "reason": "E2E", "message": "Changed from a test"}]}});
    let patched = server.merge(&path, &patch).await.expect(200);
    assert_eq!(condition(&patched, "Told"), "False");
    // What the server says itself comes back.
    until(&server, "foos.gold.io", |d| condition(d, "Established") == "True").await;
    server.get(FOOS).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_cannot_be_told_of_holds_up_no_other() {
    let server = TestServer::start().await;
    // As an older server may have stored it: its status can never be written.
    let mut odd = named("odds", "Odd");
    odd["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
    odd["metadata"]["uid"] = "odd".into();
    odd["spec"]["names"]["singular"] = "O_d_d".into();
    odd["spec"]["names"]["listKind"] = "OddList".into();
    let key = "apiextensions.k8s.io/customresourcedefinitions/odds.gold.io";
    server.store.create(key, odd.to_string().into()).await.expect("stored");
    define(&server, &definition()).await;
    server.get(FOOS).await.expect(200);
    let left = server.get(&format!("{DEFINITIONS}/odds.gold.io")).await.expect(200);
    assert_eq!(condition(&left, "Established"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_are_told_and_freed() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let mut second = named("bars", "Bar");
    second["spec"]["names"]["shortNames"] = json!(["fo"]);
    server.post(DEFINITIONS, &second).await.expect(201);
    let told = until(&server, "bars.gold.io", |d| !condition(d, "NamesAccepted").is_empty()).await;
    assert_eq!(condition(&told, "NamesAccepted"), "False");
    assert_eq!(condition(&told, "Established"), "False");
    assert_eq!(told["status"]["conditions"][0]["reason"], "ShortNamesConflict");
    server.get("/apis/gold.io/v1/namespaces/default/bars").await.expect(404);
    server.delete(DEFINITION, &json!({})).await.expect(200);
    until(&server, "bars.gold.io", |d| condition(d, "Established") == "True").await;
    server.get("/apis/gold.io/v1/namespaces/default/bars").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_kubernetes_are_told_of_their_approval() {
    let server = TestServer::start().await;
    let mut own = named("foos", "Foo");
    own["metadata"]["name"] = "foos.gold.k8s.io".into();
    own["spec"]["group"] = "gold.k8s.io".into();
    let refused = server.post(DEFINITIONS, &own).await.expect(422);
    assert_eq!(
        refused["details"]["causes"][0]["field"],
        "metadata.annotations[api-approved.kubernetes.io]"
    );
    own["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, a test"});
    define(&server, &own).await;
    let conformant = "KubernetesAPIApprovalPolicyConformant";
    let told = until(&server, "foos.gold.k8s.io", |d| !condition(d, conformant).is_empty()).await;
    assert_eq!(condition(&told, conformant), "False");
}

/// CustomResourceDefinition resources: custom resource defaulting for requests and from storage
/// works.
#[tokio::test(flavor = "multi_thread")]
async fn defaults_hold_for_requests_and_for_what_is_stored() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    server.post(FOOS, &foo("old", json!({"color": "red"}))).await.expect(201);
    let with = |properties: Value| {
        let mut changed = definition();
        let schema = &mut changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for (name, property) in properties.as_object().expect("properties") {
            schema["properties"]["spec"]["properties"][name] = property.clone();
        }
        json!({"spec": changed["spec"]})
    };
    let a = json!({"a": {"type": "string", "default": "A"}});
    server.merge(DEFINITION, &with(a)).await.expect(200);
    let old = format!("{FOOS}/old");
    eventually(&server, &old, |answer| answer.body["spec"]["a"] == "A").await;
    let new = server.post(FOOS, &foo("new", json!({}))).await.expect(201);
    assert_eq!(new["spec"]["a"], "A");
    // What was only shown goes with the default, what was stored stays.
    let b = json!({"a": {"type": "string"}, "b": {"type": "string", "default": "B"}});
    server.merge(DEFINITION, &with(b)).await.expect(200);
    let shown = eventually(&server, &old, |answer| answer.body["spec"]["b"] == "B").await;
    assert_eq!(shown["spec"].get("a"), None);
    assert_eq!(server.get(&format!("{FOOS}/new")).await.expect(200)["spec"]["a"], "A");
    let patched = server.merge(&old, &json!({"spec": {"color": "blue"}})).await.expect(200);
    assert_eq!(patched["spec"], json!({"n": 3, "b": "B", "color": "blue"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_go_on_across_a_change_of_the_definition() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let before = server.get(FOOS).await.expect(200)["metadata"]["resourceVersion"].clone();
    let before = before.as_str().expect("a version");
    server.post(FOOS, &foo("b", json!({}))).await.expect(201);
    server.merge(&format!("{FOOS}/a"), &json!({"spec": {"n": 4}})).await.expect(200);
    server.delete(&format!("{FOOS}/b"), &json!({})).await.expect(200);
    let mut changed = definition();
    let schema = &mut changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["properties"]["x"] = json!({"type": "string", "default": "X"});
    server.merge(DEFINITION, &json!({"spec": changed["spec"]})).await.expect(200);
    let served = |answer: &crate::server::Answer| answer.body["spec"]["x"] == "X";
    eventually(&server, &format!("{FOOS}/a"), served).await;
    // All that has happened since is told, as the definition is now.
    let path = format!("{FOOS}?watch=true&resourceVersion={before}");
    let mut events = Events::open(&server, &path).await;
    for (kind, name, n) in [("ADDED", "b", 3), ("MODIFIED", "a", 4), ("DELETED", "b", 3)] {
        let event = events.next().await.expect("an event");
        let object = &event["object"];
        assert_eq!(
            (&event["type"], &object["metadata"]["name"], &object["spec"]),
            (&json!(kind), &json!(name), &json!({"n": n, "x": "X"}))
        );
    }
    server.post(FOOS, &foo("c", json!({}))).await.expect(201);
    assert_eq!(events.next().await.expect("an event")["object"]["metadata"]["name"], "c");
}
