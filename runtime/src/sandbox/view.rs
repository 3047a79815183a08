//! One sandbox as the agent's process sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

use super::GREETING;
use crate::cgroup;
use crate::shim::Client;
use crate::shim::record::{ContainerRecord, RECORD, SandboxDir, SandboxRecord, write_json};
use crate::spec::{
    ContainerEvent, ContainerState, ContainerStatus, Exit, ExitReason, SandboxStatus,
};

/// What kubelet gives a container whose end nobody saw.
const UNSEEN_END: i32 = 137;

/// One sandbox.
pub(super) struct Sandbox {
    pub(super) record: SandboxRecord,
    pub(super) directory: SandboxDir,
    events: broadcast::Sender<ContainerEvent>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shim: Option<Client>,
    containers: BTreeMap<(String, u32), ContainerRecord>,
}

impl Sandbox {
    pub(super) fn new(
        record: SandboxRecord,
        directory: SandboxDir,
        events: broadcast::Sender<ContainerEvent>,
    ) -> Arc<Self> {
        Arc::new(Self { record, directory, events, state: Mutex::default() })
    }

    pub(super) fn status(&self) -> SandboxStatus {
        let state = self.state.lock();
        let mut containers: Vec<ContainerStatus> =
            state.containers.values().map(|record| record.status.clone()).collect();
        containers.sort_by_key(|status| (started_at(&status.state), status.spec.attempt));
        SandboxStatus {
            spec: self.record.spec.clone(),
            alive: state.shim.is_some(),
            created_at: self.record.created_at,
            containers,
        }
    }

    pub(super) fn shim(&self) -> Option<Client> {
        self.state.lock().shim.clone()
    }

    pub(super) fn set_shim(&self, shim: Client, containers: Vec<ContainerRecord>) {
        let mut state = self.state.lock();
        state.shim = Some(shim);
        for record in containers {
            insert(&mut state, record);
        }
    }

    /// What the records on disk say, beneath what the shim says.
    pub(super) fn remember(&self, containers: Vec<ContainerRecord>) {
        let mut state = self.state.lock();
        for record in containers {
            state.containers.entry(key(&record)).or_insert(record);
        }
    }

    pub(super) fn forget(&self, name: &str, attempt: u32) {
        self.state.lock().containers.remove(&(name.to_owned(), attempt));
    }

    pub(super) fn container(&self, name: &str, attempt: u32) -> Option<ContainerStatus> {
        let state = self.state.lock();
        state.containers.get(&(name.to_owned(), attempt)).map(|record| record.status.clone())
    }

    pub(super) fn running(&self) -> Vec<ContainerRecord> {
        let state = self.state.lock();
        let runs = |record: &&ContainerRecord| {
            matches!(record.status.state, ContainerState::Running { .. })
        };
        state.containers.values().filter(runs).cloned().collect()
    }

    /// Attempts of a container, the oldest first.
    pub(super) fn attempts(&self, name: &str) -> Vec<ContainerRecord> {
        let state = self.state.lock();
        state.containers.values().filter(|r| r.status.spec.name == name).cloned().collect()
    }

    pub(super) fn put(&self, record: ContainerRecord) {
        let event = ContainerEvent {
            sandbox: self.record.spec.id.clone(),
            container: record.status.spec.name.clone(),
            attempt: record.status.spec.attempt,
        };
        insert(&mut self.state.lock(), record);
        let _ = self.events.send(event);
    }

    /// The shim is gone: what still runs is killed, and its end recorded as unseen.
    ///
    /// Blocking: kills, writes files.
    pub(super) fn lost(&self) {
        self.state.lock().shim = None;
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
                self.state.lock().shim = Some(shim);
                containers.into_iter().for_each(|record| self.put(record));
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
fn insert(state: &mut State, record: ContainerRecord) {
    let key = key(&record);
    let ended = state
        .containers
        .get(&key)
        .is_some_and(|known| matches!(known.status.state, ContainerState::Exited(_)));
    if !ended {
        state.containers.insert(key, record);
    }
}

fn started_at(state: &ContainerState) -> Timestamp {
    match state {
        ContainerState::Running { started_at, .. } => *started_at,
        ContainerState::Exited(exit) => exit.started_at,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;
    use crate::shim::proto::{Message, frame};
    use crate::spec::{Network, SandboxSpec};

    fn record() -> SandboxRecord {
        SandboxRecord {
            spec: SandboxSpec {
                id: "s".into(),
                labels: Default::default(),
                hostname: "h".into(),
                network: Network::Host,
                hosts: String::new(),
                resolv_conf: String::new(),
                resources: Default::default(),
                log_dir: "/nonexistent".into(),
            },
            created_at: Timestamp::now(),
            isolated: false,
            cgroup: Default::default(),
        }
    }

    fn greet(listener: &UnixListener) -> UnixStream {
        let (mut client, _) = listener.accept().unwrap();
        let hello = Message::Hello { pid: 1, containers: Vec::new() };
        client.write_all(&frame(&hello).unwrap()).unwrap();
        client
    }

    #[tokio::test]
    async fn a_lost_connection_is_no_lost_shim() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("shim.sock")).unwrap();
        let tracker = TaskTracker::new();
        let (events, mut heard) = broadcast::channel(8);
        let directory = SandboxDir::new(folder.path().to_path_buf());
        let sandbox = Sandbox::new(record(), directory, events);
        let first = tokio::task::spawn_blocking(move || (greet(&listener), listener));
        let connect = Client::connect(&sandbox.directory, &tracker, sandbox.observer(&tracker));
        let (shim, _) = connect.await.unwrap();
        sandbox.set_shim(shim, Vec::new());
        let (client, listener) = first.await.unwrap();

        // Cut off, and there again.
        drop(client);
        let client = tokio::task::spawn_blocking(move || greet(&listener)).await.unwrap();
        assert!(
            sandbox.status().alive && heard.try_recv().is_err(),
            "nobody was told that the sandbox died"
        );

        // Cut off for good: the listener is gone as well.
        drop(client);
        assert_eq!(heard.recv().await.unwrap().container, "");
        assert!(!sandbox.status().alive);
    }
}
