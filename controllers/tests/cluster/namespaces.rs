//! What every namespace has, and how it goes.

use controllers::Config;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::api::{Cluster, eventually};

#[tokio::test]
async fn namespaces_get_their_account_and_certificate() {
    let config = Config { root_ca: Some("the certificate".to_owned()), ..Config::default() };
    let cluster = Cluster::start(config).await;
    cluster.namespace("fresh").await;
    for namespace in ["default", "kube-system", "fresh"] {
        eventually("account", || cluster_get::<ServiceAccount>(&cluster, namespace, "default"))
            .await;
        let map =
            eventually("map", || cluster_get::<ConfigMap>(&cluster, namespace, "kube-root-ca.crt"))
                .await;
        assert_eq!(map.data.unwrap()["ca.crt"], "the certificate");
    }
    // Changed or deleted, they come back.
    let maps = cluster.api::<ConfigMap>("fresh");
    let patch = Patch::Merge(json!({"data": {"ca.crt": "another"}}));
    maps.patch("kube-root-ca.crt", &PatchParams::default(), &patch).await.unwrap();
    eventually("map restored", || async {
        let data = maps.get("kube-root-ca.crt").await.unwrap().data.unwrap();
        if data["ca.crt"] == "the certificate" { Ok(()) } else { Err(data) }
    })
    .await;
    let accounts = cluster.api::<ServiceAccount>("fresh");
    accounts.delete("default", &DeleteParams::default()).await.unwrap();
    eventually("account restored", || cluster_get::<ServiceAccount>(&cluster, "fresh", "default"))
        .await;
    cluster.stop().await;
}

async fn cluster_get<K>(cluster: &Cluster, namespace: &str, name: &str) -> kube::Result<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    cluster.api::<K>(namespace).get(name).await
}

#[tokio::test]
async fn a_deleted_namespace_is_emptied_and_goes() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.namespace("doomed").await;
    let _: ConfigMap = cluster.create("doomed", json!({"metadata": {"name": "a"}})).await;
    let _: Secret = cluster.create("doomed", json!({"metadata": {"name": "b"}})).await;
    let _: Service = cluster
        .create("doomed", json!({"metadata": {"name": "c"}, "spec": {"ports": [{"port": 1}]}}))
        .await;
    let _: Pod = cluster
        .create(
            "doomed",
            json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}}),
        )
        .await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("doomed", &DeleteParams::default()).await.unwrap();

    // Held up by the pod's finalizer, and it says so; what is not pods waits for the pods.
    eventually("the condition", || async {
        let status = namespaces.get("doomed").await.unwrap().status.unwrap_or_default();
        let said = status.conditions.clone().unwrap_or_default().into_iter().any(|c| {
            c.type_ == "NamespaceFinalizersRemaining"
                && c.status == "True"
                && c.message.as_deref()
                    == Some(
                        "Some content in the namespace has finalizers remaining: \
                         example.com/hold in 1 resource instances",
                    )
        });
        if said && status.phase.as_deref() == Some("Terminating") { Ok(()) } else { Err(status) }
    })
    .await;
    assert!(cluster.api::<Secret>("doomed").get_opt("b").await.unwrap().is_some());

    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let pods = cluster.api::<Pod>("doomed");
    pods.patch("held", &PatchParams::default(), &release).await.unwrap();
    eventually("the namespace goes", || async {
        match namespaces.get_opt("doomed").await.unwrap() {
            None => Ok(()),
            Some(left) => Err(left),
        }
    })
    .await;
    assert!(cluster.api::<ConfigMap>("doomed").get_opt("a").await.unwrap().is_none());
    // And can come again, empty.
    cluster.namespace("doomed").await;
    assert!(cluster.api::<Secret>("doomed").get_opt("b").await.unwrap().is_none());
    cluster.stop().await;
}
