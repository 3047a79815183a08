//! Owners and dependents.

use controllers::Config;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod, ReplicationController};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::api::{Cluster, eventually};
use crate::replication::{controller, pods, settled};

async fn gone(cluster: &Cluster, app: &str) {
    eventually("the pods go", || async {
        let left = pods(cluster, app).await;
        if left.is_empty() { Ok(()) } else { Err(left.len()) }
    })
    .await;
    eventually("the controller goes", || async {
        let api = cluster.api::<ReplicationController>("default");
        match api.get_opt(app).await.unwrap() {
            None => Ok(()),
            Some(left) => Err(left.metadata),
        }
    })
    .await;
}

#[tokio::test]
async fn dependents_go_with_their_owner() {
    let cluster = Cluster::start(Config::default()).await;
    let api = cluster.api::<ReplicationController>("default");
    for (name, how) in
        [("background", DeleteParams::background()), ("foreground", DeleteParams::foreground())]
    {
        let _: ReplicationController = cluster.create("default", controller(name, 3)).await;
        settled(&cluster, name, 3).await;
        api.delete(name, &how).await.unwrap();
        gone(&cluster, name).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn foreground_waits_for_dependents_that_take_their_time() {
    let cluster = Cluster::start(Config::default()).await;
    let _: ReplicationController = cluster.create("default", controller("web", 1)).await;
    let pod = settled(&cluster, "web", 1).await.remove(0).name_any();
    let pods_api = cluster.api::<Pod>("default");
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    pods_api.patch(&pod, &PatchParams::default(), &Patch::Merge(hold)).await.unwrap();
    let api = cluster.api::<ReplicationController>("default");
    api.delete("web", &DeleteParams::foreground()).await.unwrap();
    eventually("the pod is being deleted", || async {
        let deletion = pods_api.get(&pod).await.unwrap().metadata.deletion_timestamp;
        deletion.ok_or("not yet")
    })
    .await;
    let waiting = api.get("web").await.expect("the owner waits");
    assert!(waiting.finalizers().contains(&"foregroundDeletion".to_owned()));
    let release = json!({"metadata": {"finalizers": null}});
    pods_api.patch(&pod, &PatchParams::default(), &Patch::Merge(release)).await.unwrap();
    gone(&cluster, "web").await;
    cluster.stop().await;
}

#[tokio::test]
async fn orphans_stay() {
    let cluster = Cluster::start(Config::default()).await;
    let _: ReplicationController = cluster.create("default", controller("web", 2)).await;
    settled(&cluster, "web", 2).await;
    let api = cluster.api::<ReplicationController>("default");
    api.delete("web", &DeleteParams::orphan()).await.unwrap();
    eventually("the controller goes", || async {
        match api.get_opt("web").await.unwrap() {
            None => Ok(()),
            Some(left) => Err(left.metadata),
        }
    })
    .await;
    let left = pods(&cluster, "web").await;
    assert_eq!(left.len(), 2);
    for pod in left {
        assert!(pod.owner_references().is_empty() && pod.metadata.deletion_timestamp.is_none());
    }
    cluster.stop().await;
}

#[tokio::test]
async fn an_object_of_an_owner_that_never_was_goes_and_one_with_two_owners_stays() {
    let cluster = Cluster::start(Config::default()).await;
    let owner: ConfigMap = cluster.create("default", json!({"metadata": {"name": "owner"}})).await;
    let nobody = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody",
        "uid": "00000000-0000-0000-0000-000000000000"});
    let somebody = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
        "uid": owner.uid()});
    let _: ConfigMap = cluster
        .create("default", json!({"metadata": {"name": "lost", "ownerReferences": [nobody]}}))
        .await;
    let _: ConfigMap = cluster
        .create(
            "default",
            json!({"metadata": {"name": "held",
            "ownerReferences": [nobody, somebody]}}),
        )
        .await;
    let api = cluster.api::<ConfigMap>("default");
    eventually("lost goes", || async {
        match api.get_opt("lost").await.unwrap() {
            None => Ok(()),
            Some(left) => Err(left.metadata),
        }
    })
    .await;
    eventually("held forgets the one that is not there", || async {
        let owners = api.get("held").await.unwrap().owner_references().to_vec();
        if owners.len() == 1 && owners[0].name == "owner" { Ok(()) } else { Err(owners) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_reference_that_names_its_owner_wrongly_holds_nobody() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.namespace("there").await;
    let there: ConfigMap = cluster.create("there", json!({"metadata": {"name": "cross"}})).await;
    let here: ConfigMap = cluster.create("default", json!({"metadata": {"name": "here"}})).await;
    let reference = |kind: &str, name: &str, owner: &ConfigMap| {
        json!({"apiVersion": "v1",
        "kind": kind, "name": name, "uid": owner.uid()})
    };
    for (name, owner) in [
        ("namespace", reference("ConfigMap", "cross", &there)),
        ("name", reference("ConfigMap", "there", &here)),
        ("kind", reference("Secret", "here", &here)),
        ("right", reference("ConfigMap", "here", &here)),
    ] {
        let object = json!({"metadata": {"name": name, "ownerReferences": [owner]}});
        let _: ConfigMap = cluster.create("default", object).await;
    }
    let api = cluster.api::<ConfigMap>("default");
    for name in ["namespace", "name", "kind"] {
        eventually("it goes", || async {
            match api.get_opt(name).await.unwrap() {
                None => Ok(()),
                Some(left) => Err(left.metadata),
            }
        })
        .await;
    }
    assert!(api.get_opt("right").await.unwrap().is_some());

    // An object of the cluster stays, and its owner is told of.
    let nodes: kube::Api<Node> = kube::Api::all(cluster.client.clone());
    let node = json!({"metadata": {"name": "n1",
        "ownerReferences": [reference("ConfigMap", "here", &here)]}});
    nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let uid = |owner: &ConfigMap| owner.uid().unwrap();
    for (object, namespace, message) in [
        (
            "namespace",
            "default",
            format!(
                "ownerRef [v1/ConfigMap, namespace: default, name: cross, uid: {}] does not exist \
                 in namespace \"default\"",
                uid(&there)
            ),
        ),
        (
            "n1",
            "",
            format!(
                "ownerRef [v1/ConfigMap, namespace: , name: here, uid: {}] does not exist in \
                 namespace \"\"",
                uid(&here)
            ),
        ),
    ] {
        eventually("the event", || async {
            let events = cluster.api::<Event>("default").list(&ListParams::default()).await;
            let events = events.unwrap().items;
            let found = events.iter().find(|event| {
                event.reason.as_deref() == Some("OwnerRefInvalidNamespace")
                    && event.involved_object.name.as_deref() == Some(object)
            });
            let Some(event) = found else { return Err(events) };
            assert_eq!(event.message.as_deref(), Some(message.as_str()));
            assert_eq!(event.type_.as_deref(), Some("Warning"));
            assert_eq!(event.involved_object.namespace.as_deref().unwrap_or_default(), namespace);
            Ok(())
        })
        .await;
    }
    assert!(nodes.get_opt("n1").await.unwrap().is_some());
    cluster.stop().await;
}
