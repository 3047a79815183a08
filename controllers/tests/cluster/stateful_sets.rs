//! StatefulSets: order, names, claims, updates.

use std::collections::BTreeMap;

use controllers::Config;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};
use crate::kubelet::{self, BROKEN, Notes, image, serves};

fn set(replicas: i32, spec: Value) -> Value {
    let mut set = json!({"metadata": {"name": "db"}, "spec": {"replicas": replicas,
        "serviceName": "peers", "selector": {"matchLabels": {"app": "db"}},
        "template": template("one")}});
    for (field, given) in spec.as_object().unwrap() {
        set["spec"][field] = given.clone();
    }
    set
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn changed(image: &str) -> Value {
    json!({"spec": {"template": template(image)}})
}

/// Starts pods, and notes each that comes (`+db-0 one`), is ready (`*db-0`) or goes (`-db-0`).
fn watch(cluster: &Cluster) -> Notes {
    let (notes, known) = (Notes::default(), Mutex::new(BTreeMap::<String, bool>::new()));
    let noted = notes.clone();
    kubelet::run(cluster, move |pods| {
        let mut known = known.lock();
        for (uid, pod) in pods.values().map(|pod| (pod.uid().unwrap(), pod)) {
            let name = pod.name_any();
            let key = format!("{name} {uid}");
            match known.insert(key, serves(pod)) {
                None => noted.add(format!("+{name} {}", image(pod))),
                Some(false) if serves(pod) => noted.add(format!("*{name}")),
                Some(_) => {}
            }
        }
        known.retain(|key, _| {
            let (name, uid) = key.split_once(' ').unwrap();
            let there = pods.get(name).is_some_and(|pod| pod.uid().as_deref() == Some(uid));
            if !there {
                noted.add(format!("-{name}"));
            }
            there
        });
    });
    notes
}

/// Waits until as many pods are ready as asked for, and all of them of the present template.
async fn done(cluster: &Cluster) -> StatefulSet {
    cluster
        .until("default", "db", "the set is as asked for", |found: &StatefulSet| {
            let status = found.status.clone().unwrap_or_default();
            let replicas = found.spec.as_ref().unwrap().replicas;
            status.observed_generation == found.metadata.generation
                && Some(status.replicas) == replicas
                && status.available_replicas == replicas
                && status.updated_replicas.or(Some(0)) == replicas
                && status.current_revision == status.update_revision
        })
        .await
}

async fn pods(cluster: &Cluster) -> Vec<Pod> {
    cluster.api("default").list(&ListParams::default()).await.unwrap().items
}

async fn claims(cluster: &Cluster) -> Vec<String> {
    let found = cluster.api::<PersistentVolumeClaim>("default").list(&ListParams::default()).await;
    found.unwrap().items.iter().map(ResourceExt::name_any).collect()
}

async fn revisions(cluster: &Cluster) -> Vec<i64> {
    let found = cluster.api::<ControllerRevision>("default").list(&ListParams::default()).await;
    let mut numbers: Vec<i64> = found.unwrap().items.iter().map(|r| r.revision).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn pods_come_change_and_go_in_order() {
    let cluster = Cluster::start(Config::default()).await;
    let notes = watch(&cluster);
    let _: StatefulSet = cluster.create("default", set(3, json!({}))).await;
    let first = done(&cluster).await;
    let up = ["+db-0 one", "*db-0", "+db-1 one", "*db-1", "+db-2 one", "*db-2"];
    eventually("up in order", || async {
        let all = notes.all();
        if all == up { Ok(()) } else { Err(all) }
    })
    .await;
    let pod = pods(&cluster).await.remove(0);
    assert_eq!(pod.labels()["statefulset.kubernetes.io/pod-name"], "db-0");
    assert_eq!(pod.labels()["apps.kubernetes.io/pod-index"], "0");
    let revision = first.status.unwrap().update_revision.unwrap();
    assert_eq!(pod.labels()["controller-revision-hash"], revision);
    let spec = pod.spec.unwrap();
    assert_eq!(
        (spec.hostname.as_deref(), spec.subdomain.as_deref()),
        (Some("db-0"), Some("peers"))
    );

    // An update goes down the ordinals, one at a time.
    let _: StatefulSet = cluster.patch("default", "db", changed("two")).await;
    done(&cluster).await;
    let update = [
        "-db-2",
        "+db-2 two",
        "*db-2",
        "-db-1",
        "+db-1 two",
        "*db-1",
        "-db-0",
        "+db-0 two",
        "*db-0",
    ];
    eventually("updated in order", || async {
        let all = notes.all();
        if all[up.len()..] == update { Ok(()) } else { Err(all) }
    })
    .await;

    // The way back renumbers the first revision.
    let _: StatefulSet = cluster.patch("default", "db", changed("one")).await;
    let back = done(&cluster).await;
    assert_eq!(back.status.unwrap().update_revision, Some(revision));
    assert_eq!(revisions(&cluster).await, [2, 3]);

    let _: StatefulSet = cluster.patch("default", "db", json!({"spec": {"replicas": 1}})).await;
    done(&cluster).await;
    eventually("down in order", || async {
        let all = notes.all();
        if all.ends_with(&["-db-2".to_owned(), "-db-1".to_owned()]) { Ok(()) } else { Err(all) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn parallel_ones_do_not_wait_and_partitions_hold() {
    let cluster = Cluster::start(Config::default()).await;
    kubelet::run(&cluster, |_| {});
    let mut broken = set(
        3,
        json!({"podManagementPolicy": "Parallel", "ordinals": {"start": 4},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}),
    );
    broken["spec"]["template"] = template(BROKEN);
    let _: StatefulSet = cluster.create("default", broken).await;
    eventually("all three without one of them starting", || async {
        let mut names: Vec<String> = pods(&cluster).await.iter().map(|p| p.name_any()).collect();
        names.sort_unstable();
        if names == ["db-4", "db-5", "db-6"] { Ok(()) } else { Err(names) }
    })
    .await;

    // What does not work is replaced, but below the partition nothing is.
    let _: StatefulSet = cluster.patch("default", "db", changed("two")).await;
    let images = |expected: [&'static str; 3]| {
        let cluster = &cluster;
        async move {
            eventually(&format!("{expected:?}"), || async {
                let mut pods = pods(cluster).await;
                pods.sort_by_key(ResourceExt::name_any);
                let found: Vec<&str> = pods.iter().map(image).collect();
                if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
            })
            .await;
        }
    };
    images([BROKEN, "two", "two"]).await;
    let status = cluster
        .until("default", "db", "two of three", |found: &StatefulSet| {
            found.status.as_ref().is_some_and(|s| s.updated_replicas == Some(2))
        })
        .await
        .status
        .unwrap();
    assert_ne!(status.current_revision, status.update_revision);
    let all = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
    let _: StatefulSet = cluster.patch("default", "db", all).await;
    images(["two", "two", "two"]).await;
    done(&cluster).await;

    // Only what is deleted is replaced.
    let lazy = json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}});
    let _: StatefulSet = cluster.patch("default", "db", lazy).await;
    let _: StatefulSet = cluster.patch("default", "db", changed("three")).await;
    let api = cluster.api::<Pod>("default");
    api.delete("db-5", &DeleteParams::default()).await.unwrap();
    images(["two", "three", "two"]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn claims_follow_the_retention_policy() {
    let cluster = Cluster::start(Config::default()).await;
    kubelet::run(&cluster, |_| {});
    let claim = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}]);
    let policy = json!({"whenScaled": "Delete", "whenDeleted": "Retain"});
    let spec = json!({"volumeClaimTemplates": claim,
        "persistentVolumeClaimRetentionPolicy": policy});
    let _: StatefulSet = cluster.create("default", set(2, spec)).await;
    done(&cluster).await;
    assert_eq!(claims(&cluster).await, ["data-db-0", "data-db-1"]);
    let pod = cluster.api::<Pod>("default").get("db-1").await.unwrap();
    let volumes = pod.spec.unwrap().volumes.unwrap();
    let volume = volumes.iter().find(|volume| volume.name == "data").unwrap();
    assert_eq!(volume.persistent_volume_claim.as_ref().unwrap().claim_name, "data-db-1");

    let _: StatefulSet = cluster.patch("default", "db", json!({"spec": {"replicas": 1}})).await;
    let left = |expected: Vec<&'static str>| {
        let cluster = &cluster;
        async move {
            eventually(&format!("claims {expected:?}"), || async {
                let found = claims(cluster).await;
                if found == expected { Ok(()) } else { Err(found) }
            })
            .await;
        }
    };
    left(vec!["data-db-0"]).await;

    // A claim made anew for the same name is not the one that goes.
    let _: StatefulSet = cluster.patch("default", "db", json!({"spec": {"replicas": 2}})).await;
    done(&cluster).await;
    left(vec!["data-db-0", "data-db-1"]).await;
    let keep = json!({"whenScaled": "Retain", "whenDeleted": "Delete"});
    let keep = json!({"spec": {"persistentVolumeClaimRetentionPolicy": keep, "replicas": 1}});
    let _: StatefulSet = cluster.patch("default", "db", keep).await;
    done(&cluster).await;
    cluster
        .until("default", "data-db-0", "the set owns the claim", |claim: &PersistentVolumeClaim| {
            claim.owner_references().iter().any(|owner| owner.kind == "StatefulSet")
        })
        .await;
    let api = cluster.api::<StatefulSet>("default");
    api.delete("db", &DeleteParams::background()).await.unwrap();
    left(vec![]).await;
    cluster.stop().await;
}
