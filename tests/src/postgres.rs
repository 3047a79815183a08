//! A private PostgreSQL server per test process, a fresh database per call; or, for tests that kill
//! it, a server of the test's own ([`Instance`]).

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User, chown};
use tempfile::TempDir;

use crate::process::{self, Owner};
use crate::{program, wait};

/// Where the server of this test process listens.
#[derive(Debug, Clone)]
pub struct Server {
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// Process id of the postmaster.
    pub pid: u32,
    /// The data folder.
    pub data: PathBuf,
    bin: PathBuf,
}

/// How long a server may take to answer, or to end. No assertion about speed.
const PATIENCE: Duration = Duration::from_secs(60);

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// URL of a new, empty database (`postgres://postgres@127.0.0.1:PORT/testN`).
pub fn database() -> Result<String> {
    server()?.database()
}

impl Server {
    /// URL of a new, empty database of this server.
    pub fn database(&self) -> Result<String> {
        let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let made = Command::new(self.bin.join("createdb"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string(), &name])
            .output()
            .context("run createdb")?;
        ensure!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        Ok(format!("postgres://postgres@127.0.0.1:{}/{name}", self.port))
    }

    /// Starts the postmaster on its folder and port, and waits until it answers.
    ///
    /// After a kill the first attempts may end at once: the backends of before have to notice first.
    fn launch(&mut self) -> Result<()> {
        // fsync stays on: durability is what the tests are about.
        let mut postmaster = Command::new(self.bin.join("postgres"));
        postmaster.arg("-D").arg(&self.data).args(["-p", &self.port.to_string()]);
        postmaster.args(["-h", "127.0.0.1", "-c", "unix_socket_directories="]);
        postmaster.args(["-c", "max_connections=200", "-c", "logging_collector=on"]);
        postmaster.args(["-c", "log_directory=log"]);
        let owner = owner()?;
        self.pid = process::spawn_for_good(&postmaster, owner, "INT")?;
        wait::eventually("PostgreSQL answers", PATIENCE, || {
            if !process::is_running(self.pid) {
                self.pid = process::spawn_for_good(&postmaster, owner, "INT")
                    .map_err(|error| format!("{error:#}"))?;
            }
            let address = ("127.0.0.1", self.port);
            TcpStream::connect(address).map_err(|error| error.to_string())?;
            let ready = Command::new(self.bin.join("pg_isready"))
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
                .output()
                .map_err(|error| error.to_string())?;
            if ready.status.success() {
                Ok(())
            } else {
                Err(String::from_utf8_lossy(&ready.stdout).into_owned())
            }
        });
        Ok(())
    }

    /// Sends the postmaster a signal and waits until it has ended.
    fn end(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid)?);
        kill(pid, signal).context("signal the postmaster")?;
        wait::eventually("the postmaster ends", PATIENCE, || {
            if process::is_running(self.pid) { Err("it runs".to_owned()) } else { Ok(()) }
        });
        Ok(())
    }
}

/// A server of one test's own, which may kill, stop and start it. Gone when dropped.
#[derive(Debug)]
pub struct Instance {
    server: Server,
    running: bool,
    _folder: TempDir,
}

impl Instance {
    /// Makes and starts a server.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wharf-postgres-").tempdir()?;
        let mut instance =
            Self { server: prepare(folder.path())?, running: false, _folder: folder };
        instance.launch()?;
        Ok(instance)
    }

    /// URL of a new, empty database.
    pub fn database(&self) -> Result<String> {
        self.server.database()
    }

    /// `kill -9` of the postmaster: its backends find out and leave, nothing is written any more.
    pub fn kill(&mut self) -> Result<()> {
        self.running = false;
        self.server.end(Signal::SIGKILL)
    }

    /// A fast shutdown: sessions are cut, everything is written down.
    pub fn stop(&mut self) -> Result<()> {
        self.running = false;
        self.server.end(Signal::SIGINT)
    }

    /// Starts it (again), on the same port and the same data.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(!self.running, "the server runs already");
        self.server.launch()?;
        self.running = true;
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.running {
            // Nothing of it is needed any more: the quick way out, without a checkpoint.
            let _ = self.server.end(Signal::SIGQUIT);
        }
    }
}

/// The server of this test process; started at the first call.
pub fn server() -> Result<Server> {
    match SERVER.get_or_init(|| start().map_err(|error| format!("{error:#}"))) {
        Ok(server) => Ok(server.clone()),
        Err(error) => bail!("start PostgreSQL: {error}"),
    }
}

fn start() -> Result<Server> {
    let folder = tempfile::Builder::new().prefix("wharf-postgres-").tempdir()?.keep();
    let mut server = prepare(&folder)?;
    server.launch()?;
    Ok(server)
}

/// An initialized server that does not run yet.
fn prepare(folder: &Path) -> Result<Server> {
    let bin = program::postgres_folder()?;
    let data = folder.join("data");
    initdb(&bin, folder, &data)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok(Server { port, pid: 0, data, bin })
}

/// PostgreSQL refuses to run as root; then it runs as the package's own user.
fn owner() -> Result<Option<Owner>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?.context("no user named postgres on this host")?;
    Ok(Some(Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

fn initdb(bin: &Path, folder: &Path, data: &Path) -> Result<()> {
    let mut command = match owner()? {
        None => Command::new(bin.join("initdb")),
        Some(Owner { uid, gid }) => {
            chown(folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            let mut command = Command::new(program::find("setpriv")?);
            command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
            command.args(["--clear-groups", "--"]).arg(bin.join("initdb"));
            command
        }
    };
    command.args(["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "-D"]);
    let output = command.arg(data).output().context("run initdb")?;
    ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
