//! OpenAPI documents speak of custom resources as soon as they are served: the conformance tests of
//! CustomResourcePublishOpenAPI, and what `kubectl explain` reads.

use serde_json::{Value, json};

use super::{DEFINITION, DEFINITIONS, define, definition, eventually};
use crate::server::TestServer;

/// A definition whose versions have these schemas.
fn published(group: &str, kind: &str, versions: &[(&str, Value)]) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(n, (name, schema))| {
            json!({"name": name, "served": true, "storage": n == 0,
                "schema": {"openAPIV3Schema": schema}})
        })
        .collect();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural}, "versions": versions}})
}

fn schema() -> Value {
    json!({"type": "object", "description": "A foo for tests", "properties": {
        "spec": {"type": "object", "description": "What is wanted", "required": ["bars"], "properties": {
            "bars": {"type": "array", "description": "All bars", "items": {"type": "object",
                "required": ["name"], "properties": {"name": {"type": "string", "description": "Its name"},
                    "age": {"type": "integer", "nullable": true, "x-kubernetes-int-or-string": false}}}}}}}})
}

/// A definition of both documents.
async fn shown(server: &TestServer, group: &str, version: &str, name: &str) -> (Value, Value) {
    let second = server.get("/openapi/v2").await.expect(200)["definitions"][name].take();
    let path = format!("/openapi/v3/apis/{group}/{version}");
    let third = server.get(&path).await.expect(200)["components"]["schemas"][name].take();
    (second, third)
}

/// works for CRD with validation schema; works for multiple CRDs of different groups; works for
/// multiple CRDs of same group and version but different kinds; works for multiple CRDs of same
/// group but different versions
#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_published_at_once() {
    let server = TestServer::start().await;
    let other = json!({"type": "object", "properties": {"other": {"type": "string"}}});
    for (group, kind, versions) in [
        ("gold.io", "Foo", vec![("v1", schema()), ("v2", other.clone())]),
        ("gold.io", "Waldo", vec![("v1", other.clone())]),
        ("silver.io", "Foo", vec![("v1", other)]),
    ] {
        define(&server, &published(group, kind, &versions)).await;
    }
    let (second, third) = shown(&server, "gold.io", "v1", "io.gold.v1.Foo").await;
    for shown in [&second, &third] {
        assert_eq!(shown["description"], "A foo for tests");
        assert_eq!(
            shown["x-kubernetes-group-version-kind"],
            json!([{"group": "gold.io", "version": "v1", "kind": "Foo"}])
        );
        assert_eq!(shown["properties"]["spec"]["required"], json!(["bars"]));
        let item = &shown["properties"]["spec"]["properties"]["bars"]["items"];
        assert_eq!(item["properties"]["name"]["description"], "Its name");
        assert!(shown["properties"]["metadata"].to_string().contains("ObjectMeta"), "{shown}");
    }
    let age = |shown: &Value| {
        shown["properties"]["spec"]["properties"]["bars"]["items"]["properties"]["age"].clone()
    };
    assert_eq!(age(&third)["nullable"], true);
    assert_eq!(age(&second).get("nullable"), None, "version 2 does not know null");
    for (group, version, name) in [
        ("gold.io", "v2", "io.gold.v2.Foo"),
        ("gold.io", "v1", "io.gold.v1.Waldo"),
        ("silver.io", "v1", "io.silver.v1.Foo"),
    ] {
        let (second, third) = shown(&server, group, version, name).await;
        for shown in [second, third] {
            assert_eq!(shown["properties"]["other"], json!({"type": "string"}), "{name}");
        }
    }
    let lists = shown(&server, "gold.io", "v1", "io.gold.v1.FooList").await.1;
    assert_eq!(lists["x-kubernetes-group-version-kind"][0]["kind"], "FooList");
}

/// works for CRD without validation schema; works for CRD preserving unknown fields at the schema
/// root; works for CRD preserving unknown fields in an embedded object
#[tokio::test(flavor = "multi_thread")]
async fn open_schemas_refuse_nothing() {
    let server = TestServer::start().await;
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let embedded = json!({"type": "object", "properties": {"spec": {"type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"dummy": {"type": "string"}}}}});
    define(&server, &published("gold.io", "Open", &[("v1", open)])).await;
    define(&server, &published("gold.io", "Within", &[("v1", embedded)])).await;
    let (second, third) = shown(&server, "gold.io", "v1", "io.gold.v1.Open").await;
    assert_eq!(second["type"], "object");
    assert_eq!(second.get("properties"), None);
    assert_eq!(third["x-kubernetes-preserve-unknown-fields"], true);
    let (second, third) = shown(&server, "gold.io", "v1", "io.gold.v1.Within").await;
    assert_eq!(second["properties"]["spec"].get("properties"), None);
    assert_eq!(third["properties"]["spec"]["properties"]["dummy"], json!({"type": "string"}));
    let path = "/apis/gold.io/v1/namespaces/default/opens";
    let any = json!({"apiVersion": "gold.io/v1", "kind": "Open", "metadata": {"name": "a"},
        "any": {"thing": [1, {"more": true}]}});
    let kept = server.post(&format!("{path}?fieldValidation=Strict"), &any).await.expect(201);
    assert_eq!(kept["any"], any["any"]);
}

/// updates the published spec when one version gets renamed; removes definition from spec when one
/// version gets changed to not be served
#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_follows_the_definition() {
    let server = TestServer::start().await;
    let versions = [("v2", schema()), ("v3", schema())];
    let mut both = published("gold.io", "Foo", &versions);
    define(&server, &both).await;
    let (second, _) = shown(&server, "gold.io", "v3", "io.gold.v3.Foo").await;
    assert!(second.is_object());
    both["spec"]["versions"][1]["name"] = "v4".into();
    let path = format!("{DEFINITIONS}/foos.gold.io");
    server.merge(&path, &json!({"spec": both["spec"]})).await.expect(200);
    eventually(&server, "/openapi/v3/apis/gold.io/v4", |answer| answer.code == 200).await;
    let definitions = server.get("/openapi/v2").await.expect(200)["definitions"].take();
    assert!(definitions["io.gold.v4.Foo"].is_object() && definitions["io.gold.v3.Foo"].is_null());
    server.get("/openapi/v3/apis/gold.io/v3").await.expect(404);
    both["spec"]["versions"][1]["served"] = false.into();
    server.merge(&path, &json!({"spec": both["spec"]})).await.expect(200);
    eventually(&server, "/openapi/v3/apis/gold.io/v4", |answer| answer.code == 404).await;
    let definitions = server.get("/openapi/v2").await.expect(200)["definitions"].take();
    assert!(definitions["io.gold.v4.Foo"].is_null() && definitions["io.gold.v2.Foo"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_say_what_they_speak_of() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let (second, third) = shown(&server, "gold.io", "v1", "io.gold.v1.Foo").await;
    for shown in [second, third] {
        let fields = &shown["x-kubernetes-selectable-fields"];
        assert_eq!(fields, &json!([{"fieldPath": "spec.color"}]));
    }
    let document = server.get("/openapi/v3/apis/gold.io/v1").await.expect(200);
    let path = "/apis/gold.io/v1/namespaces/{namespace}/foos/{name}";
    let get = &document["paths"][path]["get"];
    assert_eq!(
        get["x-kubernetes-group-version-kind"],
        json!({"group": "gold.io", "version": "v1", "kind": "Foo"})
    );
    assert_eq!(get["x-kubernetes-action"], "get");
    assert!(document["paths"][format!("{path}/scale")]["get"].is_object());
    server.delete(DEFINITION, &json!({})).await.expect(200);
    eventually(&server, "/openapi/v3/apis/gold.io/v1", |answer| answer.code == 404).await;
}
