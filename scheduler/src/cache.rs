//! The nodes with what is left on them, and the pods that take it.
//!
//! A pod enters on one of two ways: *assumed*, at the moment the scheduler decided, or *seen*, when
//! the watch shows it bound. The watch always wins: an assumed pod seen on another node moves, one
//! whose binding failed is forgotten. A node that is gone keeps its entry while pods on it are
//! known, so that their sums are right if it comes back.

use std::collections::HashMap;
use std::sync::Arc;

use crate::node::{NodeInfo, Offer};
use crate::pod::{PodInfo, PodUid};

#[derive(Debug)]
struct Placed {
    pod: Arc<PodInfo>,
    node: Arc<str>,
    assumed: bool,
}

/// Nodes and placed pods. Owned by the scheduling task alone.
#[derive(Debug, Default)]
pub struct Cache {
    nodes: Vec<NodeInfo>,
    by_name: HashMap<Arc<str>, usize>,
    pods: HashMap<PodUid, Placed>,
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
        self.entry(name).offer.replace(offer)
    }

    /// The Node object is gone.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(at) = self.by_name.get(name).copied() {
            self.nodes[at].offer = None;
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
            self.drop_if_empty(&placed.node);
        }
        true
    }

    /// Uids of all pods on nodes, assumed ones included.
    pub fn pods(&self) -> impl Iterator<Item = &PodUid> {
        self.pods.keys()
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: &Arc<str>, assumed: bool) {
        self.remove_pod(&pod.uid);
        self.entry(node).add(&pod);
        self.pods.insert(pod.uid.clone(), Placed { pod, node: node.clone(), assumed });
    }

    fn entry(&mut self, name: &Arc<str>) -> &mut NodeInfo {
        let at = *self.by_name.entry(name.clone()).or_insert_with(|| {
            self.nodes.push(NodeInfo::new(name.clone()));
            self.nodes.len() - 1
        });
        &mut self.nodes[at]
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
