//! Claims and volumes that are deleted while somebody uses them.

use controllers::Config;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn claim(name: &str) -> PersistentVolumeClaim {
    object(json!({"metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
}

/// Ok once the object is gone.
async fn gone<K>(api: &Api<K>, name: &str) -> Result<(), String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.get_opt(name).await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn what_is_in_use_outlives_its_deletion() {
    let cluster = Cluster::start(Config::default()).await;
    let client = || cluster.client.clone();
    let (create, delete) = (PostParams::default(), DeleteParams::default());
    let namespaces: Api<Namespace> = Api::all(client());
    namespaces.create(&create, &object(json!({"metadata": {"name": "disks"}}))).await.unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client(), "disks");
    let pods: Api<Pod> = Api::namespaced(client(), "disks");
    let volumes: Api<PersistentVolume> = Api::all(client());

    // A claim that a pod on a node mounts stays until the pod has ended; one that nobody uses goes.
    for name in ["used", "free", "left"] {
        claims.create(&create, &claim(name)).await.unwrap();
    }
    let pod = json!({"metadata": {"name": "user"}, "spec": {"nodeName": "node",
        "containers": [{"name": "c", "image": "none"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]}});
    pods.create(&create, &object(pod)).await.unwrap();
    for name in ["used", "free"] {
        claims.delete(name, &delete).await.unwrap();
    }
    eventually("free claim", || gone(&claims, "free")).await;
    let kept = claims.get("used").await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_some(), "{kept:?}");
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    pods.patch_status("user", &PatchParams::default(), &ended).await.unwrap();
    eventually("used claim", || gone(&claims, "used")).await;

    // A bound volume stays, one that no claim has any more goes.
    let volume = json!({"metadata": {"name": "disk"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}});
    volumes.create(&create, &object(volume)).await.unwrap();
    let phase = async |phase: &str| {
        let patch = Patch::Merge(json!({"status": {"phase": phase}}));
        volumes.patch_status("disk", &PatchParams::default(), &patch).await.unwrap();
    };
    phase("Bound").await;
    volumes.delete("disk", &delete).await.unwrap();
    assert!(volumes.get("disk").await.unwrap().metadata.deletion_timestamp.is_some());
    phase("Released").await;
    eventually("volume", || gone(&volumes, "disk")).await;

    // A namespace is emptied of its claims.
    namespaces.delete("disks", &delete).await.unwrap();
    eventually("namespace", || gone(&namespaces, "disks")).await;
    cluster.stop().await;
}
