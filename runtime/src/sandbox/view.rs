//! One sandbox as the agent's process sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};
use tokio_util::task::TaskTracker;

use super::GREETING;
use crate::cgroup;
use crate::shim::Client;
use crate::shim::proto::{Operation, Outcome};
use crate::shim::record::{ContainerRecord, RECORD, SandboxDir, SandboxRecord, write_json};
use crate::spec::{
    ContainerEvent, ContainerState, ContainerStatus, Exit, ExitReason, Resources, SandboxSpec,
    SandboxStatus,
};

/// What kubelet gives a container whose end nobody saw.
const UNSEEN_END: i32 = 137;

/// A killed process is gone in microseconds, unless the kernel waits for a disk in its name.
const KILLED: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 10, tv_nsec: 0 };

/// One sandbox.
pub(super) struct Sandbox {
    pub(super) record: SandboxRecord,
    pub(super) directory: SandboxDir,
    /// The limits that it has by now; its record says the same.
    limits: Mutex<Resources>,
    events: broadcast::Sender<ContainerEvent>,
    /// `None` once it is lost. While a connection is being made again, the one that broke.
    shim: watch::Sender<Option<Client>>,
    containers: Mutex<Containers>,
}

type Containers = BTreeMap<(String, u32), ContainerRecord>;

impl Sandbox {
    pub(super) fn new(
        record: SandboxRecord,
        directory: SandboxDir,
        events: broadcast::Sender<ContainerEvent>,
    ) -> Arc<Self> {
        let (shim, containers) = (watch::Sender::new(None), Mutex::default());
        let limits = Mutex::new(record.spec.resources.clone());
        Arc::new(Self { record, directory, limits, events, shim, containers })
    }

    pub(super) fn status(&self) -> SandboxStatus {
        let mut containers: Vec<ContainerStatus> =
            self.containers.lock().values().map(|record| record.status.clone()).collect();
        containers.sort_by_key(|status| (started_at(&status.state), status.spec.attempt));
        SandboxStatus {
            spec: SandboxSpec { resources: self.limits(), ..self.record.spec.clone() },
            alive: self.shim.borrow().is_some(),
            created_at: self.record.created_at,
            containers,
        }
    }

    /// The limits that it has.
    pub(super) fn limits(&self) -> Resources {
        self.limits.lock().clone()
    }

    /// Notes other limits, for the next agent too. Blocking: writes a file.
    pub(super) fn set_limits(&self, limits: Resources) -> std::io::Result<()> {
        let spec = SandboxSpec { resources: limits.clone(), ..self.record.spec.clone() };
        let record = SandboxRecord { spec, ..self.record.clone() };
        write_json(&self.directory.record(), &record)?;
        *self.limits.lock() = limits;
        Ok(())
    }

    pub(super) fn shim(&self) -> Option<Client> {
        self.shim.borrow().clone()
    }

    pub(super) fn set_shim(&self, shim: Client, containers: Vec<ContainerRecord>) {
        let mut known = self.containers.lock();
        for record in containers {
            insert(&mut known, record);
        }
        drop(known);
        // A connection that broke at once is being made again, or was found to be gone for good.
        self.shim.send_if_modified(|present| {
            let usable = present.is_none() && !shim.is_gone();
            if usable {
                *present = Some(shim);
            }
            usable
        });
    }

    /// What the records on disk say, beneath what the shim says.
    pub(super) fn remember(&self, containers: Vec<ContainerRecord>) {
        let mut known = self.containers.lock();
        for record in containers {
            known.entry(key(&record)).or_insert(record);
        }
    }

    pub(super) fn forget(&self, name: &str, attempt: u32) {
        self.containers.lock().remove(&(name.to_owned(), attempt));
    }

    pub(super) fn container(&self, name: &str, attempt: u32) -> Option<ContainerStatus> {
        let known = self.containers.lock();
        known.get(&(name.to_owned(), attempt)).map(|record| record.status.clone())
    }

    pub(super) fn running(&self) -> Vec<ContainerRecord> {
        let runs = |record: &&ContainerRecord| {
            matches!(record.status.state, ContainerState::Running { .. })
        };
        self.containers.lock().values().filter(runs).cloned().collect()
    }

    /// Attempts of a container, the oldest first.
    pub(super) fn attempts(&self, name: &str) -> Vec<ContainerRecord> {
        let known = self.containers.lock();
        known.values().filter(|r| r.status.spec.name == name).cloned().collect()
    }

    pub(super) fn put(&self, record: ContainerRecord) {
        let event = ContainerEvent {
            sandbox: self.record.spec.id.clone(),
            container: record.status.spec.name.clone(),
            attempt: record.status.spec.attempt,
        };
        insert(&mut self.containers.lock(), record);
        let _ = self.events.send(event);
    }

    /// Asks the shim, and once more after every reconnection; `None` when it is gone.
    pub(super) async fn ask(&self, operation: Operation) -> Option<Outcome> {
        let mut connections = self.shim.subscribe();
        loop {
            let shim = connections.borrow_and_update().clone()?;
            match shim.call(operation.clone()).await {
                Ok(outcome) => return Some(outcome),
                // Whoever noticed that the connection broke makes another, or finds the shim gone.
                Err(_) => connections.changed().await.ok()?,
            }
        }
    }

    /// Waits until no attempt of a container runs in a sandbox whose shim is gone: its end is recorded by
    /// whoever found the shim gone.
    pub(super) async fn until_ended(&self, name: &str) {
        let mut events = self.events.subscribe();
        while self.running().iter().any(|record| record.status.spec.name == name) {
            // Lagging behind means that there is something new to look at.
            let _ = events.recv().await;
        }
    }

    /// The shim cannot be reached: it and what still runs are killed, and the ends recorded as unseen.
    ///
    /// Blocking: kills, writes files.
    pub(super) fn lost(&self) {
        let shim = self.shim.send_replace(None);
        // One that hangs would go on holding its containers where there is no cgroup to kill.
        if let Some(shim) = shim.filter(|shim| !shim.kill(KILLED)) {
            tracing::warn!(pid = shim.pid(), "a lost shim has been killed and is not gone yet");
        }
        cgroup::kill(&self.record.cgroup);
        for mut record in self.running() {
            let ContainerState::Running { started_at, .. } = record.status.state else { continue };
            record.status.state = ContainerState::Exited(Exit {
                code: UNSEEN_END,
                signal: None,
                reason: ExitReason::ContainerStatusUnknown,
                message: "The container's shim was lost, and how the container ended is not known."
                    .to_owned(),
                started_at,
                finished_at: Timestamp::now(),
            });
            let spec = &record.status.spec;
            let path = self.directory.attempt(&spec.name, spec.attempt).join(RECORD);
            if let Err(error) = write_json(&path, &record) {
                tracing::warn!(path = %path.display(), %error, "cannot write a container's record");
            }
            self.put(record);
        }
        let _ = self.events.send(ContainerEvent {
            sandbox: self.record.spec.id.clone(),
            container: String::new(),
            attempt: 0,
        });
    }

    /// The connection is gone, and perhaps not the shim: a client that fell behind is cut off. Killing the
    /// containers of a shim that lives would be the end of what it is there to keep.
    async fn disconnected(self: Arc<Self>, tracker: TaskTracker) {
        let connect = Client::connect(&self.directory, &tracker, self.observer(&tracker));
        match tokio::time::timeout(GREETING, connect).await {
            Ok(Ok((shim, containers))) => {
                tracing::info!(sandbox = self.record.spec.id, "connected to a shim again");
                containers.into_iter().for_each(|record| self.put(record));
                self.shim.send_replace(Some(shim));
            }
            Ok(Err(_)) | Err(_) => {
                let _ = tokio::task::spawn_blocking(move || self.lost()).await;
            }
        }
    }

    /// What a connection tells.
    pub(super) fn observer(self: &Arc<Self>, tracker: &TaskTracker) -> Observer {
        Observer { sandbox: Arc::downgrade(self), tracker: tracker.clone() }
    }
}

/// Hears a shim's changes for as long as anybody holds the sandbox.
pub(super) struct Observer {
    sandbox: Weak<Sandbox>,
    tracker: TaskTracker,
}

impl crate::shim::Observer for Observer {
    fn changed(&self, record: ContainerRecord) {
        if let Some(sandbox) = self.sandbox.upgrade() {
            sandbox.put(record);
        }
    }

    fn gone(&self) {
        if let Some(sandbox) = self.sandbox.upgrade() {
            // During a removal this finds nothing left to record.
            self.tracker.spawn(sandbox.disconnected(self.tracker.clone()));
        }
    }
}

fn key(record: &ContainerRecord) -> (String, u32) {
    (record.status.spec.name.clone(), record.status.spec.attempt)
}

/// An end is final: a late "running" (a reply that overtook nothing, a record read early) never undoes it.
fn insert(known: &mut Containers, record: ContainerRecord) {
    let key = key(&record);
    let ended = known
        .get(&key)
        .is_some_and(|known| matches!(known.status.state, ContainerState::Exited(_)));
    if !ended {
        known.insert(key, record);
    }
}

fn started_at(state: &ContainerState) -> Timestamp {
    match state {
        ContainerState::Running { started_at, .. } => *started_at,
        ContainerState::Exited(exit) => exit.started_at,
    }
}

#[cfg(test)]
mod tests;
