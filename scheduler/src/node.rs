//! What the scheduler keeps of a node: what it offers and what is taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::cache::{ClassId, ZoneId};
use crate::pod::{HostPort, PodInfo, PodUid};
use crate::resources::{Resources, allowed_pods};

/// What a node offers: everything read from the Node object that a decision may depend on.
///
/// Heartbeats do not change it, so comparing two offers tells whether waking refused pods can help.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable` (cordoned).
    pub unschedulable: bool,
    /// `status.allocatable` without `pods`.
    pub allocatable: Resources,
    /// `status.allocatable["pods"]`.
    pub allowed_pods: i64,
    /// `status.images`: bytes by every name of an image.
    pub images: HashMap<String, i64>,
}

impl Offer {
    /// Reads a Node object.
    #[must_use]
    pub fn read(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
        Self {
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|s| s.taints.clone()).unwrap_or_default(),
            unschedulable: spec.and_then(|s| s.unschedulable).unwrap_or(false),
            allocatable: Resources::from_map(allocatable),
            allowed_pods: allowed_pods(allocatable),
            images: images(node),
        }
    }
}

fn images(node: &Node) -> HashMap<String, i64> {
    let images = node.status.iter().flat_map(|s| s.images.iter().flatten());
    let named = images.flat_map(|image| {
        let bytes = image.size_bytes.unwrap_or(0);
        image.names.iter().flatten().map(move |name| (name.clone(), bytes))
    });
    named.collect()
}

/// A node with the sums over its pods, kept up to date pod by pod.
#[derive(Debug, Clone, Default)]
pub struct NodeInfo {
    /// Name.
    pub name: Arc<str>,
    /// Another number after every change of it in the cache, of no other node's and never 0.
    pub generation: u64,
    /// How many pods room is kept for on it.
    pub nominated: usize,
    /// What it offers. `None` while only pods bound to it are known and no Node object.
    pub offer: Option<Offer>,
    /// Sum of exact requests.
    pub requested: Resources,
    /// Sum of requests with defaults.
    pub scored: Resources,
    /// Number of pods.
    pub pods: i64,
    /// The pods themselves, in no order.
    pub residents: Vec<Arc<PodInfo>>,
    /// Pods per class; see [`crate::cache::Cache::select`].
    pub classes: Vec<(ClassId, u32)>,
    /// Ports taken on its addresses.
    pub host_ports: Vec<HostPort>,
    /// Pods per spreading group.
    pub groups: HashMap<Arc<str>, u32>,
    /// The zone it is in.
    pub zone: Option<ZoneId>,
}

impl NodeInfo {
    /// A node nothing is known of yet.
    #[must_use]
    pub fn new(name: Arc<str>) -> Self {
        Self { name, ..Self::default() }
    }

    /// A copy to try changes on. What the node offers is not in it: filters are told that beside it.
    #[must_use]
    pub fn draft(&self) -> Self {
        Self {
            name: self.name.clone(),
            generation: self.generation,
            nominated: self.nominated,
            offer: None,
            requested: self.requested.clone(),
            scored: self.scored.clone(),
            pods: self.pods,
            residents: self.residents.clone(),
            classes: self.classes.clone(),
            host_ports: self.host_ports.clone(),
            groups: self.groups.clone(),
            zone: self.zone,
        }
    }

    /// Counts a pod in.
    pub fn add(&mut self, pod: &Arc<PodInfo>) {
        self.requested.add(&pod.demands.requests);
        self.scored.add(&pod.demands.scored);
        self.pods += 1;
        self.residents.push(pod.clone());
        self.host_ports.extend(pod.demands.host_ports.iter().cloned());
        if let Some(group) = &pod.group {
            *self.groups.entry(group.clone()).or_default() += 1;
        }
    }

    /// Counts it out again; `pod` must be the value that was added.
    pub fn remove(&mut self, pod: &PodInfo) {
        self.requested.subtract(&pod.demands.requests);
        self.scored.subtract(&pod.demands.scored);
        self.pods -= 1;
        if let Some(at) = self.residents.iter().position(|resident| resident.uid == pod.uid) {
            self.residents.swap_remove(at);
        }
        for port in &pod.demands.host_ports {
            if let Some(at) = self.host_ports.iter().position(|taken| taken == port) {
                self.host_ports.swap_remove(at);
            }
        }
        if let Some(group) = &pod.group
            && let Some(count) = self.groups.get_mut(group)
        {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(group);
            }
        }
    }

    /// How many of its pods are of the classes `wanted` marks.
    #[must_use]
    pub fn count(&self, wanted: &[bool]) -> i64 {
        let counted = self.classes.iter().filter(|(id, _)| wanted[*id as usize]);
        counted.map(|(_, pods)| i64::from(*pods)).sum()
    }

    /// The place of one of its pods.
    pub(crate) fn resident(&mut self, uid: &PodUid) -> Option<&mut Arc<PodInfo>> {
        self.residents.iter_mut().find(|resident| resident.uid == *uid)
    }

    pub(crate) fn enter_class(&mut self, class: ClassId) {
        match self.classes.iter_mut().find(|(id, _)| *id == class) {
            Some((_, pods)) => *pods += 1,
            None => self.classes.push((class, 1)),
        }
    }

    pub(crate) fn leave_class(&mut self, class: ClassId) {
        if let Some(at) = self.classes.iter().position(|(id, _)| *id == class) {
            self.classes[at].1 -= 1;
            if self.classes[at].1 == 0 {
                self.classes.swap_remove(at);
            }
        }
    }
}
