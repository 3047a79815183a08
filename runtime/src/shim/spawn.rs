//! Starting a shim, from the agent.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;

use super::record::SandboxDir;
use crate::sys::{MountAttributes, set_mount_attributes};

/// What a shim writes to its standard output when it serves its socket.
pub(super) const READY: &str = "ready";

/// Setting up a sandbox takes milliseconds; a shim that is not ready by then hangs.
const SERVING: Duration = Duration::from_secs(30);

/// Why there is no shim.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// The process could not be started.
    #[error("cannot start a process")]
    Start(#[source] io::Error),
    /// It started and gave up.
    #[error("{0}")]
    GaveUp(String),
}

/// Starts a shim for a sandbox whose `sandbox.json` is written; returns when it serves its socket.
///
/// The process started here is not the shim but its parent, which ends at once; so the shim is nobody's
/// child here, and the wait below is short.
pub(crate) async fn spawn(executable: &Path, directory: &SandboxDir) -> Result<(), SpawnError> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.log())
        .map_err(SpawnError::Start)?;
    let sealed = read_only(executable);
    let executable = match &sealed {
        // In the child this is the same descriptor, and still open when it is executed.
        Some(tree) => PathBuf::from(format!("/proc/self/fd/{}", tree.as_raw_fd())),
        None => executable.to_path_buf(),
    };
    let started = tokio::process::Command::new(executable)
        .arg("shim")
        .arg("--dir")
        .arg(directory.path())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(SpawnError::Start)?;
    let output = tokio::time::timeout(SERVING, started.wait_with_output())
        .await
        .map_err(|_| SpawnError::GaveUp("it did not get ready in time".to_owned()))?
        .map_err(SpawnError::Start)?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim() {
        READY => Ok(()),
        "" => Err(SpawnError::GaveUp(format!("it ended without a word ({})", output.status))),
        problem => Err(SpawnError::GaveUp(problem.to_owned())),
    }
}

/// The executable on a read-only mount of its own that is attached nowhere.
///
/// Whatever the shim clones finds it at `/proc/<pid>/exe`, and a container's program can be told to be
/// that very file, with the image's own libraries: through a writable mount it could replace the host's
/// `wctl` as soon as nobody executes it (runc's CVE-2019-5736). `None` where the host does not permit
/// mounts, and therefore no native containers either.
pub(crate) fn read_only(executable: &Path) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, executable, flags).ok()?;
    let attributes = MountAttributes { read_only: true, ..MountAttributes::default() };
    set_mount_attributes(tree.as_fd(), attributes, false).ok()?;
    Some(tree)
}
