//! From the agent's child to a process of its own that serves a socket.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;

use super::event_loop::Shim;
use super::pid_namespace;
use super::record::{SandboxDir, SandboxRecord, read_json, replace};
use super::spawn::READY;
use crate::net;
use crate::spec::{Network, PidNamespace};
use crate::sys::{CloneFlags as Namespaces, Cloned};

/// Size of the `/dev/shm` that a sandbox's containers share; the usual default.
const SHM_OPTIONS: &std::ffi::CStr = c"mode=1777,size=64m";

/// Name of the v2 cgroup that a shim is born into, below its sandbox's: outside the agent's, so that
/// stopping the agent's service does not reach it. No container can have this name.
const SHIM_CGROUP: &str = ".shim";

/// Out of memory takes a container, not the shim and with it the whole sandbox; containerd's value.
const OOM_SCORE_ADJ: &str = "-998";

/// A step of the start that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {cause}")]
struct StartFailure {
    step: &'static str,
    cause: String,
}

fn failed<E: std::error::Error>(step: &'static str) -> impl Fn(E) -> StartFailure {
    move |error| {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            cause = format!("{cause}: {inner}");
            source = inner.source();
        }
        StartFailure { step, cause }
    }
}

/// `shim --dir D`: detaches, sets the sandbox up, says `ready` on standard output, and serves until told
/// to end. A failure is said on standard output instead.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let [flag, directory] = arguments else { return ExitCode::from(64) };
    if flag != "--dir" {
        return ExitCode::from(64);
    }
    match start(SandboxDir::new(PathBuf::from(directory))) {
        Ok(Some(shim)) => shim.serve(),
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = io::stdout().write_all(failure.to_string().as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// The parent gets `None` and ends; the shim gets itself.
fn start(directory: SandboxDir) -> Result<Option<Shim>, StartFailure> {
    crate::sys::close_all_from(3).map_err(failed("close inherited descriptors"))?;
    rustix::process::setsid().map_err(failed("start a session"))?;
    // By name it would be the number of the descriptor that it was executed through.
    let _ = rustix::thread::set_name(c"wharf-shim");
    // Refused where CAP_SYS_RESOURCE is missing; then it is as likely a victim as the agent is.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    let record: SandboxRecord =
        read_json(&directory.record()).map_err(failed("read the sandbox's record"))?;
    let cgroup = own_cgroup(&record)?;
    // Not a session leader any more, and an orphan at once: no terminal and no agent reaches it.
    match crate::sys::clone_process(Namespaces::default(), cgroup.as_ref().map(AsFd::as_fd)) {
        Ok(Cloned::Child) => {}
        Ok(Cloned::Parent { .. }) => return Ok(None),
        Err(e) => return Err(failed("detach")(e)),
    }
    rustix::process::chdir("/").map_err(failed("change to /"))?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // Signals are read from a descriptor; the only one that matters is a child's end. The others are
    // blocked so that nobody who signals a whole session or group ends a sandbox by accident.
    let mut blocked = SigSet::empty();
    for signal in
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]
    {
        blocked.add(signal);
    }
    blocked.thread_block().map_err(failed("block signals"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(failed("become a subreaper"))?;
    surroundings(&record, &directory)?;

    let pid = std::process::id();
    replace(&directory.pid(), pid.to_string().as_bytes()).map_err(failed("write shim.pid"))?;
    let listener = listen(&directory).map_err(failed("listen on shim.sock"))?;
    let shim = Shim::new(directory, record, listener).map_err(failed("set up the event loop"))?;
    io::stdout()
        .write_all(READY.as_bytes())
        .and_then(|()| io::stdout().flush())
        .map_err(failed("say that it is ready"))?;
    // The agent waits for the end of this stream.
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|null| nix::unistd::dup2_stdout(null).map_err(io::Error::from))
        .map_err(failed("close standard output"))?;
    Ok(Some(shim))
}

/// The cgroup to be born into, where there is a v2 hierarchy.
fn own_cgroup(record: &SandboxRecord) -> Result<Option<fs::File>, StartFailure> {
    let Some(sandbox) = &record.cgroup.born_in else { return Ok(None) };
    let path = sandbox.join(SHIM_CGROUP);
    fs::create_dir_all(&path)
        .and_then(|()| fs::File::open(&path))
        .map(Some)
        .map_err(failed("make the shim's cgroup"))
}

/// Namespaces, host name, network, shared memory.
fn surroundings(record: &SandboxRecord, directory: &SandboxDir) -> Result<(), StartFailure> {
    if !record.isolated {
        return Ok(());
    }
    let namespaces = record.spec.namespaces;
    let mut own = CloneFlags::CLONE_NEWUTS;
    own.set(CloneFlags::CLONE_NEWIPC, !namespaces.host_ipc);
    match &record.spec.network {
        Network::Pod { address, gateway, bridge } => {
            let host = net::Netlink::open().map_err(failed("open the host's network"))?;
            nix::sched::unshare(own | CloneFlags::CLONE_NEWNET)
                .map_err(failed("make the sandbox's namespaces"))?;
            net::attach(&host, &record.spec.id, bridge, *address, *gateway)
                .map_err(failed("connect the sandbox"))?;
            net::pod_settings().map_err(failed("configure the sandbox's network"))?;
        }
        Network::Host | Network::Loopback { .. } => {
            nix::sched::unshare(own).map_err(failed("make the sandbox's namespaces"))?;
        }
    }
    for (name, value) in &record.spec.sysctls {
        net::sysctl(name, value).map_err(failed("set a sysctl"))?;
    }
    nix::unistd::sethostname(&record.spec.hostname).map_err(failed("set the host name"))?;
    if namespaces.pid == PidNamespace::Sandbox {
        pid_namespace::share().map_err(failed("share a pid namespace"))?;
    }
    if namespaces.host_ipc {
        return Ok(());
    }
    let shm = directory.shm();
    fs::create_dir_all(&shm).map_err(failed("make the directory for /dev/shm"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("shm", &shm, "tmpfs", flags, Some(SHM_OPTIONS))
        .map_err(failed("mount /dev/shm"))
}

/// Binds through the directory's descriptor: a socket's path may only have 107 bytes, a sandbox's
/// directory more.
fn listen(directory: &SandboxDir) -> io::Result<UnixListener> {
    let handle = fs::File::open(directory.path())?;
    let socket = directory.path().join("shim.sock");
    if socket.exists() {
        fs::remove_file(&socket)?;
    }
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/shim.sock", handle.as_raw_fd()))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
