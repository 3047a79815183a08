//! How other commands find the dev cluster that runs on this host: a small file that names it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A dev cluster that runs (or ran: [`find`] checks).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    /// Process id of `wctl dev`.
    pub(crate) pid: u32,
    /// Its data folder.
    pub(crate) data_dir: PathBuf,
}

impl Running {
    /// The file with the credentials.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }
}

/// Whether `folder` is a dev cluster's data folder.
pub(crate) fn is_data_dir(folder: &Path) -> bool {
    folder.join("pki").is_dir() && folder.join("runtime").is_dir()
}

/// The dev cluster that runs on this host for this user.
pub(crate) fn find() -> Option<Running> {
    let text = std::fs::read(file()?).ok()?;
    let running: Running = serde_json::from_slice(&text).ok()?;
    Path::new("/proc").join(running.pid.to_string()).exists().then_some(running)
}

/// Says that this process is the dev cluster on `data_dir`. The file goes when the value is dropped.
pub(crate) fn announce(data_dir: &Path) -> Result<Announcement> {
    let Some(path) = file() else { return Ok(Announcement(None)) };
    if find().is_some() {
        // The first cluster keeps the name; the second is reached by --kubeconfig.
        return Ok(Announcement(None));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let running = Running { pid: std::process::id(), data_dir: data_dir.to_owned() };
    std::fs::write(&path, serde_json::to_vec(&running)?)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(Announcement(Some(path)))
}

/// Removes the file when the cluster ends.
pub(crate) struct Announcement(Option<PathBuf>);

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // A stale file is recognised by its process id.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn file() -> Option<PathBuf> {
    let folder = if rustix::process::geteuid().is_root() {
        PathBuf::from("/run/wharf")
    } else {
        PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?).join("wharf")
    };
    Some(folder.join("dev.json"))
}
