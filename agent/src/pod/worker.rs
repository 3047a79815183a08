//! The one task that owns a pod's state on this node.
//!
//! ```text
//!  pod watch ──┐
//!  runtime ────┤   observe ─► status ─► plan ─► operations (futures driven here)
//!  probes ─────┼─►   ▲                                │
//!  sources ────┤     └────────────── outcomes ◄───────┘
//!  timers ─────┘
//! ```
//!
//! Every wake does the same thing: read the runtime's record, compute the status and write what differs,
//! compute the plan and begin what is not begun. Nothing here decides; the decisions are `plan` and
//! `status`, which are pure. On shutdown the worker just ends: containers belong to their shims, and the
//! next agent adopts them.

mod images;
mod operations;
mod pause;
mod probes;
mod report;
mod resources;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use pause::Pauses;

use super::apply::{self, Outcome};
use super::model::{Have, Sandbox, Want};
use super::observe;
use super::plan::{self, Action};
use super::resize::Allocation;
use crate::context::Context;
use crate::host_ports::HostPorts;
use crate::network;
use crate::probe::Report;

/// Longest sleep of a worker to which nothing happens.
const RESYNC: SignedDuration = SignedDuration::from_secs(60);
/// Probe reports waiting at most.
const REPORTS: usize = 16;

/// What the agent tells a worker.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    pub(crate) pod: Arc<Pod>,
    /// The object no longer exists.
    pub(crate) gone: bool,
}

/// The agent's handle on a worker.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) desired: watch::Sender<Desired>,
    /// Rung when the runtime reports a change of the pod's sandbox.
    pub(crate) bell: Arc<Notify>,
}

/// Result of an operation, named so that a cancelled one can be told from its successor.
type Done = (u64, Outcome);

struct Running {
    number: u64,
    cancel: CancellationToken,
}

struct Worker {
    context: Arc<Context>,
    uid: String,
    pod: Arc<Pod>,
    /// The pod with the resources that the node has agreed to.
    agreed: Arc<Pod>,
    /// Those resources, once they are known.
    allocation: Option<Allocation>,
    /// Generation of the pod whose resize is being carried out.
    resizing: Option<i64>,
    /// Tells when there may be room for a resize that was deferred.
    freed: watch::Receiver<()>,
    gone: bool,
    began: Timestamp,
    have: Have,
    operations: FuturesUnordered<BoxFuture<'static, Option<Done>>>,
    /// Starts and stops in flight, by container.
    running: BTreeMap<String, Running>,
    next_number: u64,
    pauses: Pauses,
    images: BTreeMap<String, images::PullState>,
    probes: probes::Probes,
    host_ports: HostPorts,
    sources: sources::Watched,
    writing: bool,
    written: Option<(Value, Timestamp)>,
    /// A status write failed; not tried again before.
    write_again: Option<Timestamp>,
    crash_told: BTreeMap<String, u32>,
    /// The last clean-up took the logs along.
    logs_removed: bool,
    /// What the volumes are made of has changed since they were last written.
    stale: bool,
}

/// Starts the worker of a pod; `done` gets the uid when nothing is left to do.
pub(crate) fn spawn(
    context: &Arc<Context>,
    uid: String,
    desired: Desired,
    done: mpsc::Sender<String>,
) -> Handle {
    let (sender, receiver) = watch::channel(desired);
    let bell = Arc::new(Notify::new());
    let handle = Handle { desired: sender, bell: Arc::clone(&bell) };
    let shutdown = context.shutdown.clone();
    let context = Arc::clone(context);
    let tracker = context.tracker.clone();
    tracker.spawn(async move {
        let (reports, inbox) = mpsc::channel(REPORTS);
        let worker = Worker::new(context, uid.clone(), receiver.borrow().clone(), reports);
        tokio::select! {
            () = worker.run(receiver, bell, inbox) => drop(done.send(uid).await),
            () = shutdown.cancelled() => {}
        }
    });
    handle
}

impl Worker {
    fn new(
        context: Arc<Context>,
        uid: String,
        desired: Desired,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let now = Timestamp::now();
        let told = desired
            .pod
            .status
            .as_ref()
            .and_then(|status| status.start_time.as_ref())
            .map(|time| time.0);
        Self {
            have: observe::adopt(&desired.pod, now),
            probes: probes::Probes::new(reports, context.shutdown.child_token()),
            freed: context.ledger.freed(),
            context,
            uid,
            agreed: Arc::clone(&desired.pod),
            pod: desired.pod,
            allocation: None,
            resizing: None,
            gone: desired.gone,
            began: told.unwrap_or(now),
            operations: FuturesUnordered::new(),
            running: BTreeMap::new(),
            next_number: 0,
            pauses: Pauses::new(),
            images: BTreeMap::new(),
            host_ports: HostPorts::default(),
            sources: sources::Watched::default(),
            writing: false,
            written: None,
            write_again: None,
            crash_told: BTreeMap::new(),
            logs_removed: false,
            stale: false,
        }
    }

    async fn run(
        mut self,
        mut desired: watch::Receiver<Desired>,
        bell: Arc<Notify>,
        mut reports: mpsc::Receiver<Report>,
    ) {
        loop {
            let Some(wake) = self.turn().await else {
                tracing::debug!(uid = self.uid, "nothing is left of the pod");
                return;
            };
            let now = Timestamp::now();
            let sleep = Duration::try_from(wake.duration_since(now)).unwrap_or_default();
            tokio::select! {
                changed = desired.changed() => match changed {
                    Ok(()) => {
                        let next = desired.borrow_and_update().clone();
                        self.take(next);
                    }
                    // The agent ends.
                    Err(_) => return,
                },
                () = bell.notified() => {}
                Some(report) = reports.recv() => self.probed(report),
                Some(done) = self.operations.next(), if !self.operations.is_empty() => self.finished(done),
                () = self.sources.changed() => self.source_changed(),
                Ok(()) = self.freed.changed(), if self.have.resize.pending.is_some() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Takes a newer version of the pod; an older one (the watch lags behind our own writes) is ignored.
    fn take(&mut self, desired: Desired) {
        self.gone |= desired.gone;
        let version = |pod: &Pod| {
            pod.metadata.resource_version.as_deref().and_then(|version| version.parse::<i64>().ok())
        };
        let older = match (version(&desired.pod), version(&self.pod)) {
            (Some(new), Some(known)) => new < known,
            _ => false,
        };
        if !older {
            // The downward API shows these in files.
            let shown = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
            self.stale |= shown(&desired.pod) != shown(&self.pod);
            self.pod = desired.pod;
        }
    }

    /// Looks at everything once. Returns when to look again, or nothing if the pod is done with.
    async fn turn(&mut self) -> Option<Timestamp> {
        let sandboxes = self.context.runtime.sandboxes().await;
        let sandbox = sandboxes.into_iter().find(|sandbox| sandbox.spec.id == self.uid);
        observe::observe(&mut self.have, sandbox.as_ref());
        if sandbox
            .as_ref()
            .is_some_and(|sandbox| network::address_of(&sandbox.spec.network).is_none())
        {
            self.have.pod_ip = Some(self.context.config.node_ip);
        }
        if self.is_over()
            && !self.logs_removed
            && !self.have.busy
            && self.have.sandbox == (Sandbox::Absent { clean: true })
        {
            // It had finished before: its logs stayed for those who might ask.
            self.have.sandbox = Sandbox::Absent { clean: false };
        }
        self.read_termination_logs().await;
        let now = Timestamp::now();
        self.agree();
        let mut want = Want::of(&self.agreed, self.began);
        want.gone = self.gone;
        let ending = plan::is_ending(&want, &self.have);
        if ending && self.have.stopping_since.is_none() {
            self.have.stopping_since = Some(now);
            // Whatever could not be made for it, its end waits for nothing.
            (self.pauses, self.have.retry_at) = (Pauses::new(), None);
        }
        self.probes.sync(&self.context, &self.pod, &mut self.have);
        let reached = self.have.pod_ip.filter(|_| self.have.sandbox == Sandbox::Alive);
        let ports_wake = self.host_ports.sync(&self.context, &self.pod, reached, now);
        let images_wake = self.image_back_offs(now);
        if self.gone || ending {
            self.sources = sources::Watched::default();
        } else {
            self.sources.watch(&self.context, &self.pod);
            self.stale |= self.context.tokens.due(&self.pod, now);
            self.refresh_volumes().await;
        }
        let status_wake = self.report(&want, now);
        self.tell_crashes(&want, now);
        self.tell_resized(&want);
        let planned = plan::plan(&want, &self.have, now);
        for action in planned.actions {
            if action == Action::Forget {
                return None;
            }
            self.begin(action, now);
        }
        let resync = now.checked_add(RESYNC).unwrap_or(now);
        let wakes = [planned.wake, images_wake, ports_wake, status_wake, Some(resync)];
        let verdict_now = self.have.verdict.is_some() && !ending;
        if verdict_now { Some(now) } else { wakes.into_iter().flatten().min() }
    }

    /// Whether nobody will ask for this pod any more.
    fn is_over(&self) -> bool {
        self.gone || self.pod.metadata.deletion_timestamp.is_some()
    }

    fn source_changed(&mut self) {
        self.stale = true;
        for container in self.have.containers.values_mut() {
            if container
                .waiting
                .as_ref()
                .is_some_and(|waiting| waiting.reason == "CreateContainerConfigError")
            {
                container.retry_at = None;
            }
        }
        if matches!(self.have.sandbox, Sandbox::Absent { .. }) {
            self.have.retry_at = None;
        }
    }

    /// Rewrites the volumes whose sources have changed, once there is a sandbox: while it is being
    /// made, they are being written. A failure is tried again at the next wake.
    async fn refresh_volumes(&mut self) {
        if !self.stale || self.have.busy || self.have.sandbox != Sandbox::Alive {
            return;
        }
        let Some(pod_ip) = self.have.pod_ip else { return };
        match apply::refresh_volumes(&self.context, &self.pod, pod_ip).await {
            Ok(()) => self.stale = false,
            Err(error) => tracing::debug!(uid = self.uid, error, "volumes not refreshed"),
        }
    }

    fn probed(&mut self, report: Report) {
        self.probes.report(&report, &mut self.have);
    }

    /// Adds what ended containers left behind to their exit message.
    async fn read_termination_logs(&mut self) {
        let (dir, logs) = (self.context.pod_dir(&self.uid), self.context.log_dir(&self.pod));
        for (name, container) in &mut self.have.containers {
            for attempt in container.latest.iter_mut().chain(container.previous.iter_mut()) {
                apply::termination_message(&self.pod, &dir, &logs, name, attempt).await;
            }
        }
    }
}
