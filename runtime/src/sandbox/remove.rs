//! Removing a sandbox so that nothing stays behind but its logs.

use std::io;
use std::time::Duration;

use rustix::process::Signal;

use super::Sandboxes;
use crate::cgroup;
use crate::net;
use crate::remove_tree;
use crate::runtime::SandboxError;
use crate::shim::Client;
use crate::shim::proto::Operation;
use crate::shim::record::{SandboxDir, SandboxRecord};
use crate::spec::Network;

/// A shim that has not ended its containers by then is killed itself.
const QUIT: Duration = Duration::from_secs(10);

impl Sandboxes {
    /// Kills, unmounts, disconnects and deletes.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), SandboxError> {
        let _gate = self.gate(id).await;
        let Some(sandbox) = self.get(id) else {
            self.forget_gate(id);
            return Ok(());
        };
        if let Some(shim) = sandbox.shim() {
            end(&shim).await;
        }
        let (record, directory) = (sandbox.record.clone(), sandbox.directory.clone());
        tokio::task::spawn_blocking(move || clean_up(&record, &directory))
            .await
            .map_err(|e| SandboxError::Shim { message: e.to_string() })??;
        self.known.lock().remove(id);
        self.forget_gate(id);
        Ok(())
    }
}

/// Asks the shim to kill everything and end, and waits for its process to be gone.
async fn end(shim: &Client) {
    let asked = tokio::time::timeout(QUIT, shim.call(Operation::Quit)).await;
    let Some(process) = shim.process() else { return };
    if !matches!(asked, Ok(Ok(_))) {
        tracing::warn!(pid = shim.pid(), "a shim did not end in time and is killed");
        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
    }
    // Readable once the process is gone.
    if let Ok(watched) = process.try_clone().and_then(crate::sys::watch_descriptor) {
        let _ = tokio::time::timeout(QUIT, watched.readable()).await;
    }
}

/// Everything but the shim itself; each step finds its work already done without complaint. Blocking.
pub(super) fn clean_up(record: &SandboxRecord, directory: &SandboxDir) -> Result<(), SandboxError> {
    if record.isolated {
        cgroup::kill(&record.cgroup);
        cgroup::remove(&record.cgroup).map_err(|source| SandboxError::Cgroup { source })?;
        let _ = rustix::mount::unmount(directory.shm(), rustix::mount::UnmountFlags::DETACH);
        if matches!(record.spec.network, Network::Pod { .. }) {
            net::remove_veth(&record.spec.id).map_err(|source| SandboxError::Network { source })?;
        }
    }
    match remove_tree(directory.path()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| SandboxError::File {
            operation: "remove",
            path: directory.path().to_path_buf(),
            source,
        }),
    }
}
