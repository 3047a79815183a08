//! Node IPAM: every node gets a range of pod addresses of its own, out of the cluster's.
//!
//! A node that registers without `spec.podCIDR` gets the next free range; one that comes with a range
//! keeps it. Ranges of nodes that are gone are given again, the longest unused first ([`plan`]).
//!
//! Source: k8s.io/kubernetes/pkg/controller/nodeipam (the range allocator).

mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use self::plan::Ranges;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs, and the `source.component` of its events.
pub(crate) const NAME: &str = "cidrAllocator";
/// A node for which no range was left is looked at again after this.
const EXHAUSTED: Duration = Duration::from_secs(30);

/// From which nodes get their pod addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRanges {
    /// The addresses of all pods.
    pub cluster: Ipv4Net,
    /// Prefix length of a node's range; 24 is Kubernetes' default. At least that of `cluster`, at most
    /// 30: a range has a network, a gateway and a broadcast address.
    pub node_prefix: u8,
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct NodeIpam {
    client: Client,
    nodes: Cache<Node>,
    ranges: Arc<Mutex<Ranges>>,
    /// Nodes for which there was no range; each is told of once in the log, and always by an event.
    without: Arc<Mutex<BTreeSet<String>>>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl NodeIpam {
    /// Hooks into the informer; the queue is to be served by one worker with
    /// [`NodeIpam::reconcile`].
    pub(crate) fn new(
        client: Client,
        ranges: NodeRanges,
        nodes: &mut Informer<Node>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            nodes: nodes.cache(),
            ranges: Arc::new(Mutex::new(Ranges::new(ranges))),
            without: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, ranges) = (this.queue.clone(), this.ranges.clone());
        let without = this.without.clone();
        // What nodes have is noted before the first list is complete, so that none is given twice.
        nodes.on_change(move |before, now| match (before, now) {
            (_, Some(node)) => match range_of(node) {
                Some(range) => ranges.lock().keep(&node.name_any(), range),
                None => queue.add(Key::of(&**node)),
            },
            (Some(node), None) => {
                ranges.lock().forget(&node.name_any());
                without.lock().remove(&node.name_any());
            }
            (None, None) => {}
        });
        this
    }

    /// The queue of nodes without a range.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Gives one node a range.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let node = self.nodes.get(&key).filter(|node| range_of(node).is_none());
        let Some(node) = node else { return Ok(Next::OnChange) };
        let Some(range) = self.ranges.lock().give(&key.name) else {
            if self.without.lock().insert(key.name.clone()) {
                tracing::warn!(node = key.name, "no range of pod addresses is left for the node");
            }
            let message = format!("Node {} status is now: CIDRNotAvailable", key.name);
            self.recorder.normal(Subject::of(&*node), "CIDRNotAvailable", message);
            return Ok(Next::After(EXHAUSTED));
        };
        let api: Api<Node> = Api::all(self.client.clone());
        let text = range.to_string();
        // Of this node, and not of another of its name: that one gets a range of its own.
        let patch = Patch::Merge(json!({"metadata": {"uid": node.uid()},
            "spec": {"podCIDR": text, "podCIDRs": [text]}}));
        let params = PatchParams::default();
        let patched = api.patch(&key.name, &params, &patch);
        let subject = format!("pod addresses of node {key}");
        unless_gone(request("set", subject, patched).await)?;
        self.without.lock().remove(&key.name);
        tracing::info!(node = key.name, %range, "the node has a range of pod addresses");
        Ok(Next::OnChange)
    }
}

/// The range that a node has.
fn range_of(node: &Node) -> Option<Ipv4Net> {
    node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()
}
