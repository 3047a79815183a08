//! What the scheduler keeps of a pod.
//!
//! A [`PodInfo`] is made once, in the watch task, and shared: filters and scores must not parse
//! quantities or walk containers for each of thousands of nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeSelector, Pod, PreferredSchedulingTerm, Toleration};

use crate::affinity::{Labels, Namespaces, PodAffinity};
use crate::dynamic_resources::{self, Named};
use crate::resources::{Resources, pod_requests};
use crate::spread::Constraint;
use crate::volumes::{self, Claim, Disk};

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
    /// Inter-pod affinity and anti-affinity, if there is any.
    pub pods: Option<Box<PodAffinity>>,
    /// `spec.topologySpreadConstraints`.
    pub spread: Box<[Constraint]>,
    /// `spec.priority`.
    pub priority: i32,
    /// `spec.preemptionPolicy` is `Never`.
    pub never_preempts: bool,
    /// The claims behind `spec.resourceClaims`.
    pub resource_claims: Box<[Named]>,
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
    /// `metadata.labels`. Pods on nodes share them with their like.
    pub labels: Arc<Labels>,
    /// `spec.schedulerName`.
    pub scheduler_name: String,
    /// `spec.nodeName` once bound.
    pub node_name: Option<Arc<str>>,
    /// `status.nominatedNodeName`: where room was made for it.
    pub nominated: Option<Arc<str>>,
    /// Images of its containers, with a tag each, one entry a container.
    pub images: Box<[Box<str>]>,
    /// Has a deletion timestamp.
    pub deleting: bool,
    /// Phase `Succeeded` or `Failed`: holds nothing any more.
    pub finished: bool,
    /// What it demands.
    pub demands: Demands,
    /// The claims that its volumes are.
    pub claims: Box<[Claim]>,
    /// Disks it names itself and that not every two pods can share.
    pub disks: Box<[Disk]>,
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
        let node_affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let status = pod.status.as_ref();
        let (requests, scored) = pod_requests(spec, status);
        let refused = status
            .and_then(|s| s.conditions.as_ref())
            .and_then(|c| c.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False"))
            .map(|c| (c.reason.clone().unwrap_or_default(), c.message.clone().unwrap_or_default()));
        Some(Self {
            uid: PodUid(meta.uid.as_deref()?.into()),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            labels: Arc::new(meta.labels.clone().unwrap_or_default()),
            scheduler_name: spec.scheduler_name.clone().unwrap_or_default(),
            node_name: spec.node_name.as_deref().filter(|n| !n.is_empty()).map(Arc::from),
            nominated: status
                .and_then(|s| s.nominated_node_name.as_deref())
                .filter(|name| !name.is_empty())
                .map(Arc::from),
            images: images(pod),
            deleting: meta.deletion_timestamp.is_some(),
            finished: status
                .and_then(|s| s.phase.as_deref())
                .is_some_and(|phase| phase == "Succeeded" || phase == "Failed"),
            group: group(pod),
            refused,
            claims: volumes::claims(pod),
            disks: volumes::disks(pod),
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
                pods: PodAffinity::read(pod),
                spread: Constraint::read_all(pod),
                priority: spec.priority.unwrap_or(0),
                never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
                resource_claims: dynamic_resources::named(pod),
                gates: spec.scheduling_gates.iter().flatten().map(|g| g.name.clone()).collect(),
            },
        })
    }
}

impl PodInfo {
    /// Whether the other pod is the same to every plugin that looks at pod and node alone: all but who
    /// it is and what has become of it.
    #[must_use]
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let Self {
            uid: _,
            name: _,
            created: _,
            nominated: _,
            deleting: _,
            finished: _,
            refused: _,
            namespace,
            labels,
            scheduler_name,
            node_name,
            images,
            demands,
            claims,
            disks,
            group,
        } = self;
        *demands == other.demands
            && *labels == other.labels
            && *group == other.group
            && *namespace == other.namespace
            && *images == other.images
            && *claims == other.claims
            && *disks == other.disks
            && *node_name == other.node_name
            && *scheduler_name == other.scheduler_name
    }

    /// What other pods may look for in it: namespace and labels.
    #[must_use]
    pub(crate) fn beside(&self) -> (String, Arc<Labels>) {
        (self.namespace.clone(), self.labels.clone())
    }

    /// Whether a pod like this on some node may open nodes to this one: a required affinity means
    /// it, or it fills a domain that a hard spread constraint counts.
    #[must_use]
    pub fn looks_for(&self, namespace: &str, labels: &Labels, namespaces: &Namespaces) -> bool {
        let affine = self.demands.pods.iter().flat_map(|affinity| &affinity.required);
        let spread = self.demands.spread.iter().filter(|constraint| constraint.hard);
        affine.into_iter().any(|term| term.matches(namespace, labels, namespaces))
            || (namespace == self.namespace
                && spread.into_iter().any(|constraint| constraint.selector.matches(labels)))
    }
}

/// The images as nodes list them: a name without a tag means `latest`.
fn images(pod: &Pod) -> Box<[Box<str>]> {
    let spec = pod.spec.iter();
    let containers =
        spec.flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    let tagged = |image: &str| -> Box<str> {
        if image.rfind(':') > image.rfind('/') {
            image.into()
        } else {
            format!("{image}:latest").into()
        }
    };
    containers.map(|c| tagged(c.image.as_deref().unwrap_or_default())).collect()
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
    fn a_pod_looks_for_company_and_for_pods_that_fill_domains() {
        let labels = |app: &str| Labels::from([("app".to_owned(), app.to_owned())]);
        let wants = |spec: serde_json::Value| {
            let mut spec = spec;
            spec["containers"] = json!([]);
            pod(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}))
        };
        let selector = json!({"matchLabels": {"app": "a"}});
        let affinity = |kind: &str| {
            wants(json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": selector}]}}}))
        };
        let spread = |when: &str| {
            wants(json!({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1,
                "whenUnsatisfiable": when, "labelSelector": selector}]}))
        };
        for (pod, like_it) in [
            (wants(json!({})), false),
            (affinity("podAffinity"), true),
            (affinity("podAntiAffinity"), false),
            (spread("DoNotSchedule"), true),
            (spread("ScheduleAnyway"), false),
        ] {
            let looks = |namespace: &str, app: &str| {
                pod.looks_for(namespace, &labels(app), &Namespaces::new())
            };
            assert_eq!(looks("n", "a"), like_it, "{pod:?}");
            assert!(!looks("n", "b") && !looks("m", "a"), "{pod:?}");
        }
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
