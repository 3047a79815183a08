//! Tells every node how long its agent may keep Secrets and ConfigMaps without asking again: not at
//! all in a small cluster, longer the larger it is. The annotation is what agents read.
//!
//! Source: k8s.io/kubernetes/pkg/controller/ttl.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const NAME: &str = "ttl-controller";

/// The annotation: seconds.
const TTL: &str = "node.alpha.kubernetes.io/ttl";

/// Sizes of a cluster, from and to so many nodes, and the seconds for them. They overlap, so that a
/// cluster that grows and shrinks around a limit does not change all its nodes each time.
const STEPS: [(usize, usize, u32); 5] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, usize::MAX, 300)];

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct NodeTtl {
    client: Client,
    nodes: Cache<Node>,
    step: Arc<AtomicUsize>,
    queue: Arc<WorkQueue<Key>>,
}

impl NodeTtl {
    /// Hooks into the informer; the queue is to be served by one worker with
    /// [`NodeTtl::reconcile`].
    pub(crate) fn new(client: Client, nodes: &mut Informer<Node>) -> Self {
        let this = Self {
            client,
            nodes: nodes.cache(),
            step: Arc::default(),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        nodes.on_change(move |before, now| {
            let annotation =
                |node: Option<&Arc<Node>>| node.map(|node| node.annotations().get(TTL).cloned());
            if let (Some(node), true) = (now.or(before), annotation(before) != annotation(now)) {
                queue.add(Key::of(&**node));
            }
        });
        this
    }

    /// The queue of nodes to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Annotates one node, or all when the cluster has become much larger or smaller.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let before = self.step.load(Ordering::Relaxed);
        let step = step(before, self.nodes.len());
        if step != before {
            self.step.store(step, Ordering::Relaxed);
            self.nodes.keys().into_iter().for_each(|node| self.queue.add(node));
        }
        let Some(node) = self.nodes.get(&key) else { return Ok(Next::OnChange) };
        let seconds = STEPS.get(step).map_or(0, |(_, _, seconds)| *seconds).to_string();
        if node.annotations().get(TTL) != Some(&seconds) {
            let api: Api<Node> = Api::all(self.client.clone());
            let patch = Patch::Merge(json!({"metadata": {"annotations": {TTL: seconds}}}));
            let params = PatchParams::default();
            let patched = api.patch(&key.name, &params, &patch);
            unless_gone(request("annotate node", &key, patched).await)?;
        }
        Ok(Next::OnChange)
    }
}

/// The step of a cluster that was at `before` and has so many nodes.
fn step(before: usize, nodes: usize) -> usize {
    let mut step = before;
    while STEPS.get(step).is_some_and(|(_, most, _)| nodes > *most) {
        step += 1;
    }
    while STEPS.get(step).is_some_and(|(least, ..)| nodes < *least) {
        step = step.saturating_sub(1);
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_clusters_wait_longer() {
        for (before, nodes, after) in
            [(0, 1, 0), (0, 100, 0), (0, 101, 1), (1, 95, 1), (1, 89, 0), (0, 5000, 4), (4, 10, 0)]
        {
            assert_eq!(step(before, nodes), after, "{nodes} nodes after step {before}");
        }
    }
}
