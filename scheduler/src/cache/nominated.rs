//! Pods for which room was made on a node, until they are placed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pod::{PodInfo, PodUid};

/// Nominations, by pod and by node.
#[derive(Debug, Default)]
pub(super) struct Nominated {
    nodes: HashMap<PodUid, Arc<str>>,
    pods: HashMap<Arc<str>, Vec<Arc<PodInfo>>>,
}

impl Nominated {
    /// Keeps room for a pod, and for it on no other node.
    pub(super) fn insert(&mut self, pod: Arc<PodInfo>, node: &Arc<str>) {
        self.remove(&pod.uid);
        self.nodes.insert(pod.uid.clone(), node.clone());
        self.pods.entry(node.clone()).or_default().push(pod);
    }

    /// Gives the node where there was a nomination.
    pub(super) fn remove(&mut self, uid: &PodUid) -> Option<Arc<str>> {
        let node = self.nodes.remove(uid)?;
        if let Some(pods) = self.pods.get_mut(&node) {
            pods.retain(|pod| pod.uid != *uid);
            if pods.is_empty() {
                self.pods.remove(&node);
            }
        }
        Some(node)
    }

    /// Where a pod is nominated to.
    pub(super) fn node(&self, uid: &PodUid) -> Option<&Arc<str>> {
        self.nodes.get(uid)
    }

    /// Who is nominated to a node.
    pub(super) fn on(&self, node: &str) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.pods.get(node).into_iter().flatten()
    }
}
