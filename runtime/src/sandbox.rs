//! Every sandbox of this node, as the agent's process sees them.
//!
//! The truth is with the shims and in their records; what is kept here is a copy that their pushed
//! changes keep current. So there is nothing to save when the agent ends, and [`Sandboxes::open`] finds
//! everything again: it connects to each shim, and where there is none it cleans up ([`adopt`]).

mod adopt;
mod attach;
mod connect;
mod create;
mod in_use;
mod plan;
mod prepare;
mod remove;
mod start;
mod stop;
mod update;
mod usage;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

use crate::host::HostFacts;
use crate::runtime::RuntimeConfig;
use crate::shim::record::SandboxDir;
use crate::spec::{ContainerEvent, SandboxStatus};

pub(crate) use attach::Running;
pub use in_use::images_in_use;
pub use usage::{ContainerUsage, SandboxUsage};

use view::Sandbox;

/// Events that a slow receiver may lag behind before it has to look again.
const EVENT_BACKLOG: usize = 4096;

/// A shim that has not greeted by then does not work. Giving it up ends its containers, and a slow disk
/// alone is no reason for that.
const GREETING: Duration = Duration::from_secs(30);

/// All sandboxes.
pub(crate) struct Sandboxes {
    config: RuntimeConfig,
    host: HostFacts,
    events: broadcast::Sender<ContainerEvent>,
    known: Mutex<BTreeMap<String, Arc<Sandbox>>>,
    /// Serialises create, start and remove per sandbox.
    gates: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    tracker: TaskTracker,
}

impl Sandboxes {
    /// What this host permits.
    pub(crate) fn host(&self) -> &HostFacts {
        &self.host
    }

    /// Every sandbox, by id.
    pub(crate) fn list(&self) -> Vec<SandboxStatus> {
        self.known.lock().values().map(|sandbox| sandbox.status()).collect()
    }

    /// State changes from now on.
    pub(crate) fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.events.subscribe()
    }

    fn get(&self, id: &str) -> Option<Arc<Sandbox>> {
        self.known.lock().get(id).cloned()
    }

    fn directory(&self, id: &str) -> SandboxDir {
        SandboxDir::new(self.root().join(id))
    }

    fn root(&self) -> PathBuf {
        self.config.root.join("sandboxes")
    }

    async fn gate(&self, id: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let gate = self.gates.lock().entry(id.to_owned()).or_default().clone();
        gate.lock_owned().await
    }

    fn forget_gate(&self, id: &str) {
        // Whoever waits holds a clone; a new comer after this makes a new one and finds no sandbox.
        self.gates.lock().remove(id);
    }
}

/// Whether a text can name a directory, a cgroup and a part of a URL.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
