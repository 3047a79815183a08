//! The plugins, one file each, under Kubernetes' names.
//!
//! Source: <https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins>.

mod balanced_allocation;
mod default_binder;
mod default_preemption;
mod dynamic_resources;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod queueing;
mod taint_toleration;
mod topology_spread;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

pub use balanced_allocation::BalancedAllocation;
pub use default_binder::DefaultBinder;
pub use default_preemption::DefaultPreemption;
pub use dynamic_resources::DynamicResources;
pub use image_locality::ImageLocality;
pub use inter_pod_affinity::InterPodAffinity;
pub use node_affinity::NodeAffinity;
pub use node_name::NodeName;
pub use node_ports::NodePorts;
pub use node_resources_fit::NodeResourcesFit;
pub use node_unschedulable::NodeUnschedulable;
pub use node_volume_limits::NodeVolumeLimits;
pub use queueing::{PrioritySort, SchedulingGates};
pub use taint_toleration::TaintToleration;
pub use topology_spread::TopologySpread;
pub use volume_binding::VolumeBinding;
pub use volume_restrictions::VolumeRestrictions;
pub use volume_zone::VolumeZone;

#[cfg(test)]
pub(crate) mod fixtures {
    //! Pods and nodes for the plugins' table tests, written as they would be in YAML.

    use crate::cache::Cache;
    use crate::node::{NodeInfo, Offer};
    use crate::pod::PodInfo;
    use crate::volumes::Volumes;
    use crate::volumes::objects::Stored;
    use k8s_openapi::api::{core::v1 as core, storage::v1 as storage};
    use serde_json::{Value, json};

    /// A pod with this spec (containers may be left out).
    pub(crate) fn pod(mut spec: Value) -> PodInfo {
        if spec.get("containers").is_none() {
            spec["containers"] = json!([{"name": "c"}]);
        }
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec});
        PodInfo::read(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    /// A node from labels, taints and so on; offers 4 CPUs, 8Gi and 110 pods unless told.
    pub(crate) fn node(name: &str, mut value: Value) -> NodeInfo {
        value["metadata"]["name"] = json!(name);
        if value["status"].get("allocatable").is_none() {
            value["status"]["allocatable"] = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
        }
        let mut node = NodeInfo::new(name.into());
        node.offer = Some(Offer::read(&serde_json::from_value(value).unwrap()));
        node
    }

    /// A pod with these claims in the namespace `n`.
    pub(crate) fn claimant(uid: &str, claims: &[&str]) -> PodInfo {
        let volume =
            |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        let volumes: Vec<Value> = claims.iter().map(volume).collect();
        let pod = json!({"metadata": {"name": uid, "namespace": "n", "uid": uid},
            "spec": {"containers": [{"name": "c"}], "volumes": volumes}});
        PodInfo::read(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    /// A cache that knows these objects of the kinds that have to do with volumes.
    pub(crate) fn stored(objects: &[Value]) -> Cache {
        let mut cache = Cache::default();
        for object in objects {
            put(cache.volumes_mut(), object);
        }
        cache
    }

    /// Tells of an object as it is now.
    pub(crate) fn put(volumes: &mut Volumes, object: &Value) {
        fn set<K: Stored + serde::de::DeserializeOwned>(volumes: &mut Volumes, object: &Value) {
            let object: K = serde_json::from_value(object.clone()).unwrap();
            volumes.set(object.id(), object.reduce());
        }
        match object["kind"].as_str().unwrap() {
            "PersistentVolumeClaim" => set::<core::PersistentVolumeClaim>(volumes, object),
            "PersistentVolume" => set::<core::PersistentVolume>(volumes, object),
            "StorageClass" => set::<storage::StorageClass>(volumes, object),
            "CSIDriver" => set::<storage::CSIDriver>(volumes, object),
            "CSINode" => set::<storage::CSINode>(volumes, object),
            "CSIStorageCapacity" => set::<storage::CSIStorageCapacity>(volumes, object),
            "VolumeAttachment" => set::<storage::VolumeAttachment>(volumes, object),
            other => panic!("{other} has nothing to do with volumes"),
        }
    }
}
