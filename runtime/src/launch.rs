//! From a freshly cloned child to the container's own program: steps as data, executed in order.
//!
//! A launch plan ([`plan::LaunchPlan`]) is made by the agent, as pure data, and golden-tested. The shim
//! clones a child; the child is single-threaded, executes the steps one after another ([`run`]) and
//! execs. A Wasm container's child execs this same program's `wasm-host` instead, which executes the
//! rest of its steps itself ([`isolate`]) while it is still single-threaded.
//!
//! A process that joins a container later ([`join`]) executes steps as well.
//!
//! The parent learns of the outcome through a pipe ([`report`]): either a line of JSON, or end of file
//! when the exec closed it.

mod console;
mod credentials;
mod exec;
mod execute;
mod join;
mod mounts;
pub mod plan;
pub mod report;
mod rootfs;
mod shared;
pub(crate) mod streams;
mod surroundings;
mod user;

pub use execute::{LaunchError, isolate, run};
pub(crate) use join::join;
pub use plan::{IsolationPlan, JoinPlan, LaunchPlan, Step};
pub(crate) use shared::{bind_mounts, join_steps};
pub use surroundings::Surroundings;
