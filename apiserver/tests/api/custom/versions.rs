//! What a version says of itself: deprecated, not served, its list kind, the fields that selectors
//! may name.

use serde_json::{Value, json};

use super::{DEFINITION, DEFINITIONS, FOOS, define, definition, eventually, foo, warning};
use crate::server::TestServer;
use crate::watches::Events;

/// The definition with a second version that differs from the first.
fn with_version(name: &str, more: &Value) -> Value {
    let mut both = definition();
    let mut second = both["spec"]["versions"][0].clone();
    second["name"] = name.into();
    second["storage"] = false.into();
    for (field, value) in more.as_object().expect("fields") {
        second[field] = value.clone();
    }
    both["spec"]["versions"].as_array_mut().expect("versions").push(second);
    both
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_warn_and_unserved_ones_are_not_there() {
    let server = TestServer::start().await;
    define(&server, &with_version("v1beta1", &json!({"deprecated": true}))).await;
    let old = "/apis/gold.io/v1beta1/namespaces/default/foos";
    let mut new = foo("a", json!({}));
    new["apiVersion"] = "gold.io/v1beta1".into();
    let created = server.post(old, &new).await;
    assert_eq!(
        warning(&created),
        "299 - \"gold.io/v1beta1 Foo is deprecated; use gold.io/v1 Foo\""
    );
    created.expect(201);
    for path in [old.to_owned(), format!("{old}/a"), format!("{old}/none")] {
        let read = server.get(&path).await;
        assert_eq!(
            warning(&read),
            "299 - \"gold.io/v1beta1 Foo is deprecated; use gold.io/v1 Foo\"",
            "{path}"
        );
    }
    assert_eq!(warning(&server.get(FOOS).await), "");
    let unserved = with_version("v1beta1", &json!({"served": false}));
    server.merge(DEFINITION, &json!({"spec": unserved["spec"]})).await.expect(200);
    eventually(&server, old, |answer| answer.code == 404).await;
    server.get(&format!("{FOOS}/a")).await.expect(200);
    let versions = server.get("/apis/gold.io").await.expect(200)["versions"].clone();
    assert_eq!(versions.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_the_kind_they_were_given_and_items_their_own() {
    let server = TestServer::start().await;
    let mut named = definition();
    named["spec"]["names"]["listKind"] = "Fooses".into();
    define(&server, &named).await;
    server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let listed = server.get(FOOS).await.expect(200);
    assert_eq!(listed["kind"], "Fooses");
    let item = &listed["items"][0];
    assert_eq!((&item["apiVersion"], &item["kind"]), (&json!("gold.io/v1"), &json!("Foo")));
    let deleted = server.delete(FOOS, &json!({})).await.expect(200);
    assert_eq!((&deleted["kind"], &deleted["items"][0]["kind"]), (&json!("Fooses"), &json!("Foo")));
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_an_object_needs_its_version() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let created = server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let path = format!("{FOOS}/a");
    let refused = server.put(&path, &foo("a", json!({"n": 5}))).await.expect(422);
    assert_eq!(
        refused["message"],
        "foos.gold.io \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
    let mut new = created;
    new["spec"]["n"] = 5.into();
    assert_eq!(server.put(&path, &new).await.expect(200)["metadata"]["generation"], 2);
    server.put(&path, &new).await.expect(409);
}

/// CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector.
#[tokio::test(flavor = "multi_thread")]
async fn selectors_name_the_fields_of_the_version() {
    let server = TestServer::start().await;
    let more = json!({"selectableFields": [{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.n"}]});
    define(&server, &with_version("v2", &more)).await;
    for (name, spec) in [
        ("red", json!({"color": "red", "n": 1})),
        ("blue", json!({"color": "blue", "n": 1})),
        ("plain", json!({"n": 2})),
    ] {
        server.post(FOOS, &foo(name, spec)).await.expect(201);
    }
    let second = "/apis/gold.io/v2/namespaces/default/foos";
    for (path, selector, want) in [
        (FOOS, "spec.color=red", vec!["red"]),
        (FOOS, "spec.color=", vec!["plain"]),
        (FOOS, "spec.color!=red", vec!["blue", "plain"]),
        (second, "spec.n=1", vec!["blue", "red"]),
        (second, "spec.n=1,spec.color=blue", vec!["blue"]),
    ] {
        let selector = selector.replace('=', "%3D").replace('!', "%21").replace(',', "%2C");
        let listed = server.get(&format!("{path}?fieldSelector={selector}")).await.expect(200);
        let items = listed["items"].as_array().expect("items").iter();
        let names: Vec<_> = items.map(|item| item["metadata"]["name"].clone()).collect();
        assert_eq!(names, want, "{selector}");
    }
    let refused = server.get(&format!("{FOOS}?fieldSelector=spec.n%3D1")).await.expect(400);
    assert_eq!(refused["message"], "field label not supported: spec.n");
    // What comes to match appears, and what ceases to goes.
    let path = format!(
        "{second}?watch=true&fieldSelector=spec.color%3Dred&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    );
    let mut events = Events::open(&server, &path).await;
    for (name, color) in [("blue", "red"), ("red", "green")] {
        let patch = json!({"spec": {"color": color}});
        server.merge(&format!("{FOOS}/{name}"), &patch).await.expect(200);
    }
    for (kind, name) in [("ADDED", "blue"), ("DELETED", "red")] {
        let event = events.next().await.expect("an event");
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&json!(kind), &json!(name))
        );
    }
}

/// CustomResourceDefinition resources: should include custom resource definition resources in
/// discovery documents.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_discovered() {
    let server = TestServer::start().await;
    let groups = server.get("/apis").await.expect(200);
    let group = groups["groups"].as_array().expect("groups").iter();
    let group = group.clone().find(|group| group["name"] == "apiextensions.k8s.io").expect("there");
    assert_eq!(group["preferredVersion"]["groupVersion"], "apiextensions.k8s.io/v1");
    let version = server.get("/apis/apiextensions.k8s.io/v1").await.expect(200);
    let resources = version["resources"].as_array().expect("resources");
    assert!(resources.iter().any(|resource| resource["name"] == "customresourcedefinitions"));
    define(&server, &definition()).await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let all = server.client.get_as("/apis", accept).await.expect(200);
    let group = all["items"].as_array().expect("groups").last().expect("a group");
    assert_eq!(group["metadata"]["name"], "gold.io");
    let resource = &group["versions"][0]["resources"][0];
    assert_eq!(
        (&resource["resource"], &resource["shortNames"], &resource["categories"]),
        (&json!("foos"), &json!(["fo"]), &json!(["all"]))
    );
    assert_eq!(resource["responseKind"], json!({"group": "", "version": "", "kind": "Foo"}));
    server.get(&format!("{DEFINITIONS}/foos.gold.io")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_version_begins_another_goes_on_with() {
    let server = TestServer::start().await;
    define(&server, &with_version("v2", &json!({}))).await;
    let second = "/apis/gold.io/v2/namespaces/default/foos";
    for name in ["a", "b", "c"] {
        server.post(FOOS, &foo(name, json!({}))).await.expect(201);
    }
    let mut path = format!("{FOOS}?limit=1");
    let mut seen = Vec::new();
    for at in [second, FOOS, second] {
        let page = server.get(&path).await.expect(200);
        let item = &page["items"][0];
        seen.push(format!("{} {}", item["apiVersion"], item["metadata"]["name"]));
        let next = page["metadata"]["continue"].as_str().unwrap_or_default();
        path = format!("{at}?limit=1&continue={next}");
    }
    assert_eq!(seen, [r#""gold.io/v1" "a""#, r#""gold.io/v2" "b""#, r#""gold.io/v1" "c""#]);
    // A watch in one version goes on from a list in the other, and tells of writes in both.
    let from = server.get(FOOS).await.expect(200)["metadata"]["resourceVersion"].clone();
    let from = from.as_str().expect("a version");
    let path = format!("{second}?watch=true&resourceVersion={from}");
    let mut events = Events::open(&server, &path).await;
    let merge = async |at: &str, manager: &str| {
        let path = format!("{at}/a?fieldManager={manager}");
        server.merge(&path, &json!({"spec": {"color": manager}})).await.expect(200)
    };
    merge(FOOS, "one").await;
    let both = merge(second, "two").await;
    for color in ["one", "two"] {
        let object = events.next().await.expect("an event")["object"].clone();
        assert_eq!(
            (&object["apiVersion"], &object["spec"]["color"]),
            (&json!("gold.io/v2"), &json!(color))
        );
    }
    // Managers are of the version in which they wrote, whichever shows them.
    let versions = |object: &Value| -> Vec<String> {
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        entries.map(|entry| format!("{} {}", entry["manager"], entry["apiVersion"])).collect()
    };
    let managers = versions(&both);
    assert!(managers.contains(&r#""two" "gold.io/v2""#.to_owned()), "{managers:?}");
    // What the one owned, the other has taken.
    assert!(!managers.iter().any(|entry| entry.starts_with("\"one\"")), "{managers:?}");
    assert_eq!(versions(&server.get(&format!("{FOOS}/a")).await.expect(200)), managers);
}
