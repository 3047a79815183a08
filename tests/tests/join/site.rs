//! A site of three hosts on one network segment, in network namespaces: a server's, which is that of the
//! test's thread, and two nodes'.
//!
//! ```text
//! 192.168.77.1 wharf-lan ──┬── wharf-a ══ eth0 192.168.77.11   node a
//!   (bridge)  wctl server  └── wharf-b ══ eth0 192.168.77.12   node b
//! ```
//!
//! A node's namespace belongs to a process that does nothing; it goes with that process, with all
//! interfaces in it.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tests::cluster::{PATIENCE, enter_network_namespace, succeed, wctl};
use tests::process::Guard;
use tests::{program, wait};

/// What joins: the arguments that the server prints.
type Invitation = Vec<String>;

/// See the module. Everything ends when this is dropped.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) server: Daemon,
    pub(crate) a: Node,
    pub(crate) b: Node,
}

/// One node: its namespace, and its agent when that runs.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    host: Guard,
    data: PathBuf,
    log: PathBuf,
    invitation: Invitation,
    pub(crate) agent: Option<Daemon>,
}

/// A `wctl` that runs until it is told to stop, and says `ready`.
pub(crate) struct Daemon {
    process: Guard,
    log: PathBuf,
    /// What it has printed before `ready`.
    said: Vec<String>,
}

impl Site {
    /// Starts a server with these further arguments, and both agents.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        enter_network_namespace()?;
        ip(&["link", "add", "wharf-lan", "type", "bridge"])?;
        ip(&["address", "add", "192.168.77.1/24", "dev", "wharf-lan"])?;
        ip(&["link", "set", "wharf-lan", "up"])?;
        let folder = tempfile::Builder::new().prefix("wharf-site-").tempdir()?;
        let server = serve(folder.path(), "server", "192.168.77.1:0", arguments)?;
        let invitation = server.invitation()?;
        let mut a = Node::new("a", 11, folder.path(), &invitation)?;
        let mut b = Node::new("b", 12, folder.path(), &invitation)?;
        a.start()?;
        b.start()?;
        Ok(Self { folder, server, a, b })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("server/kubeconfig")
    }

    /// Runs `wctl ARGUMENTS` against the server.
    pub(crate) fn wctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(wctl()?);
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        succeed(command.stdin(Stdio::null()))
    }

    /// Runs `kubectl ARGUMENTS` against the server.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program::find("kubectl")?);
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.folder.path().join("kube"));
        succeed(command.env("HOME", self.folder.path()).args(arguments).stdin(Stdio::null()))
    }

    pub(crate) fn apply(&self, manifest: &str) -> Result<()> {
        let file = self.folder.path().join("manifest.yaml");
        std::fs::write(&file, manifest)?;
        let file = file.to_str().context("a path in UTF-8")?;
        self.wctl(&["apply", "-f", file]).map(drop)
    }

    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let all = [&["get"], arguments, &["-o", "json"]].concat();
        Ok(serde_json::from_str(&self.wctl(&all)?)?)
    }

    /// Waits until `probe` likes what `wctl get ARGUMENTS` gives.
    pub(crate) fn until(&self, arguments: &[&str], probe: impl Fn(&Value) -> bool) -> Value {
        let what = format!("get {}", arguments.join(" "));
        wait::eventually(&what, PATIENCE * 2, || {
            let object = self.get(arguments).map_err(|error| format!("{error:#}"))?;
            if probe(&object) { Ok(object) } else { Err(format!("{object:#}\n{}", self.logs())) }
        })
    }

    /// Loads an image into the stores of both nodes.
    pub(crate) fn load(&self, path: &Path, name: &str) -> Result<()> {
        for node in [&self.a, &self.b] {
            let mut command = Command::new(wctl()?);
            command.args(["image", "load"]).arg(path).args(["--name", name, "--data-dir"]);
            succeed(command.arg(&node.data).stdin(Stdio::null()))?;
        }
        Ok(())
    }

    fn logs(&self) -> String {
        let logs = [&self.server.log, &self.a.log, &self.b.log];
        let text = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(40).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            format!("--- {}\n{}\n", path.display(), last.join("\n"))
        };
        logs.map(text).concat()
    }

    /// Ends both agents and the server as an operator does, and looks for panics.
    pub(crate) fn stop(mut self) -> Result<()> {
        for node in [&mut self.a, &mut self.b] {
            if let Some(agent) = node.agent.take() {
                agent.stop()?;
            }
        }
        for path in [&self.a.log, &self.b.log, &self.server.log] {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let bad: Vec<&str> = text
                .lines()
                .filter(|line| line.contains("panicked at ") || line.contains(" ERROR "))
                .collect();
            ensure!(bad.is_empty(), "{}: {}", path.display(), bad.join("\n"));
        }
        self.server.terminate()
    }
}

impl Node {
    fn new(
        name: &'static str,
        address: u8,
        folder: &Path,
        invitation: &Invitation,
    ) -> Result<Self> {
        let mut sleep = Command::new(program::find("unshare")?);
        sleep.args(["--net", "sleep", "infinity"]).stdin(Stdio::null());
        let host = Guard::spawn(&mut sleep)?;
        let (own, pid) = (std::fs::read_link("/proc/thread-self/ns/net")?, host.id().to_string());
        wait::eventually("a namespace for a node", PATIENCE, || {
            let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net"));
            match theirs {
                Ok(theirs) if theirs != own => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        let link = format!("wharf-{name}");
        ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
        ip(&["link", "set", &link, "master", "wharf-lan", "up"])?;
        let data = folder.join(name);
        let log = folder.join(format!("{name}.log"));
        let node = Self { name, host, data, log, invitation: invitation.clone(), agent: None };
        node.ip(&["address", "add", &format!("192.168.77.{address}/24"), "dev", "eth0"])?;
        for interface in ["lo", "eth0"] {
            node.ip(&["link", "set", interface, "up"])?;
        }
        Ok(node)
    }

    /// A command in the node's network namespace. Only that: its file system is the test's.
    fn inside(&self, program: &Path) -> Result<Command> {
        let mut command = Command::new(program::find("nsenter")?);
        command.arg(format!("--net=/proc/{}/ns/net", self.host.id())).arg("--").arg(program);
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Runs `ip ARGUMENTS` on the node.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<String> {
        succeed(self.inside(&program::find("ip")?)?.args(arguments))
    }

    /// Starts the agent and waits until the node is Ready.
    pub(crate) fn start(&mut self) -> Result<()> {
        let mut command = self.inside(&wctl()?)?;
        command.arg("agent").args(&self.invitation).args(["--node-name", self.name]);
        command.arg("--data-dir").arg(&self.data);
        self.agent = Some(Daemon::start(&mut command, &self.log)?);
        Ok(())
    }

    /// `kill -9`, and the cable is pulled.
    pub(crate) fn die(&mut self) -> Result<()> {
        self.agent = None;
        ip(&["link", "set", &format!("wharf-{}", self.name), "down"])
    }

    /// The cable is back.
    pub(crate) fn plug_in(&self) -> Result<()> {
        ip(&["link", "set", &format!("wharf-{}", self.name), "up"])
    }

    /// Its client and its serving certificate, with their keys.
    pub(crate) fn certificates(&self) -> Result<[String; 2]> {
        let read = |name: &str| std::fs::read_to_string(self.data.join("pki").join(name));
        Ok([read("kubelet-client.pem")?, read("kubelet-serving.pem")?])
    }

    /// Takes the token away from the command line: the node has joined.
    pub(crate) fn forget_token(&mut self) {
        if let Some(at) = self.invitation.iter().position(|word| word == "--token") {
            self.invitation.drain(at..at + 2);
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The shims outlive a killed agent: a last start and stop takes them away. Nothing is left to do
        // after `stop`, which takes the agents.
        for node in [&mut self.a, &mut self.b] {
            let _ = node.plug_in();
            if node.agent.is_none() && self.server.is_running() {
                let _ = node.start();
            }
            if let Some(agent) = node.agent.take() {
                let _ = agent.stop();
            }
        }
    }
}

/// Starts `wctl server` on a folder `name` below `folder`.
pub(crate) fn serve(folder: &Path, name: &str, listen: &str, arguments: &[&str]) -> Result<Daemon> {
    let mut command = Command::new(wctl()?);
    command.args(["server", "--listen", listen, "--data-dir"]).arg(folder.join(name));
    command.args(arguments).stdin(Stdio::null());
    Daemon::start(&mut command, &folder.join(format!("{name}.log")))
}

impl Daemon {
    fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let mut process = Guard::spawn(command.stdout(Stdio::piped()).stderr(file))?;
        let output = process.child().stdout.take().context("no standard output")?;
        let (say, heard) = mpsc::sync_channel(16);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens once the test has given up.
                let _ = say.send(line);
            }
        });
        let (end, mut said) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match heard.recv_timeout(left) {
                Ok(line) if line == "ready" => {
                    return Ok(Self { process, log: log.to_owned(), said });
                }
                Ok(line) => said.push(line),
                Err(error) => {
                    let log = std::fs::read_to_string(log).unwrap_or_default();
                    bail!("{command:?} is not ready: {error}\n{}\n{log}", said.join("\n"));
                }
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The arguments of `wctl agent` that the server has printed.
    pub(crate) fn invitation(&self) -> Result<Invitation> {
        let line = self.said.iter().find_map(|line| line.split_once("wctl agent "));
        let (_, arguments) = line.with_context(|| format!("no invitation in {:?}", self.said))?;
        Ok(arguments.split(' ').map(str::to_owned).collect())
    }

    fn is_running(&mut self) -> bool {
        matches!(self.process.child().try_wait(), Ok(None))
    }

    /// SIGTERM, and its exit.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.terminate()
    }

    /// SIGTERM, and its exit.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.child().try_wait()? {
                ensure!(status.success(), "it ended with {status}: {}", self.tail());
                return Ok(());
            }
            ensure!(Instant::now() < end, "it does not end: {}", self.tail());
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }

    fn tail(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Runs `ip ARGUMENTS` in the namespace of the calling thread.
fn ip(arguments: &[&str]) -> Result<()> {
    succeed(Command::new(program::find("ip")?).args(arguments)).map(drop)
}
