//! Node lifecycle: what becomes of a node that falls silent, and of its pods.
//!
//! A node's agent renews its Lease every few seconds and posts its conditions when they change.
//! When neither has been seen for [`crate::Config::node_grace`], by this controller's own clock (the
//! node's clock may be off), its conditions become Unknown. Conditions become taints: `NoSchedule` ones keep new pods
//! away, the `NoExecute` ones `not-ready` and `unreachable` evict pods once their
//! `tolerationSeconds` are over. Pods on a node that is not ready are marked not ready, so that no
//! Service sends them traffic.
//!
//! Everything is undone when the node is heard from again, except evictions.
//!
//! Source: <https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller> and
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>.

mod eviction;
mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use client::Clock;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use self::eviction::Eviction;
pub(crate) use self::eviction::tolerates;
use self::plan::Signs;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Index, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "node-controller";
/// Where the agents keep their Leases.
pub(crate) const LEASES: &str = "kube-node-lease";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct NodeLifecycle {
    client: Client,
    clock: Clock,
    nodes: Cache<Node>,
    leases: Cache<Lease>,
    /// Pods that have not ended, by node.
    pods: Index<Pod>,
    grace: Duration,
    heard: Arc<Mutex<HashMap<String, (Signs, Instant)>>>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl NodeLifecycle {
    /// Hooks into the informers; the queue is to be served with [`NodeLifecycle::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        grace: Duration,
        nodes: &mut Informer<Node>,
        leases: &mut Informer<Lease>,
        pods: &mut Informer<Pod>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            clock,
            nodes: nodes.cache(),
            leases: leases.cache(),
            pods: pods.index(|pod| {
                let on = pods::node_name(pod).filter(|_| !pods::is_finished(pod));
                on.map(str::to_owned).into_iter().collect()
            }),
            grace,
            heard: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, heard) = (this.queue.clone(), this.heard.clone());
        nodes.on_key(move |key, gone| {
            if gone {
                heard.lock().remove(&key.name);
            }
            queue.add(key);
        });
        let queue = this.queue.clone();
        leases.on_key(move |lease, _| queue.add(Key::new("", lease.name)));
        // By name: every pod that is placed asks, and a Node is much to parse for that.
        let evicting = nodes.index(|node| {
            plan::evicts(node).then(|| node.name_any()).into_iter().collect::<Vec<_>>()
        });
        let queue = this.queue.clone();
        pods.on_change(move |before, now| {
            let Some(pod) = now else { return };
            let Some(name) = pods::node_name(pod) else { return };
            let placed = before.and_then(|pod| pods::node_name(pod)).is_none();
            let key = Key::new("", name);
            // A pod that comes to an evicting node (it may have been bound before the taint).
            if placed && evicting.count(name) > 0 {
                queue.add(key);
            }
        });
        this
    }

    /// The queue of nodes to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Looks at one node and its pods.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(node) = self.nodes.get(&key) else { return Ok(Next::OnChange) };
        let lease = self.leases.get(&Key::new(LEASES, &key.name));
        let silent = self.silence(&key.name, Signs::of(&node, lease.as_deref()));
        let now = self.clock.now();
        let mut again = plan::next_look(self.grace, silent);

        let mut current = (*node).clone();
        if silent >= self.grace
            && let Some(conditions) = plan::unknown_conditions(&current, now)
        {
            tracing::warn!(node = key.name, ?silent, "node is not heard from");
            current.status.get_or_insert_default().conditions = Some(conditions);
            let api: Api<Node> = Api::all(self.client.clone());
            let params = PostParams::default();
            let replaced = api.replace_status(&key.name, &params, &current);
            let subject = format!("node {key}");
            let Some(written) = unless_gone(request("update status of", subject, replaced).await)?
            else {
                return Ok(Next::OnChange);
            };
            let message = format!("Node {} status is now: NodeNotReady", key.name);
            self.recorder.normal(Subject::of(&current), "NodeNotReady", message);
            current = written;
        }
        if let Some(taints) = plan::taints(&current, now) {
            current.spec.get_or_insert_default().taints = Some(taints).filter(|t| !t.is_empty());
            let api: Api<Node> = Api::all(self.client.clone());
            let params = PostParams::default();
            let replaced = api.replace(&key.name, &params, &current);
            let subject = format!("taints of node {key}");
            let Some(written) = unless_gone(request("update", subject, replaced).await)? else {
                return Ok(Next::OnChange);
            };
            current = written;
        }
        let not_ready = plan::is_not_ready(&current);
        if not_ready || plan::evicts(&current) {
            for pod in self.pods.get(&key.name) {
                if not_ready {
                    self.mark_not_ready(&pod).await?;
                }
                match eviction::of(&pod, &current, now) {
                    Eviction::None => {}
                    Eviction::Now => self.evict(&pod).await?,
                    Eviction::After(wait) => again = again.min(wait),
                }
            }
        }
        Ok(Next::After(again))
    }

    /// For how long nothing new has been seen of the node.
    fn silence(&self, node: &str, signs: Signs) -> Duration {
        let mut heard = self.heard.lock();
        match heard.get_mut(node) {
            Some((last, since)) if *last == signs => since.elapsed(),
            _ => {
                heard.insert(node.to_owned(), (signs, Instant::now()));
                Duration::ZERO
            }
        }
    }

    async fn mark_not_ready(&self, pod: &Arc<Pod>) -> Result<(), ReconcileError> {
        if !pods::is_ready(pod) {
            return Ok(());
        }
        let api: Api<Pod> =
            Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let condition = json!({"type": "Ready", "status": "False",
            "lastTransitionTime": Time(self.clock.now())});
        let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid()},
            "status": {"conditions": [condition]}}));
        let (name, params) = (pod.name_any(), PatchParams::default());
        let patched = api.patch_status(&name, &params, &patch);
        unless_gone(request("patch status of", Key::of(&**pod), patched).await)?;
        let message = "Node is not ready".to_owned();
        self.recorder.warning(Subject::of(&**pod), "NodeNotReady", message);
        Ok(())
    }

    async fn evict(&self, pod: &Arc<Pod>) -> Result<(), ReconcileError> {
        if pods::is_terminating(pod) {
            return Ok(());
        }
        let key = Key::of(&**pod);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = DeleteParams::default()
            .preconditions(Preconditions { uid: pod.uid(), resource_version: None });
        unless_gone(request("delete", &key, api.delete(&key.name, &params)).await)?;
        let message = format!("Marking for deletion Pod {key}");
        self.recorder.normal(Subject::of(&**pod), "TaintManagerEviction", message);
        Ok(())
    }
}
