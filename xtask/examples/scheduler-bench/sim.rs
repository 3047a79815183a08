//! The cluster under test: `wctl sim` on a new data folder.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::process::Guard;

use crate::client::Endpoint;

/// A running `wctl sim`; stopped with SIGTERM when dropped.
pub(crate) struct Sim {
    process: Guard,
    /// How to reach it.
    pub(crate) endpoint: Endpoint,
    /// Kept open: a server that says something is not to fail.
    _output: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Sim {
    /// Starts it and waits until all nodes take pods.
    pub(crate) fn start(wctl: &Path, nodes: u32, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wharf-scheduler-bench-").tempdir()?;
        let data = folder.path();
        let log = data.join("wctl.log");
        let mut command = Command::new(wctl);
        command.args(["sim", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        command.arg(format!("--nodes={nodes}")).args(arguments);
        if std::env::var_os("WHARF_LOG").is_none() {
            command.env("WHARF_LOG", "warn");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut process = Guard::spawn(&mut command)?;
        let output = process.child().stdout.take().context("wctl sim has no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let ended = || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            format!("wctl sim ended:\n{text}")
        };
        while lines.next().transpose()?.with_context(ended)? != "ready" {}
        let endpoint = Endpoint::from_kubeconfig(&data.join("kubeconfig"))?;
        Ok(Self { process, endpoint, _output: lines, _folder: folder })
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        self.memory("VmRSS:")
    }

    /// The most it ever was.
    pub(crate) fn peak(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Result<f64> {
        let path = format!("/proc/{}/status", self.process.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib = kib.with_context(|| format!("{path} has no {field}"))?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // Best effort: what is left is killed with the guard.
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        let _ = self.process.child().wait();
    }
}
