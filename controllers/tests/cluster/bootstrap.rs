//! What nodes that join read first is signed with each bootstrap token.

use controllers::Config;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::api::Cluster;

#[tokio::test]
async fn cluster_info_is_signed_as_long_as_there_are_tokens() {
    let cluster = Cluster::start(Config::default()).await;
    let token = |id: &str, signs: &str| {
        json!({"metadata": {"name": format!("bootstrap-token-{id}")},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": {"token-id": id, "token-secret": "0123456789abcdef",
                "usage-bootstrap-signing": signs}})
    };
    for (id, signs) in [("abc123", "true"), ("silent", "false")] {
        let _: Secret = cluster.create("kube-system", token(id, signs)).await;
    }
    let info = json!({"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": "one"}});
    let _: ConfigMap = cluster.create("kube-public", info).await;
    let signature = |map: &ConfigMap| {
        let mut data = map.data.clone().unwrap_or_default();
        data.retain(|name, _| name.starts_with("jws-kubeconfig-"));
        assert!(data.keys().all(|name| name == "jws-kubeconfig-abc123"), "{data:?}");
        data.into_values().next()
    };
    let until = async |what: &str, holds: &dyn Fn(Option<String>) -> bool| {
        let map = cluster.until("kube-public", "cluster-info", what, |map| holds(signature(map)));
        signature(&map.await)
    };
    let first = until("signed", &|signed| signed.is_some()).await;
    let text = first.clone().unwrap();
    let parts: Vec<&str> = text.split('.').collect();
    assert!(parts.len() == 3 && parts[1].is_empty(), "{text}");

    // Another content, another signature; no token, none.
    let other: Value = json!({"data": {"kubeconfig": "two"}});
    let _: ConfigMap = cluster.patch("kube-public", "cluster-info", other).await;
    until("signed anew", &|signed| signed.is_some() && signed != first).await;
    let tokens = cluster.api::<Secret>("kube-system");
    tokens.delete("bootstrap-token-abc123", &DeleteParams::default()).await.unwrap();
    until("not signed", &|signed| signed.is_none()).await;
    cluster.stop().await;
}
