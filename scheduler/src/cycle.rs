//! The scheduling task: owns cache and queue, hears the watches, decides, hands bindings out.
//!
//! States of a pod here, and what leads out of them:
//! - *waiting* in the queue → popped when active and a binding slot is free;
//! - *assumed* on a node: permission, pre-binding and binding are under way ([`place`]) → seen bound
//!   (the watch), or one of them failed: forgotten and back in the queue with back-off;
//! - *refused*: condition and event written, waiting for a change that helps ([`hear`]), or for room
//!   that is being made for it ([`preempt`]).
//!
//! A restart loses nothing: everything is read again from the API, and an assumption that was never
//! bound was never there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kube::Client;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::Config;
use crate::cache::Cache;
use crate::decide::Rotation;
use crate::events::Recorder;
use crate::framework::{Framework, Frameworks};
use crate::pod::{PodInfo, PodUid};
use crate::preemption::Budgets;
use crate::queue::{Delays, Queue};
use crate::volumes::objects::Kind;
use crate::watch;

mod devices;
mod hear;
mod place;
mod preempt;

use place::Bound;
use preempt::Unmoved;

const HEARD: usize = 1024;
/// Victims that are being taken away at once.
const EVICTIONS: usize = 64;

/// Which lists have been heard.
#[derive(Debug, Default, Clone, Copy)]
struct Listed {
    pods: bool,
    nodes: bool,
    namespaces: bool,
    budgets: bool,
    /// The kinds that have to do with volumes.
    stored: [bool; Kind::COUNT],
    /// Claims, classes and devices.
    devices: [bool; 3],
}

struct Cycle {
    config: Config,
    client: Client,
    frameworks: Frameworks,
    cache: Cache,
    budgets: Budgets,
    queue: Queue,
    rotation: Rotation,
    recorder: Recorder,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    slots: Arc<Semaphore>,
    bound: mpsc::Sender<Bound>,
    /// Turns to take victims away.
    evictions: Arc<Semaphore>,
    unmoved: mpsc::Sender<Unmoved>,
    /// Pods that are being evicted and that no watch event has shown on their way out yet.
    leaving: HashSet<PodUid>,
    /// Pods that may not wait for a node yet: a ResourceClaim that they use is not there.
    gated: HashMap<PodUid, Arc<PodInfo>>,
    /// Ends what is waited for before a pod is bound, if the pod goes away meanwhile.
    patient: HashMap<PodUid, CancellationToken>,
    /// Nothing is decided before all lists have been heard: a node that is not known yet must not
    /// make a pod wait, and a pod that is not known yet must not be ignored in the sums.
    listed: Listed,
}

pub(crate) async fn run(
    config: Config,
    frameworks: Frameworks,
    client: Client,
    shutdown: CancellationToken,
) {
    let tracker = TaskTracker::new();
    let (heard_tx, mut heard) = mpsc::channel(HEARD);
    watch::start(&client, frameworks.names(), &tracker, &shutdown, &heard_tx);
    drop(heard_tx);
    let (bound_tx, mut bound) = mpsc::channel(config.parallel_binds);
    let (unmoved_tx, mut unmoved) = mpsc::channel(EVICTIONS);
    let drain = config.drain;
    let delays = Delays {
        first: config.first_backoff,
        longest: config.longest_backoff,
        unschedulable: config.unschedulable_timeout,
    };
    let mut cycle = Cycle {
        recorder: Recorder::start(client.clone(), config.clock, &tracker),
        cache: Cache::default(),
        budgets: Budgets::default(),
        queue: Queue::new(frameworks.queue_sort(), delays),
        rotation: Rotation::new(config.seed),
        slots: Arc::new(Semaphore::new(config.parallel_binds)),
        tracker: tracker.clone(),
        shutdown: shutdown.clone(),
        bound: bound_tx,
        evictions: Arc::new(Semaphore::new(EVICTIONS)),
        unmoved: unmoved_tx,
        leaving: HashSet::new(),
        gated: HashMap::new(),
        patient: HashMap::new(),
        listed: Listed::default(),
        frameworks,
        client,
        config,
    };
    let names: Vec<&str> = cycle.frameworks.names().collect();
    info!(schedulers = names.join(","), "scheduler started");
    loop {
        cycle.recorder.make_way(cycle.is_busy());
        let next_tick = cycle.queue.next_tick();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            message = heard.recv() => match message {
                Some(message) => cycle.hear(message),
                None => break,
            },
            Some(ended) = bound.recv() => cycle.end(ended),
            Some(victim) = unmoved.recv() => cycle.stays(victim),
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
    cycle.recorder.make_way(false);
    heard.close();
    unmoved.close();
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
        let Listed { pods, nodes, namespaces, budgets, stored, devices } = self.listed;
        let mut kinds = stored.iter().chain(&devices);
        let listed = pods && nodes && namespaces && budgets && kinds.all(|kind| *kind);
        listed && self.queue.is_ready()
    }

    /// Whether pods are being placed, or room made for them.
    fn is_busy(&self) -> bool {
        self.queue.is_ready() || self.evictions.available_permits() < EVICTIONS
    }

    /// The plugins for a pod that is ours.
    fn framework(&self, pod: &PodInfo) -> Option<Arc<Framework>> {
        self.frameworks.of(&pod.scheduler_name).cloned()
    }
}
