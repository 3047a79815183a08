//! The plugins, one file each, under Kubernetes' names.
//!
//! Source: <https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins>.

mod balanced_allocation;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod taint_toleration;
mod topology_spread;

pub use balanced_allocation::BalancedAllocation;
pub use image_locality::ImageLocality;
pub use inter_pod_affinity::InterPodAffinity;
pub use node_affinity::NodeAffinity;
pub use node_ports::NodePorts;
pub use node_resources_fit::NodeResourcesFit;
pub use node_unschedulable::NodeUnschedulable;
pub use taint_toleration::TaintToleration;
pub use topology_spread::TopologySpread;

#[cfg(test)]
pub(crate) mod fixtures {
    //! Pods and nodes for the plugins' table tests, written as they would be in YAML.

    use crate::node::{NodeInfo, Offer};
    use crate::pod::PodInfo;
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
}
