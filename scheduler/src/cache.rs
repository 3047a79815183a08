//! The nodes with what is left on them, and the pods that take it.
//!
//! A pod enters on one of two ways: *assumed*, at the moment the scheduler decided, or *seen*, when
//! the watch shows it bound. The watch always wins: an assumed pod seen on another node moves, one
//! whose binding failed is forgotten. A node that is gone keeps its entry while pods on it are
//! known, so that their sums are right if it comes back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::affinity::{Labels, Namespaces};
use crate::node::{NodeInfo, Offer};
use crate::pod::{PodInfo, PodUid};

mod classes;
mod nominated;
mod terms;

use classes::Classes;
pub use classes::{Class, ClassId};
use nominated::Nominated;
pub use terms::{Meaning, Standing, Terms, meanings};

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

    /// Where a node is in [`Cache::nodes`].
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Sets what a node offers. Returns what it offered before, if it was known.
    pub fn set_node(&mut self, name: &Arc<str>, offer: Offer) -> Option<Offer> {
        let at = self.entry(name);
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
        if moved {
            self.count_terms(at, true);
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
        self.nominated.insert(pod, node);
    }

    /// Gives the room up again. Returns whether there was any.
    pub fn withdraw(&mut self, uid: &PodUid) -> bool {
        self.nominated.remove(uid)
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
            self.count_terms(at, true);
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

    /// Whether a pod is on a node, assumed or seen.
    #[must_use]
    pub fn holds(&self, uid: &PodUid) -> bool {
        self.pods.contains_key(uid)
    }

    /// Whether a pod is assumed and not yet seen bound.
    #[must_use]
    pub fn is_assumed(&self, uid: &PodUid) -> bool {
        self.pods.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// The watch shows a pod bound.
    pub fn see(&mut self, pod: Arc<PodInfo>, node: &Arc<str>) {
        self.place(pod, node, false);
    }

    /// A pod is gone or finished. Returns whether it held anything.
    pub fn remove_pod(&mut self, uid: &PodUid) -> bool {
        let Some(placed) = self.pods.remove(uid) else { return false };
        if let Some(at) = self.by_name.get(&placed.node).copied() {
            self.nodes[at].remove(&placed.pod);
            self.nodes[at].leave_class(placed.class);
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
        self.nominated.remove(&pod.uid);
        *self.priorities.entry(pod.demands.priority).or_default() += 1;
        let class = self.classes.enter(&pod);
        // Nobody else holds a pod that comes from the watch: it can give up its own copy.
        if let Some(pod) = Arc::get_mut(&mut pod) {
            pod.labels = self.classes.labels(class).clone();
        }
        let at = self.entry(node);
        self.nodes[at].add(&pod);
        self.nodes[at].enter_class(class);
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

    fn entry(&mut self, name: &Arc<str>) -> usize {
        *self.by_name.entry(name.clone()).or_insert_with(|| {
            self.nodes.push(NodeInfo::new(name.clone()));
            self.nodes.len() - 1
        })
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

/// A node without a Node object is in no group.
fn labels(node: &NodeInfo) -> &Labels {
    static NONE: Labels = Labels::new();
    node.offer.as_ref().map_or(&NONE, |offer| &offer.labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, cpu: &str) -> Arc<PodInfo> {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": uid, "namespace": "n", "uid": uid, "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 1}],
                "resources": {"requests": {"cpu": cpu}}}]}}))
        .unwrap();
        Arc::new(PodInfo::read(&pod).unwrap())
    }

    fn node(cache: &Cache, name: &str) -> NodeInfo {
        cache.node(name).unwrap().clone()
    }

    #[test]
    fn sums_follow_assume_see_and_remove() {
        let (mut cache, a, b) = (Cache::default(), Arc::from("a"), Arc::from("b"));
        cache.set_node(&a, Offer::default());
        cache.set_node(&b, Offer::default());
        let p = pod("p", "100m");
        cache.assume(p.clone(), &a);
        assert!(cache.is_assumed(&p.uid));
        assert_eq!(node(&cache, "a").requested.milli_cpu, 100);
        // The watch says otherwise: it moves.
        cache.see(p.clone(), &b);
        assert_eq!(node(&cache, "a").pods, 0);
        assert!(node(&cache, "a").host_ports.is_empty());
        assert_eq!(node(&cache, "b").requested.milli_cpu, 100);
        // A late failure of the binding changes nothing.
        cache.forget(&p.uid);
        assert_eq!(node(&cache, "b").pods, 1);
        assert!(cache.remove_pod(&p.uid));
        assert!(!cache.remove_pod(&p.uid));
        assert_eq!(node(&cache, "b").requested.milli_cpu, 0);
        assert!(node(&cache, "b").groups.is_empty());
    }

    #[test]
    fn a_resized_pod_is_counted_once() {
        let (mut cache, a) = (Cache::default(), Arc::from("a"));
        cache.see(pod("p", "100m"), &a);
        cache.see(pod("p", "300m"), &a);
        assert_eq!(node(&cache, "a").requested.milli_cpu, 300);
        assert_eq!(node(&cache, "a").pods, 1);
    }

    #[test]
    fn a_node_without_object_lives_as_long_as_its_pods() {
        let (mut cache, a, b) = (Cache::default(), Arc::from("a"), Arc::from("b"));
        cache.see(pod("p", "1"), &a);
        cache.set_node(&b, Offer::default());
        assert!(cache.node("a").unwrap().offer.is_none());
        cache.set_node(&a, Offer::default());
        cache.remove_node("a");
        assert_eq!(node(&cache, "a").pods, 1);
        let p = pod("p", "1");
        cache.remove_pod(&p.uid);
        assert!(cache.node("a").is_none());
        assert_eq!(cache.position("b"), Some(0), "the index follows the move");
    }
}
