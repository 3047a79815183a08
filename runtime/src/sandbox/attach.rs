//! Who wants to talk with a container: which process it is, and its streams.

use std::path::Path;

use super::Sandboxes;
use crate::exec::ExecError;
use crate::shim::attach;
use crate::shim::record::ContainerRecord;
use crate::spec::ContainerState;
use crate::streams::{Streams, Terminal, Wanted, input, output};

/// A container that runs, as far as its sandbox is known.
pub(crate) struct Running {
    pub(crate) record: ContainerRecord,
    pub(crate) pid: u32,
    pub(crate) shim: u32,
    pub(crate) hostname: String,
}

impl Sandboxes {
    /// The executable of this crate's own processes.
    pub(crate) fn executable(&self) -> &Path {
        &self.config.executable
    }

    /// The running attempt of a container.
    pub(crate) fn running(&self, id: &str, container: &str) -> Result<Running, ExecError> {
        let not_running =
            || ExecError::NotRunning { sandbox: id.to_owned(), container: container.to_owned() };
        let sandbox = self.get(id).ok_or_else(not_running)?;
        let shim = sandbox.shim().ok_or_else(not_running)?.pid();
        let mut running = sandbox.running().into_iter();
        let record = running.find(|record| record.status.spec.name == container);
        let record = record.ok_or_else(not_running)?;
        let ContainerState::Running { pid, .. } = record.status.state else {
            return Err(not_running());
        };
        Ok(Running { record, pid, shim, hostname: sandbox.record.spec.hostname.clone() })
    }

    /// Connects with the streams of a container's first process.
    pub(crate) async fn attach(
        &self,
        id: &str,
        container: &str,
        wanted: Wanted,
    ) -> Result<Streams, ExecError> {
        self.running(id, container)?;
        let (directory, name) = (self.directory(id), container.to_owned());
        let failed = |source| ExecError::Start { operation: "attach to the container", source };
        let attached = tokio::task::spawn_blocking(move || attach(&directory, &name, wanted))
            .await
            .map_err(|e| failed(std::io::Error::other(e)))?
            .map_err(|e| failed(std::io::Error::other(e)))?
            .map_err(|message| ExecError::Config { message })?;
        let mut streams = Streams {
            stdin: attached.stdin.map(input).transpose().map_err(failed)?,
            stdout: attached.stdout.map(output).transpose().map_err(failed)?,
            stderr: attached.stderr.map(output).transpose().map_err(failed)?,
            terminal: None,
        };
        if let Some(master) = attached.terminal {
            let terminal = Terminal::new(master).map_err(failed)?;
            if wanted.stdin {
                streams.stdin = Some(Box::new(terminal.clone()));
            }
            streams.terminal = Some(terminal);
        }
        Ok(streams)
    }
}
