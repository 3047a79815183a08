//! A `wctl dev` of our own in a temporary folder, driven through `wctl` and the API.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long `wctl dev` may take to say `ready` before the demo gives up.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running single-host cluster; stopped when dropped.
pub(crate) struct Cluster {
    wctl: PathBuf,
    data: PathBuf,
    server: Option<Child>,
}

impl Cluster {
    /// Starts `wctl dev --data-dir DATA` and waits for its line `ready`.
    pub(crate) fn start(wctl: &Path, data: &Path) -> Result<Self> {
        let log = File::create(data.join("wctl.log"))?;
        let mut server = Command::new(wctl)
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", wctl.display()))?;
        let output = server.stdout.take().context("wctl dev has no standard output")?;
        let cluster = Self { wctl: wctl.to_owned(), data: data.to_owned(), server: Some(server) };
        match ready(output).recv_timeout(READY_LIMIT) {
            Ok(()) => Ok(cluster),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("wctl dev ended before it was ready:\n{}", cluster.log_tail())
            }
            Err(RecvTimeoutError::Timeout) => {
                bail!("wctl dev is not ready after {READY_LIMIT:?}:\n{}", cluster.log_tail())
            }
        }
    }

    /// The folder with the cluster's state.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Process id of `wctl dev`.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// A `wctl` that talks to this cluster.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.wctl);
        command.arg("--kubeconfig").arg(self.data.join("kubeconfig"));
        command
    }

    /// Runs `wctl ARGUMENTS` and gives its output.
    pub(crate) fn wctl(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command().args(arguments).output().context("run wctl")?;
        ensure!(
            output.status.success(),
            "wctl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        String::from_utf8(output.stdout).context("wctl printed something that is not UTF-8")
    }

    /// Runs `wctl get ARGUMENTS -o json`.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["get"];
        all.extend(arguments);
        all.extend(["-o", "json"]);
        serde_json::from_str(&self.wctl(&all)?).context("parse wctl's JSON")
    }

    /// Leaves the cluster running.
    pub(crate) fn keep(mut self) {
        self.server = None;
    }

    /// Stops the cluster as a user would, with SIGTERM, and waits for it.
    pub(crate) fn stop(mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        terminate(&server)?;
        let status = server.wait()?;
        ensure!(status.success(), "wctl dev ended with {status}:\n{}", self.log_tail());
        Ok(())
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.data.join("wctl.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // Best effort on the way out of a failure: the error that led here is what matters.
            let _ = terminate(server);
            let _ = server.wait();
        }
    }
}

/// Tells when the server says `ready`; hangs up when it ends. A server that says nothing keeps nobody.
fn ready(output: ChildStdout) -> Receiver<()> {
    let (say, heard) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line == "ready" {
                // Nobody listens once the demo has given up.
                let _ = say.send(());
            }
        }
    });
    heard
}

fn terminate(server: &Child) -> Result<()> {
    let status = Command::new("kill").args(["-TERM", &server.id().to_string()]).status()?;
    ensure!(status.success(), "cannot signal process {}", server.id());
    Ok(())
}
