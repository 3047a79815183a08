//! Images, sandboxes, native and Wasm containers, logs. Knows nothing of Kubernetes.
//!
//! A **sandbox** is a pod's shared surroundings: network, host name, parent cgroup. It is held by one
//! small process, the **shim**, which outlives whoever asked for it. **Containers** run in sandboxes;
//! whether one is native or Wasm is decided by its image.
//!
//! How a container comes to life, by file:
//!
//! 1. [`Runtime::start_container`] finds the image ([`image`]) and turns spec, image and host facts
//!    into a plan: pure data ([`native`], [`launch::plan`], [`cgroup::plan`]).
//! 2. The plan travels to the sandbox's shim ([`shim`]), which records the attempt, makes the cgroups,
//!    opens the log and clones a child into new namespaces.
//! 3. The child executes the plan's steps ([`launch`]) and execs; a step that fails is reported by name.
//! 4. The shim forwards the output ([`log`]), records the exit on disk, then announces it.
//!
//! A further process in a running container takes a way of its own ([`Runtime::exec`]).
//!
//! Every executable that links this crate calls [`entry::dispatch`] first thing in `main`: shims, Wasm
//! hosts and compilers are that same executable with an internal subcommand.

pub mod cgroup;
pub mod entry;
mod exec;
pub mod host;
pub mod image;
pub mod launch;
pub mod log;
pub mod native;
pub mod net;
mod remove_tree;
mod rights;
mod runtime;
pub mod sandbox;
pub mod seccomp;
pub mod shim;
pub mod spec;
pub mod streams;
mod sys;
pub mod wasm;

pub use crate::exec::{Exec, ExecError, ExecSpec};
pub use crate::host::HostFacts;
pub use crate::image::ImageStore;
pub use crate::remove_tree::remove_tree;
pub use crate::runtime::{
    NetworkError, OpenError, Runtime, RuntimeConfig, SandboxError, StartError, StopError,
    UpdateError,
};
