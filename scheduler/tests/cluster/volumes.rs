//! Pods with claims. The test is the provisioner and the controller that binds volumes.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};

use super::*;

const SELECTED: &str = "volume.kubernetes.io/selected-node";

struct Storage {
    cluster: Cluster,
    claims: Api<PersistentVolumeClaim>,
    volumes: Api<PersistentVolume>,
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Clone + Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

impl Storage {
    /// Two nodes; a class without a provisioner, and one whose volumes can be made on `b` only.
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        for name in ["a", "b"] {
            cluster.node(name, "4Gi").await;
        }
        let client = cluster.pods.clone().into_client();
        let classes: Api<StorageClass> = Api::all(client.clone());
        let class = |name: &str, provisioner: &str| {
            json!({"metadata": {"name": name}, "provisioner": provisioner,
                "volumeBindingMode": "WaitForFirstConsumer"})
        };
        create(&classes, class("disks", "kubernetes.io/no-provisioner")).await;
        let mut made = class("made", "example.com/maker");
        made["allowedTopologies"] = json!([{"matchLabelExpressions": [
            {"key": "kubernetes.io/hostname", "values": ["b"]}]}]);
        create(&classes, made).await;
        let mut now = class("now", "example.com/maker");
        now["volumeBindingMode"] = json!("Immediate");
        create(&classes, now).await;
        Self { claims: Api::default_namespaced(client.clone()), volumes: Api::all(client), cluster }
    }

    async fn claim(&self, name: &str, class: &str, mode: &str) {
        let spec = json!({"storageClassName": class, "accessModes": [mode],
            "resources": {"requests": {"storage": "1Gi"}}});
        create(&self.claims, json!({"metadata": {"name": name}, "spec": spec})).await;
    }

    /// A volume on a node, of the class `disks`.
    async fn volume(&self, name: &str, node: &str) {
        let on = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
        let spec = json!({"storageClassName": "disks", "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "2Gi"}, "local": {"path": "/disk"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on]}]}}});
        create(&self.volumes, json!({"metadata": {"name": name}, "spec": spec})).await;
        let status = Patch::Merge(json!({"status": {"phase": "Available"}}));
        self.volumes.patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    async fn pod(&self, name: &str, claim: &str, more: Value) {
        let mut spec = json!({"volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": claim}}]});
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        self.cluster.pod(name, "1Mi", spec).await;
    }

    /// Binds a claim and its volume for good, as the controller does.
    async fn bind(&self, claim: &str, volume: &str) {
        let patch = Patch::Merge(json!({"spec": {"volumeName": volume},
            "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}}));
        self.claims.patch(claim, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The node that was selected for a claim.
    async fn selected(&self, claim: &str) -> String {
        eventually(&format!("the node of {claim}"), || async {
            let claim = self.claims.get(claim).await.unwrap();
            let node = claim.annotations().get(SELECTED).cloned();
            node.ok_or(claim.metadata)
        })
        .await
    }

    /// Waits until a pod's status names this node, or none.
    async fn nominated(&self, pod: &str, node: Option<&str>) {
        eventually(&format!("the node in the status of {pod}"), || async {
            let status = self.cluster.pods.get(pod).await.unwrap().status.unwrap();
            if status.nominated_node_name.as_deref() == node { Ok(()) } else { Err(status) }
        })
        .await;
    }

    /// Waits until a pod is told this, whatever else it is told.
    async fn told(&self, pod: &str, part: &str) {
        eventually(&format!("{pod} is told: {part}"), || async {
            let events = self.cluster.events.list(&ListParams::default()).await.unwrap().items;
            let of = |e: &&Event| e.involved_object.name.as_deref() == Some(pod);
            let told: Vec<String> =
                events.iter().filter(of).filter_map(|e| e.message.clone()).collect();
            if told.iter().any(|message| message.contains(part)) { Ok(()) } else { Err(told) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_free_volume_says_where_its_pod_runs() {
    let storage = Storage::start().await;
    storage.claim("c", "disks", "ReadWriteOnce").await;
    storage.pod("p", "c", json!({})).await;
    let why = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. \
               no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption \
               is not helpful for scheduling.";
    storage.told("p", why).await;
    storage.volume("v", "b").await;
    let reference = eventually("the volume is the claim's", || async {
        let volume = storage.volumes.get("v").await.unwrap();
        volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()).ok_or(volume.metadata)
    })
    .await;
    assert_eq!(reference.name.as_deref(), Some("c"));
    let pod = storage.cluster.pods.get("p").await.unwrap();
    assert_eq!(pod.spec.unwrap().node_name, None, "not before the claim is bound");
    storage.bind("c", "v").await;
    assert_eq!(storage.cluster.bound("p").await, "b");

    // A second pod has to go where the volume is.
    let elsewhere = json!({"nodeSelector": {"kubernetes.io/hostname": "a"}});
    storage.pod("far", "c", elsewhere).await;
    let why = "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, \
               1 node(s) didn't match Pod's node affinity/selector.";
    storage.told("far", why).await;
    storage.pod("near", "c", json!({})).await;
    assert_eq!(storage.cluster.bound("near").await, "b");
    storage.cluster.stop().await;
}

#[tokio::test]
async fn volumes_are_made_where_the_class_allows_it() {
    let storage = Storage::start().await;
    storage.pod("p", "c", json!({})).await;
    storage.told("p", "0/2 nodes are available: persistentvolumeclaim \"c\" not found.").await;
    storage.claim("c", "made", "ReadWriteOnce").await;
    assert_eq!(storage.selected("c").await, "b");
    storage.nominated("p", Some("b")).await;
    // The provisioner cannot: it takes the node away, and the pod is tried anew.
    let patch = Patch::Merge(json!({"metadata": {"annotations": {SELECTED: null}}}));
    storage.claims.patch("c", &PatchParams::default(), &patch).await.unwrap();
    let why = "running PreBind plugin \"VolumeBinding\": binding volumes: provisioning failed for PVC \"c\"";
    storage.told("p", why).await;
    assert_eq!(storage.selected("c").await, "b");
    storage.volume("v", "b").await;
    storage.bind("c", "v").await;
    assert_eq!(storage.cluster.bound("p").await, "b");
    storage.nominated("p", None).await;

    storage.claim("later", "now", "ReadWriteOnce").await;
    storage.pod("immediate", "later", json!({})).await;
    let why =
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found";
    storage.told("immediate", why).await;
    storage.bind("later", "v").await;
    assert_eq!(storage.cluster.bound("immediate").await, "b");
    storage.cluster.stop().await;
}

#[tokio::test]
async fn claims_for_one_pod_alone_and_nodes_that_are_full() {
    let storage = Storage::start().await;
    // Both nodes take one volume of the driver.
    let nodes: Api<CSINode> = Api::all(storage.cluster.pods.clone().into_client());
    for name in ["a", "b"] {
        create(
            &nodes,
            json!({"metadata": {"name": name}, "spec": {"drivers": [{"nodeID": name,
            "name": "csi.example.com", "allocatable": {"count": 1}}]}}),
        )
        .await;
    }

    storage.volume("v", "a").await;
    storage.claim("alone", "disks", "ReadWriteOncePod").await;
    storage.bind("alone", "v").await;
    storage.pod("first", "alone", json!({})).await;
    assert_eq!(storage.cluster.bound("first").await, "a");
    storage.pod("second", "alone", json!({})).await;
    let why = "2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod \
               access mode";
    storage.told("second", why).await;
    let gone = DeleteParams::default().grace_period(0);
    storage.cluster.pods.delete("first", &gone).await.unwrap();
    assert_eq!(storage.cluster.bound("second").await, "a");

    for name in ["one", "two", "three"] {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"},
            "csi": {"driver": "csi.example.com", "volumeHandle": name}});
        create(&storage.volumes, json!({"metadata": {"name": name}, "spec": spec})).await;
        storage.claim(name, "", "ReadWriteOnce").await;
        storage.bind(name, name).await;
        storage.pod(name, name, json!({})).await;
        if name != "three" {
            storage.cluster.bound(name).await;
        }
    }
    storage.told("three", "0/2 nodes are available: 2 node(s) exceed max volume count.").await;
    storage.cluster.pods.delete("one", &gone).await.unwrap();
    storage.cluster.bound("three").await;
    storage.cluster.stop().await;
}
