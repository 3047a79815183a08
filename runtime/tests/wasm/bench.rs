//! The test bench: stands in for the shim. It hands a `wasm-host` its configuration, keeps its output and
//! reads its reports.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::launch::report::Report;
use runtime::wasm::cache::ensure_compiled;
use runtime::wasm::host::{HostConfig, HttpConfig, SocketPolicy};
use runtime::wasm::{self, World};
use tempfile::TempDir;

/// Generous: a debug build on a busy machine compiles large modules slowly.
const PATIENCE: Duration = Duration::from_secs(120);

/// The crate's own executable.
pub(crate) fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wharf-runtime"))
}

/// A folder of its own and the cache in it; everything is gone when it is dropped.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    runs: AtomicU8,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), runs: AtomicU8::new(0) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Native code of a fixture.
    pub(crate) fn fixture(&self, name: &str) -> PathBuf {
        self.compiled(&fixture(name))
    }

    /// Native code of a module written as text.
    pub(crate) fn text(&self, wat: &str) -> PathBuf {
        let path = self.path("module.wasm");
        fs::write(&path, wat::parse_str(wat).unwrap()).unwrap();
        self.compiled(&path)
    }

    /// Native code of the module at `path`.
    pub(crate) fn compiled(&self, path: &Path) -> PathBuf {
        let (digest, cache) = (digest(path), self.path("cache"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let compiled = ensure_compiled(path, &digest, &cache, exe());
        runtime.block_on(compiled).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Starts a host; see [`Running`].
    pub(crate) fn start(&self, config: &HostConfig) -> Running {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.path(&format!("{run}.{name}"));
        fs::write(file("config"), serde_json::to_vec(config).unwrap()).unwrap();
        let create = |name: &str| File::create(file(name)).unwrap();
        // The shell puts the two files where the shim would put its pipes: descriptors 3 and 4.
        let child = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" wasm-host 3<\"$1\" 4>\"$2\""])
            .arg(exe())
            .args([file("config"), file("report")])
            .env_clear()
            .env("HOST_SECRET", "must not be seen by the guest")
            .stdin(Stdio::null())
            .stdout(create("out"))
            .stderr(create("err"))
            .spawn()
            .unwrap();
        Running {
            child: RefCell::new(Some(child)),
            out: file("out"),
            err: file("err"),
            report: file("report"),
        }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, config: &HostConfig) -> Ended {
        self.start(config).wait()
    }
}

/// A configuration with nothing but code and arguments.
pub(crate) fn config(world: World, code: PathBuf, args: &[&str]) -> HostConfig {
    HostConfig {
        world,
        code,
        args: args.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        preopens: Vec::new(),
        http: None,
        sockets: SocketPolicy::Namespace,
        memory_limit_bytes: None,
        cpu_limit_millis: None,
        isolation: None,
    }
}

/// An HTTP component on an address of its own.
pub(crate) fn http_config(code: PathBuf) -> (HostConfig, SocketAddr) {
    let listen = SocketAddr::new(own_address(), 8080);
    let mut config = config(World::HttpProxy, code, &["http.wasm"]);
    config.http = Some(HttpConfig { listen, request_timeout: None, max_concurrency: None });
    (config, listen)
}

/// An address out of 127.0.0.0/8 that no other test of this run uses.
pub(crate) fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 64 | ((process >> 8) & 0x3f) as u8, (process & 0xff) as u8, last).into()
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wasm").join(name)
}

/// `sha256:…` of a file.
pub(crate) fn digest(path: &Path) -> String {
    use sha2::Digest;

    let sum = sha2::Sha256::digest(fs::read(path).unwrap());
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Module text of one command whose `_start` is `body`.
pub(crate) fn start(imports: &str, body: &str) -> String {
    format!("(module {imports} (memory (export \"memory\") 1) (func (export \"_start\") {body}))")
}

/// A host process; killed if the test forgets it.
pub(crate) struct Running {
    child: RefCell<Option<Child>>,
    out: PathBuf,
    err: PathBuf,
    report: PathBuf,
}

/// A host that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code, or 128 + signal.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) reports: Vec<Report>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.borrow().as_ref().unwrap().id()
    }

    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        let text = fs::read_to_string(&self.report).unwrap_or_default();
        // The last line may still be in the making.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for the `Ready` report.
    pub(crate) fn ready(self) -> Self {
        self.eventually("ready", |running| running.reports().contains(&Report::Ready));
        self
    }

    /// Waits until `condition` holds; the last state is in the panic.
    pub(crate) fn eventually(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            // The last words may have been written after they were looked for.
            if Instant::now() > deadline || (self.has_ended() && !condition(self)) {
                panic!(
                    "never {what}; reports {:?}, stdout {:?}, stderr {:?}",
                    self.reports(),
                    self.out(),
                    self.err()
                );
            }
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Processor time used so far, in clock ticks (10 ms).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
        fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
    }

    /// Processor time used during the next 200 ms, in clock ticks: about 20 when one thread computes.
    pub(crate) fn busy(&self) -> u64 {
        let before = self.cpu_ticks();
        thread::park_timeout(Duration::from_millis(200));
        self.cpu_ticks() - before
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.child.borrow_mut().as_mut().unwrap().try_wait().unwrap().is_some()
    }

    pub(crate) fn wait(self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "still running: {} {}", self.out(), self.err());
            thread::park_timeout(Duration::from_millis(2));
        }
        let status = self.child.borrow_mut().take().unwrap().wait().unwrap();
        Ended {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
            out: self.out(),
            err: self.err(),
            reports: self.reports(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.get_mut().take() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// Writes `bytes` to a file in the bench and gives its path.
pub(crate) fn file(bench: &Bench, name: &str, bytes: &[u8]) -> PathBuf {
    let path = bench.path(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

/// What the runtime would find out about a fixture.
pub(crate) fn world_of(name: &str) -> World {
    wasm::inspect(&fixture(name)).unwrap().runnable(None).unwrap()
}
