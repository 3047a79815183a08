//! Removes pods nobody else will remove.
//!
//! Four kinds: pods on a node that does not exist any more (no agent will ever report their end),
//! pods on their way out from a node that somebody has declared out of service, pods that were
//! deleted before they had a node, and the oldest finished pods once there are more than
//! [`crate::Config::finished_pods`]. The decision is [`plan::plan`].
//!
//! A node that is missing is in quarantine for [`crate::Config::node_quarantine`]: it may be registered
//! anew. Then the API server is asked whether it is really gone.
//!
//! Whoever waits for a pod's end, as a Job does, has to see one: a pod is said to have failed before it
//! is deleted.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection>
//! and <https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown>.

mod plan;
mod quarantine;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use client::Clock;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use self::plan::{Place, Reason};
use self::quarantine::Quarantine;
use crate::disrupted;
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
    clock: Clock,
    /// Pods by what they may be removed for: see [`reasons`].
    pods: Index<Pod>,
    nodes: Cache<Node>,
    /// Nodes out of service, by name.
    lost: Index<Node>,
    threshold: usize,
    quarantine: Arc<Mutex<Quarantine>>,
    queue: Arc<WorkQueue<Key>>,
}

impl PodGc {
    /// Hooks into the informers; the queue is to be served by one worker with
    /// [`PodGc::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        (threshold, quarantine): (usize, Duration),
        pods: &mut Informer<Pod>,
        nodes: &mut Informer<Node>,
    ) -> Self {
        let this = Self {
            client,
            clock,
            pods: pods.index(reasons),
            nodes: nodes.cache(),
            lost: nodes.index(|node| {
                plan::is_out_of_service(node).then(|| node.name_any()).into_iter().collect()
            }),
            threshold,
            quarantine: Arc::new(Mutex::new(Quarantine::new(quarantine))),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        nodes.on_change(move |_, now| {
            if now.is_none_or(|node| plan::is_out_of_service(node)) {
                queue.add_after(everything(), GATHER);
            }
        });
        let watching = this.clone();
        pods.on_change(move |_, now| {
            let Some(pod) = now else { return };
            let lost = match pods::node_name(pod).map(|node| watching.place(node)) {
                Some(Place::There) => false,
                Some(Place::Gone) => true,
                Some(Place::OutOfService) | None => pods::is_terminating(pod),
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

    /// What the caches know of a node.
    fn place(&self, node: &str) -> Place {
        if !self.nodes.has(&Key::new("", node)) {
            Place::Gone
        } else if self.lost.count(node) > 0 {
            Place::OutOfService
        } else {
            Place::There
        }
    }

    /// The pods that there may be a reason to remove.
    fn suspects(&self) -> Vec<Arc<Pod>> {
        let mut values = vec![UNPLACED.to_owned()];
        values.extend(self.pods.values().into_iter().filter(|value| {
            let node = value.strip_prefix(NODE);
            node.is_some_and(|node| self.place(node) != Place::There)
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
        let removals = plan::plan(&self.suspects(), |node| self.place(node), self.threshold);
        let missing = removals.iter().filter_map(|(_, reason)| reason.missing_node());
        let missing: BTreeSet<String> = missing.map(str::to_owned).collect();
        let (over, wait) = self.quarantine.lock().look(&missing, Instant::now());
        let gone = self.really_gone(over).await?;
        let mut failed = None;
        for (pod, reason) in removals {
            if reason.missing_node().is_some_and(|node| !gone.contains(node)) {
                continue;
            }
            tracing::info!(pod = %Key::of(&*pod), ?reason, "removing pod");
            match self.remove(&pod, &reason).await {
                // Another pod has the name by now.
                Err(error) if error.code() == Some(409) => {}
                Err(error) => failed = Some(error),
                Ok(()) => {}
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for node in gone {
            self.quarantine.lock().release(&node);
        }
        Ok(Next::After(wait.map_or(RESYNC, |wait| wait.min(RESYNC))))
    }

    /// Those of the nodes that the API server does not know either. The others leave quarantine.
    async fn really_gone(&self, nodes: Vec<String>) -> Result<BTreeSet<String>, ReconcileError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let mut gone = BTreeSet::new();
        for node in nodes {
            if request("get", format!("node {node}"), api.get_opt(&node)).await?.is_some() {
                self.quarantine.lock().release(&node);
            } else {
                gone.insert(node);
            }
        }
        Ok(gone)
    }

    /// Says that a pod has failed, if it has not ended, and deletes it.
    async fn remove(&self, pod: &Pod, reason: &Reason) -> Result<(), ReconcileError> {
        let key = Key::of(pod);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        if !pods::is_finished(pod) {
            let mut status = json!({"phase": "Failed"});
            let told = reason.message().and_then(|message| {
                disrupted::condition(pod, "DeletionByPodGC", message, self.clock.now())
            });
            if let Some(condition) = told {
                status["conditions"] = json!([condition]);
            }
            let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
            let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
            let patched = api.patch_status(&key.name, &params, &patch);
            let patched = request("patch status of", &key, patched).await;
            if unless_gone(patched)?.is_none() {
                return Ok(());
            }
        }
        let params = DeleteParams::default()
            .grace_period(0)
            .preconditions(Preconditions { uid: pod.uid(), resource_version: None });
        unless_gone(request("delete", &key, api.delete(&key.name, &params)).await).map(drop)
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
