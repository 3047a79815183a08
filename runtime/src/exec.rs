//! Further processes in a native container that runs: `kubectl exec`, exec probes, exec hooks.
//!
//! The agent starts `<exe> exec` ([`start`]), a small single-threaded process that is told over a socket
//! what to do ([`enter`]): it finds the container's first process, clones a child into the container's
//! cgroup and pid namespace, and waits for it. The child goes the rest of the way
//! ([`crate::launch::join`]): the other namespaces, the container's user, capabilities and system call
//! filter, and then the program. What fails on the way is reported over the same socket, which closes when
//! the program runs; a terminal comes back over it.
//!
//! Nothing outlives its purpose: whoever drops the [`Exec`] ends the waiting process and with it the
//! program, and when the container ends, the kernel takes the program along.

pub(crate) mod enter;
mod start;

use std::io;

use tokio::process::Child;

pub(crate) use start::{Request, run};

use crate::streams::{Streams, TerminalSize, Wanted};

/// What to run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// The program and its arguments, looked up in the container.
    pub command: Vec<String>,
    /// Streams to be connected with; the others are empty.
    pub streams: Wanted,
    /// The program gets a terminal instead of pipes.
    pub terminal: bool,
    /// The terminal's first size, if it is known.
    pub size: Option<TerminalSize>,
}

/// Why a program could not be run in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// There is no such container, or it does not run.
    #[error("container {container:?} of sandbox {sandbox} does not run")]
    NotRunning {
        /// The sandbox's id.
        sandbox: String,
        /// The container's name.
        container: String,
    },
    /// It is a Wasm container.
    #[error(
        "container {container:?} is a WebAssembly component: it has no processes and no shell, so no command can be executed in it"
    )]
    Wasm {
        /// The container's name.
        container: String,
    },
    /// Its image is gone.
    #[error("image {image} of the container is not in the store any more")]
    NoImage {
        /// The image's digest.
        image: String,
    },
    /// The container's own configuration cannot be used.
    #[error("{message}")]
    Config {
        /// What is wrong.
        message: String,
    },
    /// A process could not be started, or not be told what to do.
    #[error("cannot {operation}")]
    Start {
        /// What was tried.
        operation: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The program could not be executed; runc's words.
    #[error("unable to start container process: {message}")]
    Failed {
        /// The step that failed and why.
        message: String,
    },
}

/// A program that runs in a container. Dropping it kills the program.
#[derive(Debug)]
pub struct Exec {
    /// Its streams; may be taken.
    pub streams: Streams,
    waiting: Child,
}

impl Exec {
    /// Waits for its end: the exit code, or 128 and the signal that ended it.
    pub async fn wait(&mut self) -> io::Result<i32> {
        let status = self.waiting.wait().await?;
        // Only whoever kills the waiting process makes it end otherwise, and that kills the program.
        Ok(status.code().unwrap_or(128 + libc::SIGKILL))
    }
}
