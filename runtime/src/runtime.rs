//! The facade: what the node agent calls.
//!
//! A [`Runtime`] is a cheap handle on everything under one root directory: images, sandboxes, logs of
//! their shims. Opening it re-adopts what is on disk; dropping it stops nothing, because the shims hold
//! the containers.

mod error;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::broadcast;

use crate::exec::{Exec, ExecError, ExecSpec};
use crate::host::HostFacts;
use crate::image::{Image, ImageKind, ImageStore, ImageStoreConfig};
use crate::sandbox::{Running, SandboxUsage, Sandboxes};
use crate::spec::{
    BridgeSpec, ContainerEvent, ContainerSpec, ContainerStatus, Resources, SandboxSpec,
    SandboxStatus,
};
use crate::streams::{Streams, Wanted};

pub use error::{NetworkError, OpenError, SandboxError, StartError, StopError, UpdateError};

/// Where the runtime keeps its things and what it calls them.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Directory for `images/`, `sandboxes/` and `cache/`; made if missing. One `Runtime` per root.
    pub root: PathBuf,
    /// Name of the cgroup under which every sandbox's cgroup lives, in every hierarchy.
    pub cgroup_root: String,
    /// The executable that answers the internal subcommands; `/proc/self/exe` unless a test says otherwise.
    pub executable: PathBuf,
}

impl RuntimeConfig {
    /// The usual configuration for everything under `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            cgroup_root: "wharf".to_owned(),
            executable: PathBuf::from("/proc/self/exe"),
        }
    }
}

/// Runs sandboxes and containers on this host; a cheap clone.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    images: ImageStore,
    sandboxes: Sandboxes,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Opens the runtime at `config.root` and re-adopts every sandbox on disk.
    ///
    /// A sandbox whose shim lives comes back as it is. One whose shim is gone has what is left of its
    /// containers killed, and those that were running become `ContainerStatusUnknown` (exit code 137).
    pub async fn open(mut config: RuntimeConfig) -> Result<Self, OpenError> {
        // Shims work in `/`: what they are told must not depend on where the agent was started.
        config.root = std::fs::create_dir_all(&config.root)
            .and_then(|()| std::path::absolute(&config.root))
            .map_err(|source| OpenError::CreateRoot { path: config.root.clone(), source })?;
        let store = ImageStoreConfig {
            root: config.root.join("images"),
            executable: config.executable.clone(),
        };
        let images =
            ImageStore::open(store).await.map_err(|source| OpenError::Images { source })?;
        let probed = config.clone();
        let host = tokio::task::spawn_blocking(move || {
            HostFacts::probe(&probed.root, &probed.cgroup_root)
        })
        .await
        .map_err(|_| OpenError::Probe)?;
        let sandboxes = Sandboxes::open(config, host).await?;
        Ok(Self { inner: Arc::new(Inner { images, sandboxes }) })
    }

    /// What this host permits, with reasons; probed once, when the runtime was opened.
    pub fn host(&self) -> &HostFacts {
        self.inner.sandboxes.host()
    }

    /// The image store.
    pub fn images(&self) -> &ImageStore {
        &self.inner.images
    }

    /// Makes sure that the bridge exists, has its address, is up, and that the host forwards packets.
    pub async fn ensure_bridge(&self, bridge: &BridgeSpec) -> Result<(), NetworkError> {
        let bridge = bridge.clone();
        tokio::task::spawn_blocking(move || crate::net::ensure_bridge(&bridge))
            .await
            .map_err(|_| NetworkError::Interrupted)?
    }

    /// Makes a sandbox; one with this id that lives is returned as it is.
    pub async fn create_sandbox(&self, spec: SandboxSpec) -> Result<SandboxStatus, SandboxError> {
        self.inner.sandboxes.create(spec).await
    }

    /// Every sandbox on disk, in order of id.
    pub async fn sandboxes(&self) -> Vec<SandboxStatus> {
        self.inner.sandboxes.list()
    }

    /// Starts a container; returns when its first process runs, or has failed to start.
    ///
    /// A step that failed before the container's own program ran is no `Err`: the returned state is
    /// `Exited` with [`ExitReason::StartError`](crate::spec::ExitReason::StartError) and code 128, and it
    /// is on disk like any other exit. The same name and attempt again returns the existing status.
    pub async fn start_container(
        &self,
        sandbox: &str,
        spec: ContainerSpec,
    ) -> Result<ContainerStatus, StartError> {
        // Held until the container is on record, or has failed to start.
        let lease = self.inner.images.lease(&spec.image).await;
        let image = lease.as_ref().map(|lease| lease.image().clone());
        let code = match &image {
            Some(image) if matches!(image.kind, ImageKind::Wasm { .. }) => {
                let compiled = self.inner.images.ensure_compiled(image).await;
                let failed = |source| StartError::Compile { image: spec.image.clone(), source };
                Some(compiled.map_err(failed)?)
            }
            Some(_) | None => None,
        };
        let started = self.inner.sandboxes.start(sandbox, spec, image, code).await;
        drop(lease);
        started
    }

    /// Whether a program can be run in a container, before anything is promised to anybody.
    ///
    /// # Errors
    /// What [`Runtime::exec`] would say.
    pub fn can_exec(&self, sandbox: &str, container: &str) -> Result<(), ExecError> {
        self.running_native(sandbox, container).map(drop)
    }

    /// Whether a container runs, and so can be attached to.
    ///
    /// # Errors
    /// What [`Runtime::attach`] would say.
    pub fn can_attach(&self, sandbox: &str, container: &str) -> Result<(), ExecError> {
        self.inner.sandboxes.running(sandbox, container).map(drop)
    }

    fn running_native(
        &self,
        sandbox: &str,
        container: &str,
    ) -> Result<(Running, Image), ExecError> {
        let running = self.inner.sandboxes.running(sandbox, container)?;
        let digest = &running.record.status.image_digest;
        let image = self.inner.images.get(digest);
        let image = image.ok_or_else(|| ExecError::NoImage { image: digest.clone() })?;
        match image.kind {
            ImageKind::Wasm { .. } => Err(ExecError::Wasm { container: container.to_owned() }),
            ImageKind::Native { .. } => Ok((running, image)),
        }
    }

    /// Runs a further program in a native container; returns when it runs.
    ///
    /// # Errors
    /// [`ExecError`]; a program that cannot be executed is [`ExecError::Failed`].
    pub async fn exec(
        &self,
        sandbox: &str,
        container: &str,
        spec: ExecSpec,
    ) -> Result<Exec, ExecError> {
        let (running, image) = self.running_native(sandbox, container)?;
        let request = crate::exec::Request {
            record: running.record,
            pid: running.pid,
            shim: running.shim,
            image: image.config,
            hostname: running.hostname,
            spec,
        };
        crate::exec::run(self.inner.sandboxes.executable(), request).await
    }

    /// Connects to a TCP port of a pod, as one of its processes would connect to `localhost`.
    ///
    /// # Errors
    /// `NotFound` if there is no such sandbox, else what connecting gives.
    pub async fn connect(&self, sandbox: &str, port: u16) -> std::io::Result<TcpStream> {
        self.inner.sandboxes.connect(sandbox, port).await
    }

    /// Connects with the streams of a container's first process, from now on. Its output ends when it does;
    /// for whom reads it slowly, the process waits.
    ///
    /// # Errors
    /// [`ExecError::NotRunning`], or whatever keeps the shim from answering.
    pub async fn attach(
        &self,
        sandbox: &str,
        container: &str,
        streams: Wanted,
    ) -> Result<Streams, ExecError> {
        self.inner.sandboxes.attach(sandbox, container, streams).await
    }

    /// Sends the image's stop signal (default SIGTERM), SIGKILL to all of the container after `grace`,
    /// and returns when it has exited. A container that does not run is a success.
    ///
    /// The shim keeps the deadline, so a stop goes on even if its caller dies; a second call can only
    /// shorten it.
    pub async fn stop_container(
        &self,
        sandbox: &str,
        name: &str,
        grace: Duration,
    ) -> Result<(), StopError> {
        self.inner.sandboxes.stop(sandbox, name, grace).await
    }

    /// Gives a container that runs other limits, without a restart; what `resources` leaves open stays as it
    /// is. Its record has these resources from then on, and `labels` besides its own.
    ///
    /// A Wasm container keeps the limits that its own host was started with.
    ///
    /// # Errors
    /// [`UpdateError::BelowUsage`] if it uses more memory than it is to have: the kernel would kill it.
    pub async fn update_container(
        &self,
        sandbox: &str,
        name: &str,
        resources: Resources,
        labels: BTreeMap<String, String>,
    ) -> Result<(), UpdateError> {
        self.inner.sandboxes.update_container(sandbox, name, resources, labels).await
    }

    /// Gives the cgroup above a sandbox's containers other limits; what `resources` leaves open stays.
    ///
    /// # Errors
    /// [`UpdateError`]; cgroup v1 refuses a CPU limit below one of the containers'.
    pub async fn update_sandbox(
        &self,
        sandbox: &str,
        resources: &Resources,
    ) -> Result<(), UpdateError> {
        self.inner.sandboxes.update(sandbox, resources).await
    }

    /// Kills what is left in a sandbox and removes its cgroups, network, mounts and files, but not its
    /// logs. A sandbox that does not exist is a success.
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), SandboxError> {
        self.inner.sandboxes.remove(id).await
    }

    /// Every state change from now on, as the shims announce it. A receiver that lags should look at
    /// [`Runtime::sandboxes`] again.
    pub fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.inner.sandboxes.events()
    }

    /// CPU and memory use of every sandbox that lives, in order of id, and of their running containers.
    pub async fn usage(&self) -> Vec<SandboxUsage> {
        let inner = Arc::clone(&self.inner);
        // Nothing can be said of a runtime that is being shut down.
        tokio::task::spawn_blocking(move || inner.sandboxes.usage()).await.unwrap_or_default()
    }
}
