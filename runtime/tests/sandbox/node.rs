//! A node of a test's own: a network namespace, a runtime in a temporary folder, a busybox image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use runtime::log::LogOptions;
use runtime::spec::*;
use runtime::{Runtime, RuntimeConfig};
use tempfile::TempDir;
use tests::images::Layout;

/// No assertion about speed, only against hanging.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The image every container of these tests is started from.
pub(crate) const IMAGE: &str = "busybox:test";

/// A node.
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) config: RuntimeConfig,
    folder: TempDir,
}

/// Runs `test` on a node in a network namespace of its own, and leaves nothing behind.
pub(crate) fn on_a_node(test: impl AsyncFnOnce(&Node)) {
    tests::cluster::enter_network_namespace().unwrap();
    in_a_runtime(async {
        let node = Node::open().await;
        test(&node).await;
        for sandbox in node.runtime.sandboxes().await {
            node.runtime.remove_sandbox(&sandbox.spec.id).await.unwrap();
        }
    });
}

pub(crate) fn in_a_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, work).await.expect("the test hangs") })
}

impl Node {
    pub(crate) async fn open() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::Builder::new().prefix("wharf-node-").tempdir().unwrap();
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let config = RuntimeConfig {
            cgroup_root: format!("wharf-test-{}-{number}", std::process::id()),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_wharf-runtime")),
            ..RuntimeConfig::new(folder.path().join("r"))
        };
        let runtime = Runtime::open(config.clone()).await.unwrap();
        if let Some(why_not) = runtime.host().native_why_not() {
            panic!("these tests need a host that permits native containers: {why_not}");
        }
        runtime.images().load(&layout().path(), Some(IMAGE)).await.unwrap();
        Self { runtime, config, folder }
    }

    /// A sandbox without a pod network.
    pub(crate) async fn sandbox(&self, id: &str) -> SandboxStatus {
        self.runtime.create_sandbox(self.sandbox_spec(id, Network::Host)).await.unwrap()
    }

    pub(crate) fn sandbox_spec(&self, id: &str, network: Network) -> SandboxSpec {
        SandboxSpec {
            id: id.to_owned(),
            labels: [("who".to_owned(), "test".to_owned())].into(),
            hostname: format!("host-{id}"),
            network,
            namespaces: Default::default(),
            sysctls: Default::default(),
            hosts: "127.0.0.1 localhost\n10.1.2.3 friend\n".to_owned(),
            resolv_conf: "nameserver 10.96.0.10\n".to_owned(),
            resources: Resources::default(),
            log_dir: self.folder.path().join("logs").join(id),
        }
    }

    /// Runs a shell script to its end in the container `c` of the sandbox `s`; its exit and its output.
    pub(crate) async fn run(&self, script: &str) -> (Exit, String) {
        self.run_with(script, |_| {}).await
    }

    pub(crate) async fn run_with(
        &self,
        script: &str,
        change: impl FnOnce(&mut ContainerSpec),
    ) -> (Exit, String) {
        static ATTEMPT: AtomicU32 = AtomicU32::new(0);
        if self.runtime.sandboxes().await.is_empty() {
            self.sandbox("s").await;
        }
        let mut spec = shell("c", script);
        spec.attempt = ATTEMPT.fetch_add(1, Ordering::Relaxed);
        change(&mut spec);
        let status = self.runtime.start_container("s", spec).await.unwrap();
        let exit = self.exited("s", &status.spec.name, status.spec.attempt).await;
        (exit, log(&status.log_path).await)
    }

    /// Waits for a container's end.
    pub(crate) async fn exited(&self, sandbox: &str, name: &str, attempt: u32) -> Exit {
        let mut events = self.runtime.events();
        loop {
            let status = self.status(sandbox, name, attempt).await;
            if let Some(ContainerStatus { state: ContainerState::Exited(exit), .. }) = status {
                return exit;
            }
            let _ = events.recv().await;
        }
    }

    pub(crate) async fn status(
        &self,
        sandbox: &str,
        name: &str,
        attempt: u32,
    ) -> Option<ContainerStatus> {
        let sandboxes = self.runtime.sandboxes().await;
        let sandbox = sandboxes.into_iter().find(|s| s.spec.id == sandbox)?;
        sandbox.containers.into_iter().find(|c| c.spec.name == name && c.spec.attempt == attempt)
    }

    pub(crate) fn sandbox_dir(&self, id: &str) -> PathBuf {
        self.config.root.join("sandboxes").join(id)
    }

    pub(crate) fn shim_pid(&self, id: &str) -> i32 {
        fs::read_to_string(self.sandbox_dir(id).join("shim.pid")).unwrap().parse().unwrap()
    }
}

impl Drop for Node {
    /// After a test that failed; a test that succeeded has left nothing to do.
    fn drop(&mut self) {
        for entry in
            fs::read_dir(self.config.root.join("sandboxes")).into_iter().flatten().flatten()
        {
            let pid = fs::read_to_string(entry.path().join("shim.pid")).unwrap_or_default();
            if let Ok(pid) = pid.parse() {
                let pid = nix::unistd::Pid::from_raw(pid);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
            let _ = rustix::mount::unmount(
                entry.path().join("shm"),
                rustix::mount::UnmountFlags::DETACH,
            );
        }
        let layout = runtime::cgroup::Layout::detect();
        let plan = runtime::cgroup::root_plan(&layout, &self.config.cgroup_root);
        runtime::cgroup::kill(&plan);
        let _ = runtime::cgroup::remove(&plan);
    }
}

/// Built once per test run.
fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(|| {
        let layout = Layout::new().unwrap();
        layout.busybox("test").unwrap();
        layout
    })
}

/// A container that runs a shell script.
pub(crate) fn shell(name: &str, script: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        attempt: 0,
        image: IMAGE.to_owned(),
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        args: Vec::new(),
        env: Vec::new(),
        working_dir: None,
        user: UserSpec::default(),
        mounts: Vec::new(),
        resources: Resources::default(),
        security: Security::default(),
        http_port: None,
        stdio: Default::default(),
        pid_of: None,
        labels: Default::default(),
    }
}

/// A log as the user sees it.
pub(crate) async fn log(path: &Path) -> String {
    let chunks: Vec<bytes::Bytes> =
        runtime::log::read(path.to_path_buf(), LogOptions::default()).try_collect().await.unwrap();
    String::from_utf8(chunks.concat()).unwrap()
}

/// Waits until the container's log satisfies `wanted`.
pub(crate) async fn log_until(path: &Path, wanted: impl Fn(&str) -> bool) -> String {
    loop {
        let text = log(path).await;
        if wanted(&text) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a program of the host in the test's network namespace; its output.
pub(crate) fn host(program: &str, arguments: &[&str]) -> String {
    tests::cluster::succeed(Command::new(program).args(arguments)).unwrap()
}
