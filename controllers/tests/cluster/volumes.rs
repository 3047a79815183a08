//! Claims and volumes that are deleted while somebody uses them.

use controllers::{Config, LocalPath};
use k8s_openapi::api::core::v1::{
    Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
};
use k8s_openapi::api::storage::v1::{StorageClass, VolumeAttributesClass};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
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
    eventually("the claim that is left has it", || has(&claims, "left", "disk")).await;
    volumes.delete("disk", &delete).await.unwrap();
    assert!(volumes.get("disk").await.unwrap().metadata.deletion_timestamp.is_some());
    claims.delete("left", &delete).await.unwrap();
    eventually("volume", || gone(&volumes, "disk")).await;

    // A namespace is emptied of its claims.
    namespaces.delete("disks", &delete).await.unwrap();
    eventually("namespace", || gone(&namespaces, "disks")).await;
    cluster.stop().await;
}

/// Ok once the claim is bound to that volume.
async fn has(
    claims: &Api<PersistentVolumeClaim>,
    name: &str,
    volume: &str,
) -> Result<PersistentVolumeClaim, String> {
    let claim = claims.get(name).await.unwrap();
    let phase = claim.status.as_ref().and_then(|status| status.phase.clone());
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
    let bound = phase.as_deref() == Some("Bound") && named.as_deref() == Some(volume);
    if bound { Ok(claim) } else { Err(format!("{claim:?}")) }
}

async fn phase(volumes: &Api<PersistentVolume>, name: &str, phase: &str) {
    eventually(&format!("{name} is {phase}"), || async {
        let status = volumes.get(name).await.unwrap().status.unwrap_or_default();
        if status.phase.as_deref() == Some(phase) { Ok(()) } else { Err(status) }
    })
    .await;
}

fn disk(name: &str, size: &str) -> PersistentVolume {
    object(json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}}))
}

#[tokio::test]
async fn claims_and_volumes_find_each_other() {
    let cluster = Cluster::start(Config::default()).await;
    let (create, delete) = (PostParams::default(), DeleteParams::default());
    let claims: Api<PersistentVolumeClaim> = cluster.api("default");
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    for (name, size) in [("large", "9Gi"), ("small", "1Gi"), ("tiny", "1Mi")] {
        volumes.create(&create, &disk(name, size)).await.unwrap();
        phase(&volumes, name, "Available").await;
    }
    claims.create(&create, &claim("one")).await.unwrap();
    let one = eventually("the smallest that suits", || has(&claims, "one", "small")).await;
    let capacity = one.status.unwrap().capacity.unwrap();
    assert_eq!(capacity["storage"].0, "1Gi");
    phase(&volumes, "small", "Bound").await;
    claims.create(&create, &claim("two")).await.unwrap();
    eventually("the next one", || has(&claims, "two", "large")).await;

    // Its data stays with a volume that is retained, and nobody else gets it.
    claims.delete("one", &delete).await.unwrap();
    phase(&volumes, "small", "Released").await;
    claims.create(&create, &claim("one")).await.unwrap();
    eventually("no volume is left", || async {
        let status = claims.get("one").await.unwrap().status.unwrap_or_default();
        if status.phase.as_deref() == Some("Pending") { Ok(()) } else { Err(status) }
    })
    .await;
    phase(&volumes, "small", "Released").await;

    // A bound claim whose volume is taken away by force has lost it.
    volumes.delete("large", &delete).await.unwrap();
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    volumes.patch("large", &PatchParams::default(), &free).await.unwrap();
    eventually("the claim is lost", || async {
        let status = claims.get("two").await.unwrap().status.unwrap_or_default();
        if status.phase.as_deref() == Some("Lost") { Ok(()) } else { Err(status) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn the_default_class_makes_folders() {
    let folder = tempfile::tempdir().unwrap();
    let place = LocalPath { folder: folder.path().to_owned(), node: "here".to_owned() };
    let config = Config { local_path: Some(place), ..Config::default() };
    let cluster = Cluster::start(config).await;
    let (create, delete) = (PostParams::default(), DeleteParams::default());
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let node = json!({"metadata": {"name": "here", "labels": {"kubernetes.io/hostname": "h"}}});
    nodes.create(&create, &object(node)).await.unwrap();
    let classes: Api<StorageClass> = Api::all(cluster.client.clone());
    classes.create(&create, &controllers::default_storage_class()).await.unwrap();

    let claims: Api<PersistentVolumeClaim> = cluster.api("default");
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    let wanted: PersistentVolumeClaim = object(json!({"metadata": {"name": "data"}, "spec": {
        "storageClassName": "local-path", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}));
    let made = claims.create(&create, &wanted).await.unwrap();
    let volume = format!("pvc-{}", made.metadata.uid.unwrap());
    // As the scheduler does once it has a node for the first pod.
    let selected =
        json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "here"}}});
    claims.patch("data", &PatchParams::default(), &Patch::Merge(selected)).await.unwrap();
    eventually("a volume", || has(&claims, "data", &volume)).await;
    let path = folder.path().join(format!("{volume}_default_data"));
    assert!(path.is_dir(), "{}", path.display());
    std::fs::write(path.join("file"), "data").unwrap();

    let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    claims.patch("data", &PatchParams::default(), &Patch::Merge(larger)).await.unwrap();
    eventually("more room", || async {
        let claim = claims.get("data").await.unwrap();
        let capacity = claim.status.and_then(|status| status.capacity).unwrap_or_default();
        let size = volumes.get(&volume).await.unwrap().spec.unwrap().capacity.unwrap();
        let sizes = (capacity.get("storage").cloned(), size["storage"].0.clone());
        if sizes.0.as_ref().is_some_and(|s| s.0 == "2Gi") && sizes.1 == "2Gi" {
            Ok(())
        } else {
            Err(sizes)
        }
    })
    .await;

    claims.delete("data", &delete).await.unwrap();
    eventually("the volume is gone", || gone(&volumes, &volume)).await;
    assert!(!path.exists(), "the folder is gone with its volume");
    cluster.stop().await;
}

#[tokio::test]
async fn a_default_class_that_comes_late_is_for_claims_without_a_class() {
    let cluster = Cluster::start(Config::default()).await;
    let create = PostParams::default();
    let claims: Api<PersistentVolumeClaim> = cluster.api("default");
    let mut none = claim("none");
    none.spec.as_mut().unwrap().storage_class_name = Some(String::new());
    claims.create(&create, &claim("early")).await.unwrap();
    claims.create(&create, &none).await.unwrap();
    let class = |name: &str, default: &str| -> StorageClass {
        let annotations = json!({"storageclass.kubernetes.io/is-default-class": default});
        object(json!({"metadata": {"name": name, "annotations": annotations},
            "provisioner": "example.com/disks"}))
    };
    let classes: Api<StorageClass> = Api::all(cluster.client.clone());
    classes.create(&create, &class("plain", "false")).await.unwrap();
    classes.create(&create, &class("usual", "true")).await.unwrap();
    eventually("the claim has the class and its provisioner is asked", || async {
        let claim = claims.get("early").await.unwrap();
        let asked = claim.metadata.annotations.clone().unwrap_or_default();
        let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone());
        let asked = asked.get("volume.kubernetes.io/storage-provisioner").cloned();
        if (class.as_deref(), asked.as_deref()) == (Some("usual"), Some("example.com/disks")) {
            Ok(())
        } else {
            Err(claim)
        }
    })
    .await;
    let none = claims.get("none").await.unwrap();
    assert_eq!(none.spec.unwrap().storage_class_name.as_deref(), Some(""));
    cluster.stop().await;
}

#[tokio::test]
async fn a_volume_that_nobody_can_delete_has_failed() {
    let cluster = Cluster::start(Config::default()).await;
    let (create, delete) = (PostParams::default(), DeleteParams::default());
    let claims: Api<PersistentVolumeClaim> = cluster.api("default");
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    let scratch = tempfile::tempdir_in("/tmp").unwrap();
    let folder = scratch.path().join("volume");
    std::fs::create_dir(&folder).unwrap();
    let disk = |name: &str, source: Value| {
        let mut value = json!({"metadata": {"name": name}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete"}});
        for (key, of) in source.as_object().unwrap() {
            value["spec"][key] = of.clone();
        }
        object::<PersistentVolume>(value)
    };
    for (name, source) in [
        ("share", json!({"nfs": {"server": "s", "path": "/"}})),
        ("folder", json!({"hostPath": {"path": folder}})),
    ] {
        volumes.create(&create, &disk(name, source)).await.unwrap();
        claims.create(&create, &claim(name)).await.unwrap();
        eventually("bound", || has(&claims, name, name)).await;
        claims.delete(name, &delete).await.unwrap();
    }
    phase(&volumes, "share", "Failed").await;
    let message = "error getting deleter volume plugin for volume \"share\": \
                   no deletable volume plugin matched";
    let status = volumes.get("share").await.unwrap().status.unwrap();
    assert_eq!(status.message.as_deref(), Some(message));
    eventually("an event", || async {
        let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let reason = Some("VolumeFailedDelete");
        let said = events.items.into_iter().filter(|event| event.reason.as_deref() == reason);
        let said: Vec<_> = said.filter_map(|event| event.message).collect();
        if said == [message] { Ok(()) } else { Err(said) }
    })
    .await;
    eventually("the other goes with its folder", || gone(&volumes, "folder")).await;
    assert!(!folder.exists());
    cluster.stop().await;
}

#[tokio::test]
async fn an_attributes_class_in_use_outlives_its_deletion() {
    let cluster = Cluster::start(Config::default()).await;
    let (create, delete) = (PostParams::default(), DeleteParams::default());
    let claims: Api<PersistentVolumeClaim> = cluster.api("default");
    let classes: Api<VolumeAttributesClass> = Api::all(cluster.client.clone());
    for name in ["used", "free"] {
        let class = json!({"metadata": {"name": name}, "driverName": "example.com",
            "parameters": {"iops": "5"}});
        let made = classes.create(&create, &object(class)).await.unwrap();
        assert_eq!(made.metadata.finalizers.unwrap(), ["kubernetes.io/vac-protection"]);
    }
    let mut user = claim("user");
    user.spec.as_mut().unwrap().volume_attributes_class_name = Some("used".to_owned());
    claims.create(&create, &user).await.unwrap();
    eventually("the controllers have seen the claim", || async {
        // Whoever has written this has it in the cache that all of them share.
        let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let said = |event: &Event| event.reason.as_deref() == Some("FailedBinding");
        if events.items.iter().any(said) { Ok(()) } else { Err(events) }
    })
    .await;
    for name in ["used", "free"] {
        classes.delete(name, &delete).await.unwrap();
    }
    eventually("the free one goes", || gone(&classes, "free")).await;
    let kept = classes.get("used").await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_some());

    // A finalizer that somebody took is given back while the class lives.
    let class = json!({"metadata": {"name": "bare"}, "driverName": "example.com",
        "parameters": {"iops": "5"}});
    classes.create(&create, &object(class)).await.unwrap();
    let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    classes.patch("bare", &PatchParams::default(), &bare).await.unwrap();
    eventually("the finalizer is back", || async {
        let finalizers = classes.get("bare").await.unwrap().metadata.finalizers;
        finalizers.filter(|all| !all.is_empty()).ok_or("none")
    })
    .await;

    claims.delete("user", &delete).await.unwrap();
    eventually("the used one goes", || gone(&classes, "used")).await;
    cluster.stop().await;
}
