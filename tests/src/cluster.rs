//! A `wctl dev` for one test: its own network namespace, its own data folder, port 0.
//!
//! The namespace belongs to the test's thread; whatever the test starts from that thread, kubectl
//! and plain sockets included, is inside it. Two tests never meet.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Guard;
use crate::{program, wait};

/// How long anything may take before a test is called broken. No assertion about speed.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Debian's user `nobody`.
const NOBODY: u32 = 65534;

/// A running single-host cluster; stopped with everything in it when dropped.
#[derive(Debug)]
pub struct Cluster {
    wctl: PathBuf,
    /// The command of `wctl` that runs it: `dev` or `sim`.
    mode: &'static str,
    /// Everything runs as this user, not as the test's.
    user: Option<u32>,
    /// Unmounted before `folder` is removed.
    _disk: Option<Disk>,
    folder: TempDir,
    server: Option<Guard>,
    /// By [`Cluster::kill`], and not started since.
    killed: bool,
    arguments: Vec<String>,
    /// Log lines that contain one of these are expected although they warn.
    expected: Vec<String>,
}

impl Cluster {
    /// Enters a new network namespace and starts `wctl dev` in it.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Like [`Cluster::start`], with further arguments for `wctl dev`.
    pub fn start_with(arguments: &[&str]) -> Result<Self> {
        enter_network_namespace()?;
        Self::start_here(arguments)
    }

    /// Starts `wctl dev` in the network namespace that the thread is in.
    pub fn start_here(arguments: &[&str]) -> Result<Self> {
        Self::start_in(
            tempfile::Builder::new().prefix("wharf-cluster-").tempdir()?,
            None,
            arguments,
        )
    }

    /// Starts `wctl sim` with these arguments. It needs no network of its own: only its API server
    /// listens, on a free port.
    pub fn simulate(arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wharf-sim-").tempdir()?;
        let mut cluster = Self::stopped(folder, None, arguments)?;
        cluster.mode = "sim";
        cluster.launch()?;
        Ok(cluster)
    }

    /// Like [`Cluster::start`], with a data folder that holds no more than `size` (`16m`). The disk
    /// is seen by the calling thread and what it starts.
    pub fn start_on_disk(size: &str) -> Result<Self> {
        enter_network_namespace()?;
        let folder = tempfile::Builder::new().prefix("wharf-cluster-").tempdir()?;
        let disk = Disk::mount(&folder.path().join("data"), size)?;
        Self::start_in(folder, Some(disk), &[])
    }

    /// Like [`Cluster::start`], but `wctl dev` and every command run as the user `nobody`, as on a host
    /// that gives no root.
    pub fn start_unprivileged() -> Result<Self> {
        enter_network_namespace()?;
        let folder = tempfile::Builder::new().prefix("wharf-cluster-").tempdir()?;
        chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        // The build folder is root's, and nobody else may look into it.
        let program = folder.path().join("wctl");
        if std::fs::hard_link(wctl()?, &program).is_err() {
            std::fs::copy(wctl()?, &program).context("copy wctl")?;
        }
        let mut cluster = Self::stopped(folder, None, &[])?;
        (cluster.wctl, cluster.user) = (program, Some(NOBODY));
        cluster.launch()?;
        Ok(cluster)
    }

    fn start_in(folder: TempDir, disk: Option<Disk>, arguments: &[&str]) -> Result<Self> {
        let mut cluster = Self::stopped(folder, disk, arguments)?;
        cluster.launch()?;
        Ok(cluster)
    }

    fn stopped(folder: TempDir, disk: Option<Disk>, arguments: &[&str]) -> Result<Self> {
        Ok(Self {
            wctl: wctl()?,
            mode: "dev",
            user: None,
            _disk: disk,
            folder,
            server: None,
            killed: false,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            expected: Vec::new(),
        })
    }

    /// A warning or error whose line contains `text` does not fail the test.
    pub fn expect_log(&mut self, text: &str) {
        self.expected.push(text.to_owned());
    }

    /// Starts (again) on the same data folder and waits for `ready`.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the cluster runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = self.program();
        command.args([self.mode, "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.data_dir());
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut server = Guard::spawn(&mut command)?;
        let output = server.child().stdout.take().context("no standard output")?;
        match ready(output).recv_timeout(PATIENCE) {
            Ok(()) => {
                self.server = Some(server);
                self.killed = false;
                Ok(())
            }
            Err(RecvTimeoutError::Disconnected) => {
                anyhow::bail!("wctl dev ended before it was ready:\n{}", self.log())
            }
            Err(RecvTimeoutError::Timeout) => {
                anyhow::bail!("wctl dev is not ready after {PATIENCE:?}:\n{}", self.log())
            }
        }
    }

    /// `kill -9`: nothing gets a chance to say goodbye.
    pub fn kill(&mut self) {
        self.server = None;
        self.killed = true;
    }

    /// SIGTERM, and its exit.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(server.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        // No panic here: a test that fails already stops its cluster on the way out.
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = server.child().try_wait()? {
                break status;
            }
            ensure!(
                Instant::now() < end,
                "wctl dev does not end after {PATIENCE:?}:\n{}",
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        };
        ensure!(status.success(), "wctl dev ended with {status}:\n{}", self.log());
        Ok(())
    }

    /// Process id of `wctl dev`.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().map_or(0, Guard::id)
    }

    /// The folder with the cluster's state.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("kubeconfig")
    }

    /// What `wctl dev` has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("wctl.log")
    }

    /// `wctl` as the user in question. setpriv becomes it: same process, same id.
    fn program(&self) -> Command {
        let Some(user) = self.user else { return Command::new(&self.wctl) };
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        command.args(["--clear-groups", "--"]).arg(&self.wctl);
        command
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"));
        command
    }

    /// A `wctl` for this cluster.
    pub fn command(&self) -> Command {
        let mut command = self.program();
        command.arg("--kubeconfig").arg(self.kubeconfig()).stdin(Stdio::null());
        command
    }

    /// A kubectl for this cluster with caches of its own; `None` where the host has no kubectl.
    pub fn kubectl(&self) -> Option<Command> {
        let mut command = Command::new(program::find("kubectl").ok()?);
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.folder.path().join("kube"));
        command.env("HOME", self.folder.path()).stdin(Stdio::null());
        Some(command)
    }

    /// Runs `wctl ARGUMENTS`; its standard output, or an error with its standard error.
    pub fn wctl(&self, arguments: &[&str]) -> Result<String> {
        succeed(self.command().args(arguments))
    }

    /// Runs `wctl ARGUMENTS` that must fail; its standard error.
    pub fn wctl_fails(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command().args(arguments).output()?;
        ensure!(!output.status.success(), "wctl {arguments:?} succeeded");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Applies a manifest given as text.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        let file = self.folder.path().join("manifest.yaml");
        std::fs::write(&file, manifest)?;
        succeed(self.command().arg("apply").arg("-f").arg(file))
    }

    /// Runs `wctl get ARGUMENTS -o json`.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["get"];
        all.extend(arguments);
        all.extend(["-o", "json"]);
        Ok(serde_json::from_str(&self.wctl(&all)?)?)
    }

    /// Waits until `probe` likes the object that `wctl get ARGUMENTS` gives.
    pub fn until(&self, arguments: &[&str], probe: impl Fn(&Value) -> bool) -> Value {
        wait::eventually(&format!("get {}", arguments.join(" ")), PATIENCE, || {
            let object = self.get(arguments).map_err(|error| format!("{error:#}"))?;
            if probe(&object) {
                Ok(object)
            } else {
                Err(format!("{}\n{}", object["status"], self.log()))
            }
        })
    }

    /// Loads an image from the repository's fixtures under the given name.
    pub fn load_fixture(&self, file: &str, name: &str) -> Result<()> {
        // The repository may be a folder that only root can read.
        let path = self.folder.path().join(file);
        std::fs::copy(program::repository().join("fixtures/wasm").join(file), &path)?;
        succeed(self.command().args(["image", "load"]).arg(path).args(["--name", name]))?;
        Ok(())
    }

    /// Log lines that warn and that no test expects.
    fn unexpected(&self) -> Vec<String> {
        self.log()
            .lines()
            .filter(|line| complains(line))
            .filter(|line| !self.expected.iter().any(|text| line.contains(text)))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.killed {
            // The shims still run: a last start and stop takes them away.
            let _ = self.launch();
        }
        let stopped = self.stop();
        if std::thread::panicking() {
            eprintln!("--- log of wctl dev\n{}", self.log());
            return;
        }
        stopped.expect("wctl dev stops cleanly");
        let unexpected = self.unexpected();
        assert!(unexpected.is_empty(), "wctl dev warned:\n{}", unexpected.join("\n"));
    }
}

/// A small file system of its own, in memory, in a mount namespace of the calling thread.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace (are we root?)")?;
        let mount = program::find("mount")?;
        succeed(Command::new(&mount).args(["--make-rprivate", "/"]))?;
        std::fs::create_dir(at)?;
        let options = format!("size={size}");
        succeed(Command::new(&mount).args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at))?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What the cluster left mounted below would have failed its own test; this only cleans.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Whether a line of the log says that something went wrong. A task that panics ends silently but for
/// the line of the panic itself.
fn complains(line: &str) -> bool {
    [" WARN ", "ERROR ", "panicked at "].iter().any(|sign| line.contains(sign))
}

/// Tells when the server says `ready`; hangs up when it ends. Everything is read: a server whose
/// standard output is closed fails when it prints.
fn ready(output: ChildStdout) -> Receiver<()> {
    let (say, heard) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line == "ready" {
                // Nobody listens once the test has given up.
                let _ = say.send(());
            }
        }
    });
    heard
}

/// Moves the calling thread into a new network namespace with a loopback interface that is up.
pub fn enter_network_namespace() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace (are we root?)")?;
    succeed(Command::new(program::find("ip")?).args(["link", "set", "lo", "up"]))?;
    Ok(())
}

/// Runs a command; its standard output, or an error with its standard error.
pub fn succeed(command: &mut Command) -> Result<String> {
    let output: Output = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The binary under test: `$WHARF_WCTL`, else the one that cargo built beside this test.
pub fn wctl() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WHARF_WCTL") {
        return Ok(PathBuf::from(path));
    }
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("a test outside of target/")?;
    let wctl = folder.join("wctl");
    ensure!(
        wctl.is_file(),
        "{} is missing: run `cargo build -p wctl` or `cargo xtask test`",
        wctl.display()
    );
    Ok(wctl)
}

/// The whole of a file, for log comparisons.
pub fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(path)
        .with_context(|| format!("open {}", path.display()))?
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::complains;

    #[test]
    fn panics_of_background_tasks_fail_a_test_too() {
        assert!(complains(
            "thread 'tokio-rt-worker' (17) panicked at agent/src/pod/worker.rs:7:9:"
        ));
        assert!(complains("2026-11-21T10:00:00Z  WARN agent: watch of pods failed"));
        assert!(complains("2026-11-21T10:00:00Z ERROR store: cannot commit"));
        assert!(!complains("2026-11-21T10:00:00Z  INFO agent: node registered"));
    }
}
