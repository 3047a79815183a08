//! A private PostgreSQL server per test process, a fresh database per call.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Gid, Uid, User, chown};

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

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// URL of a new, empty database (`postgres://postgres@127.0.0.1:PORT/testN`).
pub fn database() -> Result<String> {
    let server = server()?;
    let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let made = Command::new(server.bin.join("createdb"))
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &server.port.to_string(), &name])
        .output()
        .context("run createdb")?;
    ensure!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
    Ok(format!("postgres://postgres@127.0.0.1:{}/{name}", server.port))
}

/// The server of this test process; started at the first call.
pub fn server() -> Result<Server> {
    match SERVER.get_or_init(|| start().map_err(|error| format!("{error:#}"))) {
        Ok(server) => Ok(server.clone()),
        Err(error) => bail!("start PostgreSQL: {error}"),
    }
}

fn start() -> Result<Server> {
    let bin = program::postgres_folder()?;
    let folder = tempfile::Builder::new().prefix("wharf-postgres-").tempdir()?.keep();
    let data = folder.join("data");
    initdb(&bin, &folder, &data)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    // fsync stays on: durability is what the tests are about.
    let mut postmaster = Command::new(bin.join("postgres"));
    postmaster.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
    postmaster.args(["-c", "unix_socket_directories=", "-c", "max_connections=200"]);
    postmaster.args(["-c", "logging_collector=on", "-c", "log_directory=log"]);
    let pid = process::spawn_for_good(&postmaster, owner()?, "INT")?;
    wait::eventually("PostgreSQL answers", Duration::from_secs(60), || {
        TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        let ready = Command::new(bin.join("pg_isready"))
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .output()
            .map_err(|error| error.to_string())?;
        if ready.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&ready.stdout).into_owned())
        }
    });
    Ok(Server { port, pid, data, bin })
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
