//! What can go wrong at the facade, one enum per verb.

use std::io;
use std::path::PathBuf;

use crate::image::ImageError;

/// Why the runtime could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The root directory could not be made.
    #[error("cannot create {path}", path = path.display())]
    CreateRoot {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The image store could not be opened.
    #[error("cannot open the image store")]
    Images {
        /// The cause.
        source: ImageError,
    },
    /// The sandboxes on disk could not be read.
    #[error("cannot read the sandboxes in {path}", path = path.display())]
    ReadSandboxes {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Probing the host was interrupted.
    #[error("probing the host was interrupted")]
    Probe,
}

/// Why the network could not be configured.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The netlink socket could not be used.
    #[error("cannot {operation} a netlink socket")]
    Socket {
        /// What was tried.
        operation: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("cannot {operation} {subject}")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The interface or address it was about.
        subject: String,
        /// The cause.
        source: io::Error,
    },
    /// The interface name is not one of Wharf's, or too long.
    #[error(
        "{name:?} is no interface name for Wharf: it must begin with `wh` and have at most 15 bytes"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A kernel setting could not be written.
    #[error("cannot write {path}")]
    Setting {
        /// Path of the setting.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The task was interrupted.
    #[error("configuring the network was interrupted")]
    Interrupted,
}

/// Why a sandbox could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The id cannot name a directory or a cgroup.
    #[error("{id:?} cannot be a sandbox id: letters, digits, `-`, `_` and `.`, at most 128")]
    Id {
        /// The id.
        id: String,
    },
    /// The host does not permit a pod network.
    #[error("this host does not permit {what}: {why_not}")]
    NotPermitted {
        /// What was asked for.
        what: &'static str,
        /// What the host refuses.
        why_not: String,
    },
    /// A file of the sandbox could not be handled.
    #[error("cannot {operation} {path}", path = path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The shim's process could not be started.
    #[error("cannot start a shim with {executable}", executable = executable.display())]
    SpawnShim {
        /// The executable.
        executable: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The shim started but could not set the sandbox up.
    #[error("the shim failed: {message}")]
    Shim {
        /// What it said.
        message: String,
    },
    /// A cgroup could not be handled.
    #[error("cannot handle the sandbox's cgroup")]
    Cgroup {
        /// The cause.
        source: crate::cgroup::CgroupError,
    },
    /// The network could not be removed.
    #[error("cannot remove the sandbox's network")]
    Network {
        /// The cause.
        source: NetworkError,
    },
}

/// Why a container could not be handed to its shim.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such sandbox.
    #[error("there is no sandbox {sandbox}")]
    NoSandbox {
        /// Its id.
        sandbox: String,
    },
    /// The sandbox's shim is gone; remove the sandbox and make a new one.
    #[error("the shim of sandbox {sandbox} is gone")]
    SandboxDead {
        /// Its id.
        sandbox: String,
    },
    /// The image is not in the store.
    #[error("image {image} is not present")]
    NoImage {
        /// The reference asked for.
        image: String,
    },
    /// The image's native code is missing and could not be made again.
    #[error("cannot compile image {image}")]
    Compile {
        /// The reference asked for.
        image: String,
        /// The cause.
        source: ImageError,
    },
    /// The container's name cannot name a directory or a cgroup.
    #[error("{name:?} cannot be a container name")]
    Name {
        /// The name.
        name: String,
    },
    /// An earlier attempt of this container still runs.
    #[error("attempt {attempt} of container {name} still runs")]
    StillRunning {
        /// The container.
        name: String,
        /// The attempt that runs.
        attempt: u32,
    },
    /// The host does not permit this kind of container; retrying will not help.
    #[error("this host does not permit native containers: {why_not}")]
    NotPermitted {
        /// What the host refuses, in a sentence.
        why_not: String,
    },
    /// The specification cannot be turned into a plan (Kubernetes' `CreateContainerConfigError`).
    #[error("{message}")]
    Config {
        /// What is wrong with it.
        message: String,
    },
    /// The shim did not do it.
    #[error("the shim refused: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// The task was interrupted.
    #[error("starting the container was interrupted")]
    Interrupted,
    /// A file of the container could not be handled.
    #[error("cannot {operation} {path}", path = path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Why a container could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// There is no such sandbox.
    #[error("there is no sandbox {sandbox}")]
    NoSandbox {
        /// Its id.
        sandbox: String,
    },
    /// The shim did not do it.
    #[error("the shim refused: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
}

/// Why the limits of what runs could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// There is no such sandbox.
    #[error("there is no sandbox {sandbox}")]
    NoSandbox {
        /// Its id.
        sandbox: String,
    },
    /// No attempt of the container runs.
    #[error("container {name} does not run")]
    NotRunning {
        /// The container.
        name: String,
    },
    /// The container would be out of memory at once; the kubelet's words.
    #[error(
        "attempting to set container {name:?} memory limit ({limit}) below current usage ({usage})"
    )]
    BelowUsage {
        /// The container.
        name: String,
        /// The limit asked for, in bytes.
        limit: u64,
        /// What it uses, in bytes.
        usage: u64,
    },
    /// The kernel refused.
    #[error("cannot change the limits")]
    Cgroup {
        /// The cause.
        source: crate::cgroup::CgroupError,
    },
    /// The record of the sandbox could not be written.
    #[error("cannot write the sandbox's record")]
    Record {
        /// The cause.
        source: io::Error,
    },
    /// The shim did not do it.
    #[error("the shim refused: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// The task was interrupted.
    #[error("changing the limits was interrupted")]
    Interrupted,
}
