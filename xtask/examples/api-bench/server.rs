//! The server under test: `wctl dev` on a new data folder.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::process::Guard;

use crate::client::{Connection, Endpoint};

/// A running `wctl dev`; stopped as a user would, with SIGTERM, when dropped.
pub(crate) struct Server {
    process: Guard,
    /// From starting the process to its line `ready`.
    pub(crate) ready: Duration,
    /// How to reach it.
    pub(crate) endpoint: Endpoint,
    /// Kept open: a server that says something is not to fail.
    _output: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts `wctl dev` and waits for its line `ready`. It keeps its state in SQLite in its folder, or
    /// in `datastore`.
    pub(crate) fn start(wctl: &Path, datastore: Option<&str>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wharf-api-bench-").tempdir()?;
        let data = folder.path();
        let log = data.join("wctl.log");
        let mut command = Command::new(wctl);
        command.args(["dev", "--loopback", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        command.args(datastore.map(|url| format!("--datastore={url}")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let begin = Instant::now();
        let mut process = Guard::spawn(&mut command)?;
        let output = process.child().stdout.take().context("wctl dev has no standard output")?;
        let mut lines = BufReader::new(output).lines();
        while lines.next().transpose()?.with_context(|| ended(&log))? != "ready" {}
        let ready = begin.elapsed();
        let endpoint = Endpoint::from_kubeconfig(&data.join("kubeconfig"))?;
        Ok(Self { process, ready, endpoint, _output: lines, _folder: folder })
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        let status = self.proc("status");
        let text = std::fs::read_to_string(&status)
            .with_context(|| format!("read {}", status.display()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib = kib.with_context(|| format!("{} has no VmRSS", status.display()))?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    /// Processor time used, in the kernel's ticks of 10 ms (proc(5), utime and stime).
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(self.proc("stat"))?;
        let (_, rest) = text.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
        let user = ticks(11).context("/proc/PID/stat has no utime")?;
        let system = ticks(12).context("/proc/PID/stat has no stime")?;
        Ok(Duration::from_millis(10 * (user + system)))
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.process.id()))
    }
}

fn ended(log: &Path) -> String {
    format!("wctl dev ended:\n{}", std::fs::read_to_string(log).unwrap_or_default())
}

impl Drop for Server {
    fn drop(&mut self) {
        // Best effort: what is left is killed with the guard.
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        let _ = self.process.child().wait();
    }
}

/// The pod that is created: one container, no node, a scheduler that does not exist.
pub(crate) fn pod(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"bench"}}}},"spec":{{"schedulerName":"nobody","containers":[{{"name":"main","image":"bench/web:v1","ports":[{{"containerPort":8080}}],"resources":{{"requests":{{"cpu":"10m","memory":"16Mi"}}}}}}]}}}}"#
    )
}

/// Creates the pod `prefix-number`.
pub(crate) fn create(
    client: &mut Connection,
    namespace: &str,
    prefix: &str,
    number: impl std::fmt::Display,
) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    client.expect("POST", &path, &pod(&format!("{prefix}-{number}")), &mut Vec::new())
}
