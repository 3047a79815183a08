//! Custom resources: owned, owning, and in a namespace that goes.

use controllers::Config;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};

fn foos() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("gold.io", "v1", "Foo"), "foos")
}

fn foo_api(cluster: &Cluster, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.client.clone(), namespace, &foos())
}

async fn define(cluster: &Cluster) {
    let definition = json!({
        "metadata": {"name": "foos.gold.io"},
        "spec": {"group": "gold.io", "scope": "Namespaced", "names": {"kind": "Foo", "plural": "foos"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let definition: CustomResourceDefinition = serde_json::from_value(definition).unwrap();
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    api.create(&PostParams::default(), &definition).await.unwrap();
    eventually("the definition is served", || async {
        foo_api(cluster, "default").list(&Default::default()).await.map(drop)
    })
    .await;
}

async fn foo(cluster: &Cluster, namespace: &str, metadata: Value) -> DynamicObject {
    let object = json!({"apiVersion": "gold.io/v1", "kind": "Foo", "metadata": metadata});
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    foo_api(cluster, namespace).create(&PostParams::default(), &object).await.unwrap()
}

async fn gone(what: &str, api: &Api<DynamicObject>, name: &str) {
    eventually(what, || async {
        match api.get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(left) => Err(left.metadata),
        }
    })
    .await;
}

fn owned_by(api_version: &str, kind: &str, name: &str, uid: Option<String>) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid}])
}

#[tokio::test]
async fn owners_and_dependents_may_be_custom() {
    let cluster = Cluster::start(Config::default()).await;
    define(&cluster).await;
    let owner = foo(&cluster, "default", json!({"name": "owner"})).await;
    let owners = owned_by("gold.io/v1", "Foo", "owner", owner.uid());
    let map = json!({"metadata": {"name": "map", "ownerReferences": owners}});
    let map: ConfigMap = cluster.create("default", map).await;
    let owners = owned_by("v1", "ConfigMap", "map", map.uid());
    foo(&cluster, "default", json!({"name": "last", "ownerReferences": owners})).await;
    let api = foo_api(&cluster, "default");
    api.delete("owner", &DeleteParams::background()).await.unwrap();
    gone("the last of the chain goes", &api, "last").await;
    assert!(cluster.api::<ConfigMap>("default").get_opt("map").await.unwrap().is_none());
    cluster.stop().await;
}

#[tokio::test]
async fn dependents_of_a_kind_go_with_its_definition() {
    let cluster = Cluster::start(Config::default()).await;
    define(&cluster).await;
    let owner = foo(&cluster, "default", json!({"name": "owner"})).await;
    let owners = owned_by("gold.io/v1", "Foo", "owner", owner.uid());
    let map = json!({"metadata": {"name": "map", "ownerReferences": owners}});
    let _: ConfigMap = cluster.create("default", map).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    definitions.delete("foos.gold.io", &DeleteParams::default()).await.unwrap();
    eventually("the dependent goes", || async {
        let left = cluster.api::<ConfigMap>("default").get_opt("map").await.unwrap();
        left.map_or(Ok(()), |left| Err(left.name_any()))
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_namespace_takes_its_custom_resources_along() {
    let cluster = Cluster::start(Config::default()).await;
    define(&cluster).await;
    cluster.namespace("going").await;
    foo(&cluster, "going", json!({"name": "a"})).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("going", &DeleteParams::default()).await.unwrap();
    eventually("the namespace goes", || async {
        let left = namespaces.get_opt("going").await.unwrap();
        left.map_or(Ok(()), |left| Err(left.status))
    })
    .await;
    gone("and what was in it", &foo_api(&cluster, "going"), "a").await;
    cluster.stop().await;
}
