//! Node lifecycle: what becomes of a node that falls silent, and of its pods.
//!
//! A node's agent renews its Lease every few seconds and posts its conditions when they change.
//! When neither has been seen for [`crate::Config::node_grace`], by this controller's own clock (the
//! node's clock may be off), its conditions become Unknown. Conditions become taints: `NoSchedule` ones keep new pods
//! away, the `NoExecute` ones `not-ready` and `unreachable` evict pods once their
//! `tolerationSeconds` are over. Pods on a node that is not ready are marked not ready, so that no
//! Service sends them traffic.
//!
//! Nodes get the taints that evict one after the other, and none while no node of the cluster is ready:
//! see [`zones`]. Everything is undone when the node is heard from again, except evictions.
//!
//! | file | what |
//! |---|---|
//! | `plan.rs` | a node's conditions and taints |
//! | `zones.rs` | how many nodes may be emptied |
//! | `eviction.rs`, `taint_eviction.rs` | which pods have to go, and their end |
//!
//! Source: <https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller> and
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>.

mod eviction;
mod plan;
mod taint_eviction;
mod zones;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use client::Clock;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

pub(crate) use self::eviction::tolerates;
use self::plan::{Execution, Signs};
use self::taint_eviction::TaintEviction;
pub use self::zones::EvictionRates;
use self::zones::{Admission, Shift, Zones};
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
    zones: Arc<Mutex<Zones>>,
    eviction: TaintEviction,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl NodeLifecycle {
    /// Hooks into the informers; the queue is to be served with [`NodeLifecycle::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        (grace, rates): (Duration, EvictionRates),
        nodes: &mut Informer<Node>,
        leases: &mut Informer<Lease>,
        pods: &mut Informer<Pod>,
        recorder: &Recorder,
    ) -> Self {
        let recorder = recorder.named(NAME);
        let this = Self {
            eviction: TaintEviction::new(client.clone(), clock, &recorder),
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
            zones: Arc::new(Mutex::new(Zones::new(rates))),
            recorder,
            queue: Arc::new(WorkQueue::new()),
        };
        let noticing = this.clone();
        nodes.on_change(move |before, now| noticing.notice(before, now));
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
            if evicting.count(name) == 0 {
                return;
            }
            let tolerations = |pod: &Arc<Pod>| pod.spec.as_ref().map(|it| it.tolerations.clone());
            let placed = before.and_then(|pod| pods::node_name(pod)).is_none();
            // A pod that comes to an evicting node (it may have been bound before the taint), or
            // tolerates something else now.
            if placed || before.and_then(tolerations) != tolerations(pod) {
                queue.add(Key::new("", name));
            }
        });
        this
    }

    /// The queue of nodes to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// What is kept about a node, and told of it, when it comes, changes or goes.
    fn notice(&self, before: Option<&Arc<Node>>, now: Option<&Arc<Node>>) {
        let Some(node) = now.or(before) else { return };
        let key = Key::of(&**node);
        if now.is_none() {
            self.heard.lock().remove(&key.name);
            self.zones.lock().forget(&key.name);
            self.eviction.forget(&key.name);
        } else {
            self.zones.lock().observe(node, Instant::now());
        }
        let told = match (before, now) {
            (None, _) => Some(("RegisteredNode", "Registered", "in")),
            (_, None) => Some(("RemovingNode", "Removing", "from")),
            _ => None,
        };
        if let Some((reason, done, whither)) = told {
            let name = &key.name;
            let message = format!("Node {name} event: {done} Node {name} {whither} Controller");
            self.recorder.normal(Subject::of(&**node), reason, message);
        }
        self.queue.add(key);
    }

    /// Looks at one node and its pods.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(node) = self.nodes.get(&key) else { return Ok(Next::OnChange) };
        self.judge_zones();
        let lease = self.leases.get(&Key::new(LEASES, &key.name));
        let silent = self.silence(&key.name, Signs::of(&node, lease.as_deref()));
        let (now, grace) = (self.clock.now(), plan::grace(&node, self.grace));
        let mut again = plan::next_look(grace, silent);

        let mut current = (*node).clone();
        if silent >= grace
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
            if plan::is_ready(&node) {
                let message = format!("Node {} status is now: NodeNotReady", key.name);
                self.recorder.normal(Subject::of(&current), "NodeNotReady", message);
            }
            current = written;
        }
        let executes = match plan::execution(&current, self.grace, now) {
            Execution::None => {
                self.zones.lock().withdraw(&key.name);
                false
            }
            Execution::Goes => {
                let mut zones = self.zones.lock();
                zones.withdraw(&key.name);
                !zones.lost()
            }
            Execution::Asks => self.may_empty(&key.name, &mut again),
            Execution::Waits(left) => {
                again = again.min(left);
                false
            }
        };
        if let Some(taints) = plan::taints(&current, executes, now) {
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
        if not_ready || self.eviction.concerns(&current) {
            let pods = self.pods.get(&key.name);
            if not_ready {
                for pod in &pods {
                    self.mark_not_ready(pod).await?;
                }
            }
            let next = self.eviction.look_at(&current, &pods).await?;
            again = next.map_or(again, |next| next.min(again));
        }
        Ok(Next::After(again))
    }

    /// Looks whether zones have been lost or have come back.
    fn judge_zones(&self) {
        let now = Instant::now();
        let shift = self.zones.lock().judge(now);
        let again = match shift {
            Shift::Within(nodes) => nodes,
            Shift::Lost(nodes) => {
                tracing::info!(nodes = nodes.len(), "no node is ready, pods are not evicted");
                nodes
            }
            Shift::Back(nodes) => {
                tracing::info!(nodes = nodes.len(), "some node is ready again");
                // As long as nobody was heard, silence says nothing about a node.
                for (_, since) in self.heard.lock().values_mut() {
                    *since = now;
                }
                nodes
            }
        };
        for node in again {
            self.queue.add(Key::new("", node));
        }
    }

    /// Whether a node may have the taint that evicts now. If not, it asks `again`.
    fn may_empty(&self, node: &str, again: &mut Duration) -> bool {
        match self.zones.lock().admit(node, Instant::now()) {
            Admission::Now => true,
            Admission::After(wait) => {
                *again = wait.min(*again);
                false
            }
            Admission::Never => false,
        }
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
}
