//! The nodes with what is left on them, and the pods that take it.
//!
//! A pod enters on one of two ways: *assumed*, at the moment the scheduler decided, or *seen*, when
//! the watch shows it bound. The watch always wins: an assumed pod seen on another node moves, one
//! whose binding failed is forgotten. A node that is gone keeps its entry while pods on it are
//! known, so that their sums are right if it comes back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::affinity::{Labels, Namespaces};
use crate::dynamic_resources::Devices;
use crate::node::{NodeInfo, Offer};
use crate::pod::{PodInfo, PodUid};
use crate::volumes::Volumes;

mod classes;
mod nominated;
mod terms;
mod zones;

use classes::Classes;
pub use classes::{Class, ClassId};
use nominated::Nominated;
pub use terms::{Meaning, Standing, Terms, meanings};
pub use zones::{ZoneId, Zones};

#[derive(Debug)]
struct Placed {
    pod: Arc<PodInfo>,
    node: Arc<str>,
    class: ClassId,
    assumed: bool,
}

/// Nodes and placed pods. Owned by the scheduling task alone.
#[derive(Debug, Default)]
pub struct Cache {
    nodes: Vec<NodeInfo>,
    by_name: HashMap<Arc<str>, usize>,
    pods: HashMap<PodUid, Placed>,
    classes: Classes,
    terms: Terms,
    namespaces: Namespaces,
    /// How many placed pods have each priority.
    priorities: BTreeMap<i32, usize>,
    nominated: Nominated,
    /// How many nodes have each image.
    images: HashMap<String, usize>,
    zones: Zones,
    volumes: Volumes,
    devices: Devices,
    /// The last generation a node was given.
    generation: u64,
}

impl Cache {
    /// Every node entry, those without a Node object included.
    #[must_use]
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// One node by name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.by_name.get(name).map(|at| &self.nodes[*at])
    }

    /// The labels of a node; none where it is not known.
    #[must_use]
    pub fn labels_of(&self, node: &str) -> BTreeMap<String, String> {
        let offer = self.node(node).and_then(|node| node.offer.as_ref());
        offer.map(|offer| offer.labels.clone()).unwrap_or_default()
    }

    /// Where a node is in [`Cache::nodes`].
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Sets what a node offers. Returns what it offered before, if it was known.
    pub fn set_node(&mut self, name: &Arc<str>, offer: Offer) -> Option<Offer> {
        let at = self.entry(name);
        if self.nodes[at].offer.as_ref() == Some(&offer) {
            // A heartbeat.
            return Some(offer);
        }
        let moved = self.nodes[at].offer.as_ref().map(|o| &o.labels) != Some(&offer.labels);
        if moved {
            self.count_terms(at, false);
        }
        if self.nodes[at].offer.as_ref().map(|o| &o.images) != Some(&offer.images) {
            self.drop_images(at);
            for name in offer.images.keys() {
                *self.images.entry(name.clone()).or_default() += 1;
            }
        }
        let before = self.nodes[at].offer.replace(offer);
        self.touch(at);
        if moved {
            self.count_terms(at, true);
            self.enter_zone(at);
        }
        before
    }

    /// Sets the labels of a namespace. Returns whether they are other than before.
    pub fn set_namespace(&mut self, name: String, labels: Labels) -> bool {
        self.namespaces.insert(name, labels.clone()).as_ref() != Some(&labels)
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// Sets all namespaces there are.
    pub fn set_namespaces(&mut self, all: Namespaces) {
        self.namespaces = all;
    }

    /// Labels of the namespaces.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The terms of the pods on nodes.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The lowest priority of a placed pod.
    #[must_use]
    pub fn lowest_priority(&self) -> Option<i32> {
        self.priorities.first_key_value().map(|(priority, _)| *priority)
    }

    /// Keeps room on a node for a pod until it is placed or gone.
    pub fn nominate(&mut self, pod: Arc<PodInfo>, node: &Arc<str>) {
        self.withdraw(&pod.uid);
        self.nominated.insert(pod, node);
        if let Some(at) = self.position(node) {
            self.nodes[at].nominated += 1;
            self.touch(at);
        }
    }

    /// Gives the room up again. Returns whether there was any.
    pub fn withdraw(&mut self, uid: &PodUid) -> bool {
        let Some(node) = self.nominated.remove(uid) else { return false };
        if let Some(at) = self.position(&node) {
            self.nodes[at].nominated = self.nominated.on(&node).count();
            self.touch(at);
        }
        true
    }

    /// The node on which room is kept for a pod.
    #[must_use]
    pub fn nomination(&self, uid: &PodUid) -> Option<&Arc<str>> {
        self.nominated.node(uid)
    }

    /// The pods room is kept for on a node.
    pub fn nominated(&self, node: &str) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.nominated.on(node)
    }

    /// How many nodes have an image.
    #[must_use]
    pub fn nodes_with_image(&self, name: &str) -> usize {
        self.images.get(name).copied().unwrap_or(0)
    }

    /// How many pods of which group are in which zone.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// What is known of volumes.
    #[must_use]
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// The same, to be changed.
    pub fn volumes_mut(&mut self) -> &mut Volumes {
        &mut self.volumes
    }

    /// What is known of devices and claims to them.
    #[must_use]
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The same, to be changed.
    pub fn devices_mut(&mut self) -> &mut Devices {
        &mut self.devices
    }

    /// Marks the classes of pods that `matches`, for [`NodeInfo::count`].
    #[must_use]
    pub fn select(&self, matches: impl Fn(&Class) -> bool) -> Vec<bool> {
        self.classes.select(matches)
    }

    /// The Node object is gone.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(at) = self.by_name.get(name).copied() {
            self.count_terms(at, false);
            self.drop_images(at);
            self.nodes[at].offer = None;
            self.touch(at);
            self.count_terms(at, true);
            self.enter_zone(at);
            self.drop_if_empty(name);
        }
    }

    /// Names of the nodes that have a Node object.
    pub fn node_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.nodes.iter().filter(|n| n.offer.is_some()).map(|n| &n.name)
    }

    /// Counts a pod on the node just decided, before the API server knows.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &Arc<str>) {
        self.place(pod, node, true);
    }

    /// The binding of an assumed pod failed. A pod the watch has meanwhile shown bound stays.
    pub fn forget(&mut self, uid: &PodUid) {
        if self.is_assumed(uid) {
            self.remove_pod(uid);
        }
    }

    /// The newest state of a pod that is on a node, and the node.
    #[must_use]
    pub fn placed(&self, uid: &PodUid) -> Option<(&Arc<PodInfo>, &Arc<str>)> {
        self.pods.get(uid).map(|placed| (&placed.pod, &placed.node))
    }

    /// Whether a pod is assumed and not yet seen bound.
    #[must_use]
    pub fn is_assumed(&self, uid: &PodUid) -> bool {
        self.pods.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// The watch shows a pod bound. If that is what is known of it already, nothing changes: a pod's
    /// status is written often, and its node stays what it was.
    pub fn see(&mut self, pod: Arc<PodInfo>, node: &Arc<str>) {
        let known = self.pods.get(&pod.uid);
        if known.is_some_and(|known| known.node == *node && counts_alike(&known.pod, &pod)) {
            self.confirm(pod);
        } else {
            self.place(pod, node, false);
        }
    }

    /// Takes the newest state of a placed pod for the one that counts alike: it may share its labels.
    fn confirm(&mut self, mut pod: Arc<PodInfo>) {
        let Some(placed) = self.pods.get_mut(&pod.uid) else { return };
        if let Some(pod) = Arc::get_mut(&mut pod) {
            pod.labels = self.classes.labels(placed.class).clone();
        }
        if let Some(at) = self.by_name.get(&placed.node)
            && let Some(resident) = self.nodes[*at].resident(&pod.uid)
        {
            *resident = pod.clone();
        }
        (placed.pod, placed.assumed) = (pod, false);
    }

    /// A pod is gone or finished. Returns whether it held anything.
    pub fn remove_pod(&mut self, uid: &PodUid) -> bool {
        let Some(placed) = self.pods.remove(uid) else { return false };
        if let Some(at) = self.by_name.get(&placed.node).copied() {
            self.nodes[at].remove(&placed.pod);
            self.volumes.leave(&placed.pod);
            if let (Some(zone), Some(group)) = (self.nodes[at].zone, &placed.pod.group) {
                self.zones.leave(zone, group, 1);
            }
            self.nodes[at].leave_class(placed.class);
            self.touch(at);
            self.classes.leave(placed.class);
            if let Some(pods) = self.priorities.get_mut(&placed.pod.demands.priority) {
                *pods -= 1;
                if *pods == 0 {
                    self.priorities.remove(&placed.pod.demands.priority);
                }
            }
            if let Some(affinity) = &placed.pod.demands.pods {
                self.terms.leave(affinity, labels(&self.nodes[at]));
            }
            self.drop_if_empty(&placed.node);
        }
        true
    }

    /// Uids of all pods on nodes, assumed ones included.
    pub fn pods(&self) -> impl Iterator<Item = &PodUid> {
        self.pods.keys()
    }

    fn place(&mut self, mut pod: Arc<PodInfo>, node: &Arc<str>, assumed: bool) {
        self.remove_pod(&pod.uid);
        self.withdraw(&pod.uid);
        *self.priorities.entry(pod.demands.priority).or_default() += 1;
        let class = self.classes.enter(&pod);
        // Nobody else holds a pod that comes from the watch: it can give up its own copy.
        if let Some(pod) = Arc::get_mut(&mut pod) {
            pod.labels = self.classes.labels(class).clone();
        }
        let at = self.entry(node);
        self.nodes[at].add(&pod);
        self.volumes.enter(&pod);
        if let (Some(zone), Some(group)) = (self.nodes[at].zone, &pod.group) {
            self.zones.enter(zone, group, 1);
        }
        self.nodes[at].enter_class(class);
        self.touch(at);
        if let Some(affinity) = &pod.demands.pods {
            self.terms.enter(affinity, labels(&self.nodes[at]));
        }
        self.pods.insert(pod.uid.clone(), Placed { pod, node: node.clone(), class, assumed });
    }

    fn drop_images(&mut self, at: usize) {
        for name in self.nodes[at].offer.iter().flat_map(|offer| offer.images.keys()) {
            if let Some(nodes) = self.images.get_mut(name) {
                *nodes -= 1;
                if *nodes == 0 {
                    self.images.remove(name);
                }
            }
        }
    }

    /// Counts the terms of all pods of a node in or out, around a change of its labels.
    fn count_terms(&mut self, at: usize, enter: bool) {
        let node = &self.nodes[at];
        for affinity in node.residents.iter().filter_map(|pod| pod.demands.pods.as_ref()) {
            if enter {
                self.terms.enter(affinity, labels(node));
            } else {
                self.terms.leave(affinity, labels(node));
            }
        }
    }

    /// Notes that a node is not what it was.
    fn touch(&mut self, at: usize) {
        self.generation += 1;
        self.nodes[at].generation = self.generation;
    }

    /// Moves the pods of a node, whose labels changed, from their zone to the one they are in now.
    fn enter_zone(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let now = node.offer.as_ref().and_then(|offer| self.zones.of(&offer.labels));
        let before = std::mem::replace(&mut node.zone, now);
        if before == now {
            return;
        }
        for (group, pods) in &self.nodes[at].groups {
            if let Some(zone) = before {
                self.zones.leave(zone, group, *pods);
            }
            if let Some(zone) = now {
                self.zones.enter(zone, group, *pods);
            }
        }
    }

    fn entry(&mut self, name: &Arc<str>) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let mut node = NodeInfo::new(name.clone());
        node.nominated = self.nominated.on(name).count();
        self.nodes.push(node);
        let at = self.nodes.len() - 1;
        self.by_name.insert(name.clone(), at);
        self.touch(at);
        at
    }

    fn drop_if_empty(&mut self, name: &str) {
        let Some(at) = self.by_name.get(name).copied() else { return };
        if self.nodes[at].offer.is_some() || self.nodes[at].pods > 0 {
            return;
        }
        self.by_name.remove(name);
        self.nodes.swap_remove(at);
        if let Some(moved) = self.nodes.get(at) {
            self.by_name.insert(moved.name.clone(), at);
        }
    }
}

/// Whether two states of a placed pod are the same to every sum and every plugin.
fn counts_alike(one: &PodInfo, other: &PodInfo) -> bool {
    one.demands == other.demands
        && one.labels == other.labels
        && one.group == other.group
        && one.claims == other.claims
        && one.deleting == other.deleting
}

/// A node without a Node object is in no group.
fn labels(node: &NodeInfo) -> &Labels {
    static NONE: Labels = Labels::new();
    node.offer.as_ref().map_or(&NONE, |offer| &offer.labels)
}

#[cfg(test)]
mod tests;
