//! The scheduling task: owns cache and queue, hears the watches, decides, hands bindings out.
//!
//! States of a pod here, and what leads out of them:
//! - *waiting* in the queue → popped when active and a binding slot is free;
//! - *assumed* on a node: the binding is under way → seen bound (the watch), or its binding failed:
//!   forgotten and back in the queue with back-off;
//! - *refused*: condition and event written, waiting for a change that helps.
//!
//! A restart loses nothing: everything is read again from the API, and an assumption that was never
//! bound was never there.

use std::collections::HashSet;
use std::sync::Arc;

use kube::Client;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::Config;
use crate::affinity::Labels;
use crate::bind::{self, BindError};
use crate::cache::Cache;
use crate::decide::{Rotation, decide};
use crate::diagnosis::Diagnosis;
use crate::events::Recorder;
use crate::framework::{Change, Framework};
use crate::node::Offer;
use crate::pod::{PodInfo, PodUid};
use crate::preemption::Budgets;
use crate::queue::Queue;
use crate::volumes::{self, Chosen};
use crate::watch::{self, Heard};

mod preempt;

const HEARD: usize = 1024;

/// How a binding ended.
struct Bound {
    pod: Arc<PodInfo>,
    outcome: Result<(), BindError>,
}

/// Which lists have been heard.
#[derive(Debug, Default, Clone, Copy)]
struct Listed {
    pods: bool,
    nodes: bool,
    namespaces: bool,
    budgets: bool,
}

struct Cycle {
    config: Config,
    client: Client,
    framework: Framework,
    cache: Cache,
    budgets: Budgets,
    queue: Queue,
    rotation: Rotation,
    recorder: Recorder,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    slots: Arc<Semaphore>,
    bound: mpsc::Sender<Bound>,
    /// Nothing is decided before all lists have been heard: a node that is not known yet must not
    /// make a pod wait, and a pod that is not known yet must not be ignored in the sums.
    listed: Listed,
}

pub(crate) async fn run(config: Config, client: Client, shutdown: CancellationToken) {
    let tracker = TaskTracker::new();
    let (heard_tx, mut heard) = mpsc::channel(HEARD);
    watch::start(&client, &tracker, &shutdown, &heard_tx);
    drop(heard_tx);
    let (bound_tx, mut bound) = mpsc::channel(config.parallel_binds);
    let drain = config.drain;
    let mut cycle = Cycle {
        recorder: Recorder::start(client.clone(), config.scheduler_name.clone(), &tracker),
        framework: Framework::default(),
        cache: Cache::default(),
        budgets: Budgets::default(),
        queue: Queue::new(config.unschedulable_timeout),
        rotation: Rotation::new(u64::from(std::process::id())),
        slots: Arc::new(Semaphore::new(config.parallel_binds)),
        tracker: tracker.clone(),
        shutdown: shutdown.clone(),
        bound: bound_tx,
        listed: Listed::default(),
        client,
        config,
    };
    info!(scheduler = cycle.config.scheduler_name, "scheduler started");
    loop {
        let next_tick = cycle.queue.next_tick();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            message = heard.recv() => match message {
                Some(message) => cycle.hear(message),
                None => break,
            },
            Some(ended) = bound.recv() => cycle.end(ended),
            () = sleep_until(next_tick.unwrap_or_else(Instant::now)), if next_tick.is_some() => {
                cycle.queue.tick(Instant::now());
            }
            // Waiting for a permit is cancel-safe; what it is for is chosen afterwards.
            permit = cycle.slots.clone().acquire_owned(), if cycle.is_ready() => {
                let Ok(permit) = permit else { break };
                cycle.schedule_one(permit);
            }
        }
    }
    // Bindings under way go on: the decision stands. The recorder goes with the cycle, which ends
    // the event task once it has written what it holds.
    heard.close();
    drop(cycle);
    tracker.close();
    if timeout(drain, async { while bound.recv().await.is_some() {} }).await.is_err()
        || timeout(drain, tracker.wait()).await.is_err()
    {
        warn!(tasks = tracker.len(), "scheduler stopped with requests under way");
    }
    info!("scheduler stopped");
}

impl Cycle {
    fn is_ready(&self) -> bool {
        let Listed { pods, nodes, namespaces, budgets } = self.listed;
        pods && nodes && namespaces && budgets && self.queue.is_ready()
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Pod(pod) => self.pod(pod),
            Heard::PodGone(uid) => self.pod_gone(&uid),
            Heard::Pods(pods) => {
                for uid in lost(&self.cache, &self.queue, &pods) {
                    self.pod_gone(&uid);
                }
                for pod in pods {
                    self.pod(pod);
                }
                self.listed.pods = true;
            }
            Heard::Node(name, offer) => self.node(&name, *offer),
            Heard::NodeGone(name) => {
                self.cache.remove_node(&name);
                self.wake(Change::NodeRemoved);
            }
            Heard::Nodes(nodes) => {
                let lost: Vec<Arc<str>> = self
                    .cache
                    .node_names()
                    .filter(|name| !nodes.iter().any(|(known, _)| known == *name))
                    .cloned()
                    .collect();
                for name in lost {
                    self.cache.remove_node(&name);
                }
                for (name, offer) in nodes {
                    self.node(&name, offer);
                }
                self.listed.nodes = true;
            }
            Heard::Budget(uid, budget) => drop(self.budgets.0.insert(uid, *budget)),
            Heard::BudgetGone(uid) => drop(self.budgets.0.remove(&uid)),
            Heard::Budgets(all) => {
                self.budgets = Budgets(all.into_iter().collect());
                self.listed.budgets = true;
            }
            Heard::Namespace(name, labels) => {
                if self.cache.set_namespace(name, labels) {
                    self.wake(Change::NamespaceLabels);
                }
            }
            Heard::NamespaceGone(name) => self.cache.remove_namespace(&name),
            Heard::Namespaces(all) => {
                self.cache.set_namespaces(all.into_iter().collect());
                self.listed.namespaces = true;
                self.wake(Change::NamespaceLabels);
            }
        }
    }

    fn pod(&mut self, pod: Arc<PodInfo>) {
        if pod.finished {
            return self.pod_gone(&pod.uid);
        }
        if let Some(node) = pod.node_name.clone() {
            self.queue.remove(&pod.uid);
            let new = (!self.cache.holds(&pod.uid)).then(|| pod.beside());
            self.cache.see(pod, &node);
            if let Some(beside) = new {
                self.wake_beside(&beside);
            }
            return;
        }
        let ours = pod.scheduler_name == self.config.scheduler_name;
        if !ours || pod.deleting || !pod.demands.gates.is_empty() {
            self.queue.remove(&pod.uid);
            self.cache.withdraw(&pod.uid);
        } else if !self.cache.is_assumed(&pod.uid) {
            if let Some(node) = pod.nominated.clone()
                && !self.queue.contains(&pod.uid)
            {
                // Room that was made before a restart is still being kept.
                self.cache.nominate(pod.clone(), &node);
            }
            self.queue.upsert(pod);
        }
    }

    fn pod_gone(&mut self, uid: &PodUid) {
        self.queue.remove(uid);
        self.cache.withdraw(uid);
        if self.cache.remove_pod(uid) {
            self.wake(Change::PodRemoved);
        }
    }

    fn node(&mut self, name: &Arc<str>, offer: Offer) {
        let Some(before) = self.cache.set_node(name, offer) else {
            return self.wake(Change::NodeAdded);
        };
        let now = self.cache.node(name).and_then(|n| n.offer.as_ref());
        for change in now.map(|now| changes(&before, now)).unwrap_or_default() {
            self.wake(change);
        }
    }

    fn wake(&mut self, change: Change) {
        self.queue.wake(&self.framework, change, Instant::now(), |_| true);
    }

    /// A pod came to a node: wakes those that want to be with its like.
    fn wake_beside(&mut self, (namespace, labels): &(String, Arc<Labels>)) {
        let namespaces = self.cache.namespaces();
        self.queue.wake(&self.framework, Change::PodAdded, Instant::now(), |waiting| {
            waiting.looks_for(namespace, labels, namespaces)
        });
    }

    fn schedule_one(&mut self, permit: tokio::sync::OwnedSemaphorePermit) {
        let Some(pod) = self.queue.pop() else { return };
        match decide(&self.framework, &self.cache, &pod, &mut self.rotation) {
            Ok(node) => {
                debug!(namespace = pod.namespace, name = pod.name, %node, "node chosen");
                self.cache.assume(pod.clone(), &node);
                self.wake_beside(&pod.beside());
                let (client, bound) = (self.client.clone(), self.bound.clone());
                let recorder = self.recorder.clone();
                let (chosen, stop) = (self.chosen(&pod, &node), self.shutdown.clone());
                // A volume may take minutes: that must not hold up the pods that need none.
                let permit = chosen.is_none().then_some(permit);
                self.tracker.spawn(async move {
                    let outcome = match chosen {
                        None => bind::bind(&client, &pod, &node).await,
                        Some(chosen) => tokio::select! {
                            outcome = volumes::ready(&client, &pod, &chosen) => match outcome {
                                Ok(()) => bind::bind(&client, &pod, &node).await,
                                Err(error) => Err(error),
                            },
                            // The next scheduler waits for it.
                            () = stop.cancelled() => return,
                        },
                    };
                    drop(permit);
                    if outcome.is_ok() {
                        let message = format!(
                            "Successfully assigned {}/{} to {node}",
                            pod.namespace, pod.name
                        );
                        recorder.normal(&pod, "Scheduled", message);
                    }
                    // Nobody listens any more only when the scheduler stops.
                    bound.send(Bound { pod, outcome }).await.ok();
                });
            }
            Err(mut diagnosis) => {
                self.preempt(&pod, &mut diagnosis);
                self.refuse(&pod, &diagnosis, permit);
            }
        }
    }

    /// What is to be known of the node where volumes of the pod have to be, if it has claims.
    fn chosen(&self, pod: &PodInfo, node: &Arc<str>) -> Option<Chosen> {
        if pod.claims.is_empty() {
            return None;
        }
        let offer = self.cache.node(node).and_then(|node| node.offer.as_ref());
        let labels = offer.map(|offer| offer.labels.clone()).unwrap_or_default();
        Some(Chosen { name: node.to_string(), labels })
    }

    /// The pod's claims keep it from being bound: it is tried again after a while.
    fn wait_for_claims(&mut self, pod: &Arc<PodInfo>, reason: &str) {
        let nodes = self.cache.node_names().count();
        let message = format!("0/{nodes} nodes are available: {reason}.");
        self.cache.forget(&pod.uid);
        self.queue.failed(&pod.uid, Instant::now());
        self.wake(Change::PodRemoved);
        self.recorder.warning(pod, "FailedScheduling", message.clone());
        let said = ("Unschedulable".to_owned(), message);
        if pod.refused.as_ref() == Some(&said) {
            return;
        }
        let (client, pod) = (self.client.clone(), pod.clone());
        self.tracker.spawn(async move {
            if let Err(error) = bind::refuse(&client, &pod, &said.0, &said.1, None).await {
                debug!(%error, "condition not written");
            }
        });
    }

    fn refuse(
        &mut self,
        pod: &Arc<PodInfo>,
        diagnosis: &Diagnosis,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) {
        let message = diagnosis.message();
        debug!(namespace = pod.namespace, name = pod.name, message, "no node for pod");
        self.queue.refused(&pod.uid, diagnosis.refused_by, Instant::now());
        self.recorder.warning(pod, "FailedScheduling", message.clone());
        let said = ("Unschedulable".to_owned(), message);
        let nominated = self.cache.nomination(&pod.uid).cloned();
        if pod.refused.as_ref() == Some(&said) && pod.nominated == nominated {
            return;
        }
        let (client, pod) = (self.client.clone(), pod.clone());
        self.tracker.spawn(async move {
            let _permit = permit;
            if let Err(error) =
                bind::refuse(&client, &pod, &said.0, &said.1, nominated.as_deref()).await
            {
                // The event has said it; the next attempt writes the condition again.
                debug!(%error, "condition not written");
            }
        });
    }

    fn end(&mut self, ended: Bound) {
        let Bound { pod, outcome } = ended;
        match outcome {
            // The watch will show it; until then it stays assumed, and out of the queue.
            Ok(()) => self.queue.remove(&pod.uid),
            Err(BindError::Gone { .. }) => {
                self.queue.remove(&pod.uid);
                self.cache.forget(&pod.uid);
            }
            Err(BindError::Unschedulable { reason }) => self.wait_for_claims(&pod, &reason),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                warn!(
                    namespace = pod.namespace,
                    name = pod.name,
                    %error,
                    cause,
                    "binding failed, retrying"
                );
                self.cache.forget(&pod.uid);
                self.queue.failed(&pod.uid, Instant::now());
                // What it held is free for others again.
                self.wake(Change::PodRemoved);
            }
        }
    }
}

/// The pods known here that a complete list does not show any more.
///
/// One whose binding is under way may be missing from an older list: its binding will tell. One that
/// is bound and not yet seen bound is in every list unless it is gone.
fn lost(cache: &Cache, queue: &Queue, listed: &[Arc<PodInfo>]) -> Vec<PodUid> {
    let listed: HashSet<&PodUid> = listed.iter().map(|pod| &pod.uid).collect();
    let is_binding = |uid: &PodUid| cache.is_assumed(uid) && queue.contains(uid);
    let known = cache.pods().chain(queue.uids());
    known.filter(|uid| !listed.contains(uid) && !is_binding(uid)).cloned().collect()
}

/// What a change of a node's offer may mean to refused pods.
fn changes(before: &Offer, now: &Offer) -> Vec<Change> {
    let mut changes = Vec::new();
    let (had, has) = (&before.allocatable, &now.allocatable);
    let grew = has.milli_cpu > had.milli_cpu
        || has.memory > had.memory
        || has.ephemeral_storage > had.ephemeral_storage
        || now.allowed_pods > before.allowed_pods
        || has
            .extended
            .iter()
            .any(|(name, amount)| *amount > had.extended.get(name).copied().unwrap_or(0));
    if grew {
        changes.push(Change::NodeGrew);
    }
    if now.labels != before.labels {
        changes.push(Change::NodeLabels);
    }
    if now.taints != before.taints || now.unschedulable != before.unschedulable {
        changes.push(Change::NodeTaints);
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn only_changes_that_can_help_are_reported() {
        let before = Offer { allowed_pods: 10, ..Offer::default() };
        assert_eq!(changes(&before, &before.clone()), []);
        let mut now = before.clone();
        now.allowed_pods = 11;
        now.unschedulable = true;
        assert_eq!(changes(&before, &now), [Change::NodeGrew, Change::NodeTaints]);
        let mut now = before.clone();
        now.allowed_pods = 9;
        now.labels.insert("a".into(), "b".into());
        assert_eq!(changes(&before, &now), [Change::NodeLabels]);
    }

    fn pod(uid: &str) -> Arc<PodInfo> {
        let pod = json!({"metadata": {"name": uid, "uid": uid}, "spec": {"containers": []}});
        Arc::new(PodInfo::read(&serde_json::from_value(pod).unwrap()).unwrap())
    }

    #[test]
    fn a_pod_deleted_unseen_after_its_binding_frees_its_node() {
        let (mut cache, mut queue) = (Cache::default(), Queue::new(Duration::from_secs(300)));
        let node: Arc<str> = "a".into();
        let (binding, bound, waiting, seen) =
            (pod("binding"), pod("bound"), pod("waiting"), pod("seen"));
        for pod in [&binding, &bound] {
            queue.upsert(pod.clone());
            queue.pop();
            cache.assume(pod.clone(), &node);
        }
        queue.remove(&bound.uid);
        queue.upsert(waiting.clone());
        cache.see(seen.clone(), &node);
        let mut gone = lost(&cache, &queue, &[]);
        gone.sort();
        assert_eq!(gone, [bound.uid.clone(), seen.uid.clone(), waiting.uid.clone()]);
        assert!(lost(&cache, &queue, &[bound, waiting, seen]).is_empty());
    }
}
