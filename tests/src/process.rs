//! Child processes that never outlive the test.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use anyhow::{Context, Result};

/// A child that is killed (SIGKILL, by process id) and reaped when dropped.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Starts `command` from the calling thread: it inherits that thread's namespaces.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        // A process group of its own keeps a terminal's Ctrl-C for the test runner.
        command.process_group(0);
        Ok(Self(command.spawn().with_context(|| format!("start {name}"))?))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The child itself, to wait for it or take its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Failing to kill means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who a server runs as when the test runs as root.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Starts a server that lives as long as this process and gets `on_death` when it ends.
///
/// The death signal is tied to the thread that starts the child, and a test's
/// own thread ends with the test: hence the thread that only waits for the child. A change
/// of user clears the signal, so one `setpriv` does both.
pub fn spawn_for_good(command: &Command, owner: Option<Owner>, on_death: &str) -> Result<u32> {
    let mut bound = Command::new(crate::program::find("setpriv")?);
    if let Some(Owner { uid, gid }) = owner {
        bound.args([format!("--reuid={uid}"), format!("--regid={gid}")]).arg("--clear-groups");
    }
    bound.args(["--pdeathsig", on_death, "--"]).arg(command.get_program()).args(command.get_args());
    bound.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let (send, receive) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("spawner".into()).spawn(move || {
        let mut child = bound.spawn();
        let id = child.as_ref().map(Child::id).map_err(|error| error.kind().into());
        if send.send(id).is_ok()
            && let Ok(child) = &mut child
        {
            // Reaped at once: whoever killed it can see that it has gone.
            let _ = child.wait();
        }
    })?;
    let id: std::io::Result<u32> = receive.recv().context("spawner thread ended")?;
    id.context("start a server")
}

/// Whether a process started by [`spawn_for_good`] still runs.
pub fn is_running(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}
