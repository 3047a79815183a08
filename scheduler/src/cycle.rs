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
use crate::bind::{self, BindError};
use crate::cache::Cache;
use crate::decide::{Rotation, decide};
use crate::diagnosis::Diagnosis;
use crate::events::Recorder;
use crate::framework::{Change, Framework};
use crate::node::Offer;
use crate::pod::{PodInfo, PodUid};
use crate::queue::Queue;
use crate::watch::{self, Heard};

const HEARD: usize = 1024;

/// How a binding ended.
struct Bound {
    pod: Arc<PodInfo>,
    outcome: Result<(), BindError>,
}

struct Cycle {
    config: Config,
    client: Client,
    framework: Framework,
    cache: Cache,
    queue: Queue,
    rotation: Rotation,
    recorder: Recorder,
    tracker: TaskTracker,
    slots: Arc<Semaphore>,
    bound: mpsc::Sender<Bound>,
    /// Nothing is decided before both lists have been heard: a node that is not known yet must not
    /// make a pod wait, and a pod that is not known yet must not be ignored in the sums.
    listed: (bool, bool),
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
        queue: Queue::new(config.unschedulable_timeout),
        rotation: Rotation::new(u64::from(std::process::id())),
        slots: Arc::new(Semaphore::new(config.parallel_binds)),
        tracker: tracker.clone(),
        bound: bound_tx,
        listed: (false, false),
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
        self.listed == (true, true) && self.queue.is_ready()
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
                self.listed.0 = true;
            }
            Heard::Node(name, offer) => self.node(&name, *offer),
            Heard::NodeGone(name) => self.cache.remove_node(&name),
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
                self.listed.1 = true;
            }
        }
    }

    fn pod(&mut self, pod: Arc<PodInfo>) {
        if pod.finished {
            return self.pod_gone(&pod.uid);
        }
        if let Some(node) = pod.node_name.clone() {
            self.queue.remove(&pod.uid);
            self.cache.see(pod, &node);
            return;
        }
        let ours = pod.scheduler_name == self.config.scheduler_name;
        if !ours || pod.deleting || !pod.demands.gates.is_empty() {
            self.queue.remove(&pod.uid);
        } else if !self.cache.is_assumed(&pod.uid) {
            self.queue.upsert(pod);
        }
    }

    fn pod_gone(&mut self, uid: &PodUid) {
        self.queue.remove(uid);
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
        self.queue.wake(&self.framework, change, Instant::now());
    }

    fn schedule_one(&mut self, permit: tokio::sync::OwnedSemaphorePermit) {
        let Some(pod) = self.queue.pop() else { return };
        match decide(&self.framework, &self.cache, &pod, &mut self.rotation) {
            Ok(node) => {
                debug!(namespace = pod.namespace, name = pod.name, %node, "node chosen");
                self.cache.assume(pod.clone(), &node);
                let (client, bound) = (self.client.clone(), self.bound.clone());
                let recorder = self.recorder.clone();
                self.tracker.spawn(async move {
                    let outcome = bind::bind(&client, &pod, &node).await;
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
            Err(diagnosis) => self.refuse(&pod, &diagnosis, permit),
        }
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
        if pod.refused.as_ref() == Some(&said) {
            return;
        }
        let (client, pod) = (self.client.clone(), pod.clone());
        self.tracker.spawn(async move {
            let _permit = permit;
            if let Err(error) = bind::refuse(&client, &pod, &said.0, &said.1).await {
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
