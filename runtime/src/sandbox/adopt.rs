//! Finding everything again after the agent was restarted.

use std::fs;
use std::io;
use std::path::Path;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

use super::view::Sandbox;
use super::{EVENT_BACKLOG, GREETING, Sandboxes};
use crate::host::HostFacts;
use crate::remove_tree;
use crate::runtime::{OpenError, RuntimeConfig};
use crate::shim::Client;
use crate::shim::record::{SandboxDir, SandboxRecord, read_json};

impl Sandboxes {
    /// Adopts every sandbox on disk.
    pub(crate) async fn open(config: RuntimeConfig, host: HostFacts) -> Result<Self, OpenError> {
        let sandboxes = Self {
            events: broadcast::channel(EVENT_BACKLOG).0,
            known: Mutex::default(),
            gates: Mutex::default(),
            tracker: TaskTracker::new(),
            config,
            host,
        };
        let root = sandboxes.root();
        let failed = |source| OpenError::ReadSandboxes { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(failed)?;
        for entry in fs::read_dir(&root).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            sandboxes.adopt(&path).await;
        }
        Ok(sandboxes)
    }

    async fn adopt(&self, path: &Path) {
        let directory = SandboxDir::new(path.to_path_buf());
        let record: SandboxRecord = match read_json(&directory.record()) {
            Ok(record) => record,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Without a record nothing was ever started in it: the agent died while making it.
                tracing::warn!(path = %path.display(), "removing a sandbox without a record");
                let path = path.to_path_buf();
                let _ = tokio::task::spawn_blocking(move || remove_tree(&path)).await;
                return;
            }
            Err(error) => {
                // Containers may well run in it: their files are not ours to remove unread.
                tracing::warn!(path = %path.display(), %error, "leaving a sandbox that cannot be read");
                return;
            }
        };
        let id = record.spec.id.clone();
        let sandbox = Sandbox::new(record, directory, self.events.clone());
        let connect =
            Client::connect(&sandbox.directory, &self.tracker, sandbox.observer(&self.tracker));
        match tokio::time::timeout(GREETING, connect).await {
            Ok(Ok((shim, containers))) => {
                tracing::info!(sandbox = id, pid = shim.pid(), "adopted a sandbox");
                sandbox.set_shim(shim, containers);
                sandbox.remember(sandbox.directory.container_records());
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(sandbox = id, "the shim of a sandbox is gone");
                sandbox.remember(sandbox.directory.container_records());
                let lost = sandbox.clone();
                let _ = tokio::task::spawn_blocking(move || lost.lost()).await;
            }
        }
        self.known.lock().insert(id, sandbox);
    }
}
