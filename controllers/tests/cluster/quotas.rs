//! ResourceQuotas follow what there is.

use controllers::Config;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ResourceQuota};
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};

async fn used(cluster: &Cluster, name: &str, wanted: Value) {
    let api = cluster.api::<ResourceQuota>("default");
    eventually(&format!("use of {name}"), || async {
        let quota = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
        let used = &quota["status"]["used"];
        if *used == wanted && quota["status"]["hard"] == quota["spec"]["hard"] {
            Ok(())
        } else {
            Err(used.clone())
        }
    })
    .await;
}

#[tokio::test]
async fn use_is_added_up_as_objects_come_and_go() {
    let cluster = Cluster::start(Config::default()).await;
    let quota = json!({"metadata": {"name": "all"}, "spec": {"hard": {"pods": "5",
        "requests.cpu": "2", "configmaps": "10", "count/jobs.batch": "3"}}});
    let _: ResourceQuota = cluster.create("default", quota).await;
    let nothing =
        json!({"pods": "0", "requests.cpu": "0", "configmaps": "0", "count/jobs.batch": "0"});
    used(&cluster, "all", nothing).await;

    let pod = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c",
            "image": "busybox", "resources": {"requests": {"cpu": "300m"}}}]}})
    };
    for name in ["a", "b"] {
        let _: Pod = cluster.create("default", pod(name)).await;
    }
    let map = json!({"metadata": {"name": "m"}});
    let _: ConfigMap = cluster.create("default", map).await;
    let some = |pods: &str, cpu: &str| json!({"pods": pods, "requests.cpu": cpu, "configmaps": "1", "count/jobs.batch": "0"});
    used(&cluster, "all", some("2", "600m")).await;

    // One is deleted, one has ended.
    let pods = cluster.api::<Pod>("default");
    pods.delete("a", &DeleteParams::default().grace_period(0)).await.unwrap();
    used(&cluster, "all", some("1", "300m")).await;
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    pods.patch_status("b", &PatchParams::default(), &ended).await.unwrap();
    used(&cluster, "all", some("0", "0")).await;

    // A new wish is a new sum.
    let quotas = cluster.api::<ResourceQuota>("default");
    let hard =
        Patch::Merge(json!({"spec": {"hard": {"requests.cpu": null, "count/jobs.batch": null,
        "pods": null}}}));
    quotas.patch("all", &PatchParams::default(), &hard).await.unwrap();
    used(&cluster, "all", json!({"configmaps": "1"})).await;

    // Limits that somebody else writes into the status do not stay.
    let other = Patch::Merge(json!({"status": {"hard": {"configmaps": "7"}}}));
    quotas.patch_status("all", &PatchParams::default(), &other).await.unwrap();
    used(&cluster, "all", json!({"configmaps": "1"})).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_held_after_its_grace_and_devices_are_counted_right() {
    let cluster = Cluster::start(Config::default()).await;
    let quota = json!({"metadata": {"name": "all"}, "spec": {"hard": {"pods": "5",
        "count/pods": "5", "gpu.deviceclass.resource.k8s.io/devices": "8"}}});
    let _: ResourceQuota = cluster.create("default", quota).await;
    let some = |pods: &str, all: &str, devices: &str| {
        json!({"pods": pods, "count/pods": all,
            "gpu.deviceclass.resource.k8s.io/devices": devices})
    };
    used(&cluster, "all", some("0", "0", "0")).await;
    let request = json!({"name": "r", "exactly": {"deviceClassName": "gpu", "count": 3}});
    let claim = json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": [request]}}});
    let _: ResourceClaim = cluster.create("default", claim).await;
    // On a node, so that it is deleted with grace; held by somebody else's finalizer.
    let pod = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "busybox"}]}});
    let _: Pod = cluster.create("default", pod).await;
    used(&cluster, "all", some("1", "1", "3")).await;
    let pods = cluster.api::<Pod>("default");
    pods.delete("held", &DeleteParams::default().grace_period(1)).await.unwrap();
    used(&cluster, "all", some("0", "1", "3")).await;
    let claims = cluster.api::<ResourceClaim>("default");
    claims.delete("c", &DeleteParams::default()).await.unwrap();
    used(&cluster, "all", some("0", "1", "0")).await;
    cluster.stop().await;
}
