//! Deployments: rollouts, rollbacks, pauses, what goes wrong.

use controllers::Config;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PropagationPolicy};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::api::{Cluster, eventually};
use crate::kubelet::{self, BROKEN, Notes, image, serves};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Four replicas; one may be missing and one too many.
fn deployment(image: &str) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": 4,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
        "template": template(image)}})
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn changed(image: &str) -> Value {
    json!({"spec": {"template": template(image)}})
}

fn progress(deployment: &Deployment) -> String {
    let conditions = deployment.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let found = conditions.into_iter().find(|condition| condition.type_ == "Progressing");
    found.and_then(|condition| condition.reason.clone()).unwrap_or_default()
}

/// What `kubectl rollout status` waits for.
fn is_done(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let replicas = deployment.spec.as_ref().unwrap().replicas;
    status.observed_generation == deployment.metadata.generation
        && status.updated_replicas.or(Some(0)) == replicas
        && status.replicas.or(Some(0)) == replicas
        && status.available_replicas.or(Some(0)) == replicas
}

async fn done(cluster: &Cluster, revision: &str) -> Deployment {
    cluster
        .until(
            "default",
            "web",
            &format!("revision {revision} is rolled out"),
            |found: &Deployment| {
                let noted = found.annotations().get(REVISION).map(String::as_str);
                is_done(found)
                    && noted == Some(revision)
                    && progress(found) == "NewReplicaSetAvailable"
            },
        )
        .await
}

async fn sets(cluster: &Cluster) -> Vec<ReplicaSet> {
    cluster.api("default").list(&ListParams::default()).await.unwrap().items
}

async fn pods(cluster: &Cluster) -> Vec<Pod> {
    cluster.api("default").list(&ListParams::default()).await.unwrap().items
}

/// Notes every moment at which too many or too few pods are there, once `least` have been.
fn guard(cluster: &Cluster, most: usize, least: usize) -> Notes {
    let (notes, told) = (Notes::default(), Notes::default());
    let noted = notes.clone();
    kubelet::run(cluster, move |pods| {
        let there = pods.values().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count();
        let serving = pods.values().filter(|pod| serves(pod)).count();
        if serving >= least && told.all().is_empty() {
            told.add("complete".to_owned());
        }
        if there > most || (serving < least && !told.all().is_empty()) {
            noted.add(format!("{there} pods, {serving} serve"));
        }
    });
    notes
}

#[tokio::test]
async fn a_rollout_and_its_way_back_lose_no_service() {
    let cluster = Cluster::start(Config::default()).await;
    let notes = guard(&cluster, 5, 3);
    let created: Deployment = cluster.create("default", deployment("one")).await;
    done(&cluster, "1").await;
    let first = sets(&cluster).await.remove(0);
    let hash = first.labels()["pod-template-hash"].clone();
    assert_eq!(first.name_any(), format!("web-{hash}"));
    assert_eq!(first.owner_references()[0].uid, created.uid().unwrap());
    for pod in pods(&cluster).await {
        assert_eq!(pod.labels()["pod-template-hash"], hash);
        assert!(pod.name_any().starts_with(&format!("web-{hash}-")), "{}", pod.name_any());
    }

    let cause = json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "two"}}});
    let _: Deployment = cluster.patch("default", "web", cause).await;
    let _: Deployment = cluster.patch("default", "web", changed("two")).await;
    done(&cluster, "2").await;
    assert!(pods(&cluster).await.iter().all(|pod| image(pod) == "two"));
    let all = sets(&cluster).await;
    assert_eq!(all.len(), 2);
    let second = all.iter().find(|set| set.name_any() != first.name_any()).unwrap();
    assert_eq!(second.annotations()["kubernetes.io/change-cause"], "two");
    assert_eq!(second.annotations()[REVISION], "2");

    // `kubectl rollout undo` puts the template of the first ReplicaSet back.
    let _: Deployment = cluster.patch("default", "web", changed("one")).await;
    done(&cluster, "3").await;
    let all = sets(&cluster).await;
    assert_eq!(all.len(), 2, "the first one grows again");
    let again = all.iter().find(|set| set.name_any() == first.name_any()).unwrap();
    assert_eq!(again.annotations()[REVISION], "3");
    assert_eq!(again.annotations()["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(notes.all(), [] as [&str; 0]);

    let (one, name) = (first.name_any(), "ScalingReplicaSet");
    eventually("events", || async {
        let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let scalings = events.items.iter().filter(|event| event.reason.as_deref() == Some(name));
        let told: Vec<String> = scalings.filter_map(|event| event.message.clone()).collect();
        let expected = format!("Scaled up replica set {one} from 0 to 4");
        if told.contains(&expected) { Ok(()) } else { Err(told) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn recreate_never_mixes_templates() {
    let cluster = Cluster::start(Config::default()).await;
    let notes = Notes::default();
    let noted = notes.clone();
    kubelet::run(&cluster, move |pods| {
        let images: std::collections::BTreeSet<&str> = pods.values().map(image).collect();
        if images.len() > 1 {
            noted.add(format!("{images:?}"));
        }
    });
    let mut recreate = deployment("one");
    recreate["spec"]["strategy"] = json!({"type": "Recreate"});
    let _: Deployment = cluster.create("default", recreate).await;
    done(&cluster, "1").await;
    let _: Deployment = cluster.patch("default", "web", changed("two")).await;
    done(&cluster, "2").await;
    assert_eq!(notes.all(), [] as [&str; 0]);
    cluster.stop().await;
}

#[tokio::test]
async fn what_does_not_start_times_out_and_is_undone() {
    let cluster = Cluster::start(Config::default()).await;
    let notes = guard(&cluster, 5, 3);
    let mut hasty = deployment("one");
    hasty["spec"]["progressDeadlineSeconds"] = json!(1);
    let _: Deployment = cluster.create("default", hasty).await;
    cluster.until("default", "web", "all there", is_done).await;
    let _: Deployment = cluster.patch("default", "web", changed(BROKEN)).await;
    let stuck = |found: &Deployment| {
        progress(found) == "ProgressDeadlineExceeded"
            && found.status.as_ref().and_then(|status| status.available_replicas) == Some(3)
    };
    cluster.until("default", "web", "it times out", stuck).await;
    let _: Deployment = cluster.patch("default", "web", changed("one")).await;
    done(&cluster, "3").await;
    assert_eq!(notes.all(), [] as [&str; 0]);
    cluster.stop().await;
}

#[tokio::test]
async fn paused_ones_scale_but_do_not_roll() {
    let cluster = Cluster::start(Config::default()).await;
    kubelet::run(&cluster, |_| {});
    let _: Deployment = cluster.create("default", deployment("one")).await;
    done(&cluster, "1").await;
    let _: Deployment = cluster.patch("default", "web", json!({"spec": {"paused": true}})).await;
    let _: Deployment = cluster.patch("default", "web", changed("two")).await;
    let _: Deployment = cluster.patch("default", "web", json!({"spec": {"replicas": 6}})).await;
    let scaled = |found: &Deployment| {
        progress(found) == "DeploymentPaused"
            && found.status.as_ref().and_then(|status| status.available_replicas) == Some(6)
    };
    cluster.until("default", "web", "six of the old", scaled).await;
    assert_eq!(sets(&cluster).await.len(), 1);
    assert!(pods(&cluster).await.iter().all(|pod| image(pod) == "one"));
    let _: Deployment = cluster.patch("default", "web", json!({"spec": {"paused": false}})).await;
    done(&cluster, "2").await;
    assert!(pods(&cluster).await.iter().all(|pod| image(pod) == "two"));

    // Scaled to none and back; old ReplicaSets go beyond the limit.
    let _: Deployment = cluster.patch("default", "web", json!({"spec": {"replicas": 0}})).await;
    done(&cluster, "2").await;
    assert!(pods(&cluster).await.is_empty());
    let spec = json!({"spec": {"replicas": 2, "revisionHistoryLimit": 0}});
    let _: Deployment = cluster.patch("default", "web", spec).await;
    done(&cluster, "2").await;
    eventually("the old one goes", || async {
        let left = sets(&cluster).await.len();
        if left == 1 { Ok(()) } else { Err(left) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn names_that_are_taken_and_sets_left_behind() {
    let cluster = Cluster::start(Config::default()).await;
    kubelet::run(&cluster, |_| {});
    let _: Deployment = cluster.create("default", deployment("one")).await;
    done(&cluster, "1").await;
    let before = pods(&cluster).await;

    // Without its owner the ReplicaSet keeps its pods; an owner made again takes it over.
    let api = cluster.api::<Deployment>("default");
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    api.delete("web", &orphan).await.unwrap();
    eventually("the owner goes", || async {
        match api.get_opt("web").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let again: Deployment = cluster.create("default", deployment("one")).await;
    done(&cluster, "1").await;
    let adopted = sets(&cluster).await.remove(0);
    assert_eq!(adopted.owner_references()[0].uid, again.uid().unwrap());
    let uids = |pods: &[Pod]| {
        let mut uids: Vec<_> = pods.iter().map(ResourceExt::uid).collect();
        uids.sort();
        uids
    };
    assert_eq!(uids(&pods(&cluster).await), uids(&before));

    // The name that the template's hash gives is somebody else's by now.
    api.delete("web", &DeleteParams::background()).await.unwrap();
    eventually("everything goes", || async {
        let left = (sets(&cluster).await.len(), pods(&cluster).await.len());
        if left == (0, 0) { Ok(()) } else { Err(left) }
    })
    .await;
    let other = json!({"metadata": {"labels": {"app": "other"}},
        "spec": {"containers": [{"name": "c", "image": "other"}]}});
    let _: ReplicaSet = cluster
        .create(
            "default",
            json!({"metadata": {"name": adopted.name_any()}, "spec": {"replicas": 0,
                "selector": {"matchLabels": {"app": "other"}}, "template": other}}),
        )
        .await;
    let _: Deployment = cluster.create("default", deployment("one")).await;
    let found = done(&cluster, "1").await;
    assert_eq!(found.status.unwrap().collision_count, Some(1));
    assert_eq!(sets(&cluster).await.len(), 2);
    cluster.stop().await;
}

#[tokio::test]
async fn restarts_in_the_middle_of_a_rollout_change_nothing() {
    let cluster = Cluster::without_controllers().await;
    let notes = guard(&cluster, 5, 3);
    let _: Deployment = cluster.create("default", deployment("one")).await;
    let stop = CancellationToken::new();
    let running = cluster.controllers(Config::default(), &stop);
    done(&cluster, "1").await;
    stop.cancel();
    running.await.unwrap();
    let _: Deployment = cluster.patch("default", "web", changed("two")).await;
    for new in [1, 2, 3] {
        let stop = CancellationToken::new();
        let running = cluster.controllers(Config::default(), &stop);
        eventually("some of the new", || async {
            let count = pods(&cluster).await.iter().filter(|pod| image(pod) == "two").count();
            if count >= new { Ok(()) } else { Err(count) }
        })
        .await;
        stop.cancel();
        running.await.unwrap();
    }
    let stop = CancellationToken::new();
    drop(cluster.controllers(Config::default(), &stop));
    done(&cluster, "2").await;
    assert_eq!(sets(&cluster).await.len(), 2);
    assert_eq!(notes.all(), [] as [&str; 0]);
    stop.cancel();
    cluster.stop().await;
}
