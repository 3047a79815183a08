//! What the scheduler keeps of a pod.
//!
//! A [`PodInfo`] is made once, in the watch task, and shared: filters and scores must not parse
//! quantities or walk containers for each of thousands of nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeSelector, Pod, PreferredSchedulingTerm, Toleration};

use crate::resources::{Resources, pod_requests};

/// A pod's `metadata.uid`: a pod deleted and created again under its name is another pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodUid(pub Arc<str>);

/// A port a pod wants on the node's own addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Port number.
    pub port: i32,
    /// Address on the node; `0.0.0.0` is all of them.
    pub ip: String,
}

/// What a pod demands of its node. Two pods with equal demands get equal verdicts; a change of
/// anything else (labels aside) is no reason to try a pod again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Demands {
    /// Exact requests, for fitting.
    pub requests: Resources,
    /// Requests with defaults for silent containers, for scoring.
    pub scored: Resources,
    /// Ports on the node's addresses.
    pub host_ports: Vec<HostPort>,
    /// `spec.tolerations`.
    pub tolerations: Vec<Toleration>,
    /// `spec.nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity.
    pub affinity: Option<NodeSelector>,
    /// Preferred node affinity.
    pub preferred: Vec<PreferredSchedulingTerm>,
    /// `spec.priority`.
    pub priority: i32,
    /// `spec.preemptionPolicy` is `Never`.
    pub never_preempts: bool,
    /// Names of `spec.schedulingGates`: while there is one, the pod is not tried.
    pub gates: Vec<String>,
}

/// The scheduler's view of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct PodInfo {
    /// Identity.
    pub uid: PodUid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Creation time: among equals the older pod goes first.
    pub created: Timestamp,
    /// `spec.schedulerName`.
    pub scheduler_name: String,
    /// `spec.nodeName` once bound.
    pub node_name: Option<Arc<str>>,
    /// Has a deletion timestamp.
    pub deleting: bool,
    /// Phase `Succeeded` or `Failed`: holds nothing any more.
    pub finished: bool,
    /// What it demands.
    pub demands: Demands,
    /// Pods of one group spread over nodes: those of one controller, else those with equal labels.
    pub group: Option<Arc<str>>,
    /// Message of the `PodScheduled=False` condition it carries, so that it is not written twice.
    pub refused: Option<(String, String)>,
}

impl PodInfo {
    /// Reads a pod. `None` if it lacks a uid, which the API server never leaves out.
    #[must_use]
    pub fn read(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let spec = pod.spec.as_ref()?;
        let (requests, scored) = pod_requests(spec);
        let node_affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let status = pod.status.as_ref();
        let refused = status
            .and_then(|s| s.conditions.as_ref())
            .and_then(|c| c.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False"))
            .map(|c| (c.reason.clone().unwrap_or_default(), c.message.clone().unwrap_or_default()));
        Some(Self {
            uid: PodUid(meta.uid.as_deref()?.into()),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            scheduler_name: spec.scheduler_name.clone().unwrap_or_default(),
            node_name: spec.node_name.as_deref().filter(|n| !n.is_empty()).map(Arc::from),
            deleting: meta.deletion_timestamp.is_some(),
            finished: status
                .and_then(|s| s.phase.as_deref())
                .is_some_and(|phase| phase == "Succeeded" || phase == "Failed"),
            group: group(pod),
            refused,
            demands: Demands {
                requests,
                scored,
                host_ports: host_ports(pod),
                tolerations: spec.tolerations.clone().unwrap_or_default(),
                node_selector: spec.node_selector.clone().unwrap_or_default(),
                affinity: node_affinity
                    .and_then(|a| a.required_during_scheduling_ignored_during_execution.clone()),
                preferred: node_affinity
                    .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.clone())
                    .unwrap_or_default(),
                priority: spec.priority.unwrap_or(0),
                never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
                gates: spec.scheduling_gates.iter().flatten().map(|g| g.name.clone()).collect(),
            },
        })
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten().filter(|c| {
            // Only sidecars live beside the app containers.
            c.restart_policy.as_deref() == Some("Always")
        }))
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|port| {
            let host_port = port.host_port.filter(|p| *p > 0)?;
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty());
            Some(HostPort {
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: host_port,
                ip: ip.unwrap_or_else(|| "0.0.0.0".to_owned()),
            })
        })
        .collect()
}

/// The spreading group. Kubernetes derives it from the Services and controllers that select the
/// pod; the controller's uid, or the labels of a pod without one, name the same set without
/// watching five more kinds.
fn group(pod: &Pod) -> Option<Arc<str>> {
    let meta = &pod.metadata;
    let controller = meta.owner_references.iter().flatten().find(|o| o.controller == Some(true));
    if let Some(owner) = controller {
        return Some(owner.uid.as_str().into());
    }
    let labels = meta.labels.as_ref().filter(|labels| !labels.is_empty())?;
    let mut key = meta.namespace.clone().unwrap_or_default();
    for (name, value) in labels {
        key.push('\n');
        key.push_str(name);
        key.push('=');
        key.push_str(value);
    }
    Some(key.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(value: serde_json::Value) -> PodInfo {
        PodInfo::read(&serde_json::from_value(value).unwrap()).unwrap()
    }

    #[test]
    fn reads_what_scheduling_needs() {
        let info = pod(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u",
                "ownerReferences": [{"apiVersion": "v1", "kind": "ReplicationController",
                    "name": "rc", "uid": "rc-uid", "controller": true}]},
            "spec": {"containers": [{"name": "c", "ports": [
                {"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]}],
                "schedulerName": "default-scheduler", "nodeName": ""},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled",
                "status": "False", "reason": "Unschedulable", "message": "m"}]},
        }));
        assert_eq!(info.group.as_deref(), Some("rc-uid"));
        assert_eq!(info.node_name, None, "an empty nodeName is none");
        assert_eq!(info.demands.host_ports.len(), 1);
        assert_eq!(info.demands.host_ports[0].ip, "0.0.0.0");
        assert_eq!(info.refused, Some(("Unschedulable".into(), "m".into())));
        assert!(!info.finished);
    }

    #[test]
    fn pods_without_controller_group_by_labels_within_their_namespace() {
        let make = |namespace: &str| {
            pod(json!({"metadata": {"name": "p", "namespace": namespace, "uid": "u",
                "labels": {"app": "a"}}, "spec": {"containers": []}}))
            .group
        };
        assert_eq!(make("a"), make("a"));
        assert_ne!(make("a"), make("b"));
        let bare = pod(json!({"metadata": {"uid": "u"}, "spec": {"containers": []}}));
        assert_eq!(bare.group, None);
    }
}
