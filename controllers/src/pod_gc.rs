//! Removes pods nobody else will remove.
//!
//! Three kinds: pods on a node that does not exist any more (no agent will ever report their end),
//! pods that were deleted before they had a node, and the oldest finished pods once there are more
//! than [`crate::Config::finished_pods`]. The decision is [`plan::plan`]; before a pod is removed
//! because of its node, the API server is asked whether the node is really gone.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Client, ResourceExt};

use self::plan::Reason;
use crate::informer::{Cache, Index, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const NAME: &str = "pod-garbage-collector-controller";

/// Changes within this time are looked at together.
const GATHER: Duration = Duration::from_secs(1);
/// Everything is looked at again this often.
const RESYNC: Duration = Duration::from_secs(300);

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct PodGc {
    client: Client,
    /// Pods by what they may be removed for: see [`reasons`].
    pods: Index<Pod>,
    nodes: Cache<Node>,
    threshold: usize,
    queue: Arc<WorkQueue<Key>>,
}

impl PodGc {
    /// Hooks into the informers; the queue is to be served by one worker with
    /// [`PodGc::reconcile`].
    pub(crate) fn new(
        client: Client,
        threshold: usize,
        pods: &mut Informer<Pod>,
        nodes: &mut Informer<Node>,
    ) -> Self {
        let this = Self {
            client,
            pods: pods.index(reasons),
            nodes: nodes.cache(),
            threshold,
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        nodes.on_change(move |_, now| {
            if now.is_none() {
                queue.add_after(everything(), GATHER);
            }
        });
        let watching = this.clone();
        pods.on_change(move |_, now| {
            let Some(pod) = now else { return };
            let lost = match pods::node_name(pod) {
                Some(node) => !watching.nodes.has(&Key::new("", node)),
                None => pods::is_terminating(pod),
            };
            if lost || pods::is_finished(pod) {
                watching.queue.add_after(everything(), GATHER);
            }
        });
        this.queue.add(everything());
        this
    }

    /// The queue; it has one key, for all pods.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// The pods that there may be a reason to remove.
    fn suspects(&self) -> Vec<Arc<Pod>> {
        let mut values = vec![UNPLACED.to_owned()];
        values.extend(self.pods.values().into_iter().filter(|value| {
            let node = value.strip_prefix(NODE);
            node.is_some_and(|node| !self.nodes.has(&Key::new("", node)))
        }));
        if self.pods.count(FINISHED) > self.threshold {
            values.push(FINISHED.to_owned());
        }
        let keyed = values.iter().flat_map(|value| self.pods.get(value));
        let pods: BTreeMap<Key, Arc<Pod>> = keyed.map(|pod| (Key::of(&*pod), pod)).collect();
        pods.into_values().collect()
    }

    /// Looks at all pods.
    pub(crate) async fn reconcile(self, _: Key) -> Result<Next, ReconcileError> {
        let pods = self.suspects();
        let known = |node: &str| self.nodes.has(&Key::new("", node));
        let nodes: Api<Node> = Api::all(self.client.clone());
        for (pod, reason) in plan::plan(&pods, known, self.threshold) {
            if let Reason::NodeGone(node) = &reason {
                let live = request("get", format!("node {node}"), nodes.get_opt(node)).await?;
                if live.is_some() {
                    continue;
                }
            }
            let api: Api<Pod> =
                Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            let params = DeleteParams::default()
                .grace_period(0)
                .preconditions(Preconditions { uid: pod.uid(), resource_version: None });
            let name = pod.name_any();
            tracing::info!(pod = %Key::of(&*pod), ?reason, "removing pod");
            let deleted = request("delete", Key::of(&*pod), api.delete(&name, &params)).await;
            match unless_gone(deleted) {
                // Another pod has the name by now.
                Err(error) if error.code() == Some(409) => {}
                other => drop(other?),
            }
        }
        Ok(Next::After(RESYNC))
    }
}

const NODE: &str = "node/";
const UNPLACED: &str = "unplaced";
const FINISHED: &str = "finished";

/// What may be the reason to remove a pod: its node, that it has none, that it has ended.
fn reasons(pod: &Pod) -> Vec<String> {
    let mut reasons = Vec::new();
    match pods::node_name(pod) {
        Some(node) => reasons.push(format!("{NODE}{node}")),
        None if pods::is_terminating(pod) => reasons.push(UNPLACED.to_owned()),
        None => {}
    }
    if pods::is_finished(pod) {
        reasons.push(FINISHED.to_owned());
    }
    reasons
}

/// The one key.
fn everything() -> Key {
    Key::new("", "pods")
}
