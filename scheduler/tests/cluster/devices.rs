//! Devices: claims that are made from a template by the controllers and allocated by the scheduler.

use std::time::Duration;

use apiserver::User;
use k8s_openapi::api::resource::v1::{
    DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice,
};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Cluster, eventually};

const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

struct Devices {
    cluster: Cluster,
    claims: Api<ResourceClaim>,
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
{
    let object: K = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

impl Devices {
    /// A node with two devices of the class `fast`, and one that is slow.
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let client = cluster.pods.clone().into_client();
        let manager = User::new("system:kube-controller-manager", Vec::new());
        let manager = Client::new(cluster.server.local(manager), "default");
        // Nobody sends heartbeats for the node.
        let node_grace = Duration::from_secs(3600);
        let config = controllers::Config { node_grace, ..controllers::Config::default() };
        let stop = cluster.shutdown.clone();
        cluster
            .tracker
            .spawn(async move { controllers::run(config, manager, stop).await.unwrap() });

        cluster.node("only", "4Gi").await;
        let expression = "device.driver == 'gpu.io' && \
                          device.attributes['gpu.io'].clock >= 1000 && \
                          device.capacity['gpu.io'].memory.isGreaterThan(quantity('8Gi'))";
        create::<DeviceClass>(
            &Api::all(client.clone()),
            json!({"metadata": {"name": "fast"},
                "spec": {"selectors": [{"cel": {"expression": expression}}]}}),
        )
        .await;
        let device = |name: &str, clock: i64| {
            json!({"name": name, "attributes": {"clock": {"int": clock}},
                "capacity": {"memory": {"value": "16Gi"}}})
        };
        create::<ResourceSlice>(
            &Api::all(client.clone()),
            json!({"metadata": {"name": "only-gpu.io"}, "spec": {
                "driver": "gpu.io", "nodeName": "only",
                "pool": {"name": "only", "generation": 1, "resourceSliceCount": 1},
                "devices": [device("slow", 500), device("one", 1000), device("two", 2000)]}}),
        )
        .await;
        create::<ResourceClaimTemplate>(
            &Api::default_namespaced(client.clone()),
            json!({"metadata": {"name": "t"}, "spec": {"spec": fast()}}),
        )
        .await;
        Self { cluster, claims: Api::default_namespaced(client) }
    }

    async fn pod(&self, name: &str, entry: Value) {
        let mut claim = json!({"name": "gpu"});
        for (key, value) in entry.as_object().unwrap() {
            claim[key] = value.clone();
        }
        self.cluster.pod(name, "1Mi", json!({"resourceClaims": [claim]})).await;
    }

    /// The claim that a pod uses.
    async fn claim_of(&self, pod: &str) -> ResourceClaim {
        let uid = self.cluster.pods.get(pod).await.unwrap().uid();
        let claims = self.claims.list(&ListParams::default()).await.unwrap().items;
        let used = |claim: &ResourceClaim| {
            let status = claim.status.iter();
            let mut users = status.flat_map(|status| status.reserved_for.iter().flatten());
            users.any(|user| Some(&user.uid) == uid.as_ref())
        };
        let found = claims.iter().find(|claim| used(claim));
        found.cloned().unwrap_or_else(|| panic!("{pod} uses none of {claims:#?}"))
    }

    /// Says why a pod waits.
    async fn told(&self, pod: &str, message: &str) {
        eventually(&format!("{pod} waits"), || async {
            let status = self.cluster.pods.get(pod).await.unwrap().status;
            let mut conditions = status.iter().flat_map(|s| s.conditions.iter().flatten());
            let said = conditions.any(|c| c.message.as_deref() == Some(message));
            if said { Ok(()) } else { Err(status) }
        })
        .await;
    }
}

fn fast() -> Value {
    json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "fast"}}]}})
}

fn device(claim: &ResourceClaim) -> String {
    let allocation = claim.status.as_ref().and_then(|status| status.allocation.as_ref()).unwrap();
    let results = allocation.devices.as_ref().unwrap().results.as_ref().unwrap();
    assert_eq!(results.len(), 1, "{results:?}");
    results[0].device.clone()
}

#[tokio::test]
async fn each_device_goes_to_one_pod_at_a_time() {
    let devices = Devices::start().await;
    let from_template = || json!({"resourceClaimTemplateName": "t"});
    for name in ["first", "second"] {
        devices.pod(name, from_template()).await;
    }
    for name in ["first", "second"] {
        assert_eq!(devices.cluster.bound(name).await, "only");
    }
    let mut used: Vec<String> = Vec::new();
    for name in ["first", "second"] {
        let claim = devices.claim_of(name).await;
        assert_eq!(claim.finalizers(), [FINALIZER]);
        used.push(device(&claim));
    }
    used.sort();
    assert_eq!(used, ["one", "two"]);

    devices.pod("third", from_template()).await;
    let why = "0/1 nodes are available: 1 cannot allocate all claims. still not schedulable, \
               preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    devices.told("third", why).await;
    // Pods without claims go on.
    devices.cluster.pod("plain", "1Mi", json!({})).await;
    devices.cluster.bound("plain").await;

    let freed = device(&devices.claim_of("first").await);
    let now = DeleteParams::default().grace_period(0);
    devices.cluster.pods.delete("first", &now).await.unwrap();
    assert_eq!(devices.cluster.bound("third").await, "only");
    assert_eq!(device(&devices.claim_of("third").await), freed);
    devices.cluster.stop().await;
}

#[tokio::test]
async fn a_claim_is_shared_and_given_back_when_its_devices_are_out_of_reach() {
    let devices = Devices::start().await;
    // The pod comes before its claim.
    let shared = || json!({"resourceClaimName": "shared"});
    devices.pod("first", shared()).await;
    create(&devices.claims, json!({"metadata": {"name": "shared"}, "spec": fast()})).await;
    devices.cluster.bound("first").await;
    devices.pod("second", shared()).await;
    devices.cluster.bound("second").await;
    let (first, second) = (devices.claim_of("first").await, devices.claim_of("second").await);
    assert_eq!((first.uid(), device(&first)), (second.uid(), device(&second)));

    // Allocated on a node that is gone, and used by nobody.
    create(&devices.claims, json!({"metadata": {"name": "lost"}, "spec": fast()})).await;
    let params = PatchParams::default();
    let keep = Patch::Merge(json!({"metadata": {"finalizers": [FINALIZER]}}));
    devices.claims.patch("lost", &params, &keep).await.unwrap();
    let nodes = json!({"nodeSelectorTerms": [{"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": ["gone"]}]}]});
    let result = json!({"request": "r", "driver": "gpu.io", "pool": "gone", "device": "one"});
    let allocation = json!({"nodeSelector": nodes, "devices": {"results": [result]}});
    let status = Patch::Merge(json!({"status": {"allocation": allocation}}));
    devices.claims.patch_status("lost", &params, &status).await.unwrap();
    devices.pod("third", json!({"resourceClaimName": "lost"})).await;
    assert_eq!(devices.cluster.bound("third").await, "only");
    let claim = devices.claim_of("third").await;
    assert_eq!(claim.name_any(), "lost");
    assert_ne!(device(&claim), device(&first));
    devices.cluster.stop().await;
}
