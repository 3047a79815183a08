//! Typed and untyped objects.

use futures_util::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams,
};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::runtime::conditions::is_pod_running;
use kube::runtime::wait::{await_condition, delete::delete_and_finalize};
use kube::{Client, Error, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::patiently;

/// A typed object of JSON.
pub(super) fn object<K: DeserializeOwned>(json: Value) -> K {
    serde_json::from_value(json).unwrap()
}

/// The status code and reason of a refusal.
fn refusal<T>(outcome: Result<T, Error>) -> (u16, String) {
    match outcome {
        Err(Error::Api(status)) => (status.code, status.reason),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the call succeeded"),
    }
}

/// From birth to death.
pub(super) async fn live(client: &Client) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let wanted = object(json!({"metadata": {"name": "settings"}, "data": {"a": "1"}}));
    let made = api.create(&PostParams::default(), &wanted).await.unwrap();
    let again = api.create(&PostParams::default(), &wanted).await;
    assert_eq!(refusal(again), (409, "AlreadyExists".into()));

    let mut newer = made.clone();
    newer.data.get_or_insert_default().insert("a".into(), "2".into());
    let replaced = api.replace("settings", &PostParams::default(), &newer).await.unwrap();
    assert_ne!(replaced.resource_version(), made.resource_version());
    newer.data.get_or_insert_default().insert("a".into(), "3".into());
    let late = api.replace("settings", &PostParams::default(), &newer).await;
    assert_eq!(refusal(late), (409, "Conflict".into()));

    let apply = async |manager: &str, data: Value| {
        let patch = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
        api.patch("settings", &PatchParams::apply(manager), &Patch::Apply(patch)).await
    };
    apply("one", json!({"b": "1"})).await.unwrap();
    let both = apply("two", json!({"c": "1"})).await.unwrap();
    assert_eq!(serde_json::to_value(both.data).unwrap(), json!({"a": "2", "b": "1", "c": "1"}));
    assert_eq!(refusal(apply("two", json!({"b": "2"})).await), (409, "Conflict".into()));

    let how = DeleteParams::default();
    let gone = delete_and_finalize(api.clone(), "settings", &how);
    patiently("the ConfigMap goes", gone).await.unwrap();
    assert!(api.get_opt("settings").await.unwrap().is_none());
}

/// A list in chunks, and one of metadata alone.
pub(super) async fn come_in_pages(client: &Client) {
    let api: Api<Secret> = Api::default_namespaced(client.clone());
    let wanted: Vec<String> = (0..5).map(|number| format!("page-{number}")).collect();
    for name in &wanted {
        let labels = json!({"part": "page"});
        let secret = object(json!({"metadata": {"name": name, "labels": labels}}));
        api.create(&PostParams::default(), &secret).await.unwrap();
    }
    let mut ask = ListParams::default().labels("part=page").limit(2);
    let mut names = Vec::new();
    loop {
        let page = api.list(&ask).await.unwrap();
        names.extend(page.iter().map(ResourceExt::name_any));
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => ask = ask.continue_token(&token),
            _ => break,
        }
    }
    assert_eq!(names, wanted);
    let metadata = api.list_metadata(&ListParams::default().labels("part=page")).await.unwrap();
    assert_eq!(metadata.items.len(), 5);
    assert_eq!(metadata.types.kind, "PartialObjectMetadataList");
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("part=page"))
        .await
        .unwrap();
}

/// A kind that the program does not know when it is compiled.
pub(super) async fn are_found_by_discovery(client: &Client) {
    let found = discovery::Discovery::new(client.clone()).run_aggregated().await.unwrap();
    let kind = GroupVersionKind::gvk("networking.k8s.io", "v1", "NetworkPolicy");
    let (resource, capabilities) = found.resolve_gvk(&kind).unwrap();
    assert_eq!(
        (resource.plural.as_str(), capabilities.scope),
        ("networkpolicies", Scope::Namespaced)
    );
    let (asked, _) = discovery::pinned_kind(client, &kind).await.unwrap();
    assert_eq!(asked, resource);

    let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
    let policy = DynamicObject::new("closed", &resource).data(json!({"spec": {"podSelector": {}}}));
    let made = api.create(&PostParams::default(), &policy).await.unwrap();
    assert_eq!(made.data["spec"]["policyTypes"], json!(["Ingress"]));
    api.delete("closed", &DeleteParams::default()).await.unwrap();
}

/// A pod that runs, its log while it is written, and its end.
pub(super) async fn run_as_pods(client: &Client) {
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    let container = json!({"name": "c", "image": "test/spin:v1", "args": ["tick", "50", "100000"]});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    let pod = object(json!({"metadata": {"name": "ticker"}, "spec": spec}));
    api.create(&PostParams::default(), &pod).await.unwrap();
    let running = await_condition(api.clone(), "ticker", is_pod_running());
    patiently("the pod runs", running).await.unwrap();

    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut lines = api.log_stream("ticker", &follow).await.unwrap().lines();
    for wanted in ["tick 0", "tick 1", "tick 2"] {
        let line = patiently("a line of the log", lines.try_next()).await.unwrap();
        assert_eq!(line.as_deref(), Some(wanted));
    }
    let how = DeleteParams::default();
    let gone = delete_and_finalize(api, "ticker", &how);
    patiently("the pod goes", gone).await.unwrap();
}
