//! The shim: one small process per sandbox that holds everything a restarted agent must find again.
//!
//! `<exe> shim --dir D` is started by the agent ([`spawn`]), detaches from it ([`daemon`]), enters the
//! sandbox's namespaces and serves `D/shim.sock` from a single thread ([`event_loop`]). It has no async
//! runtime and no second thread, because it clones children that go on in Rust ([`crate::launch`]), and
//! because there may be a hundred shims on a node.
//!
//! What it promises:
//!
//! - It lives until it is told to end: neither the agent's death nor its upgrade reaches it.
//! - A change is on disk (`containers/<name>/<attempt>/record.json`, replaced by rename) before anybody is
//!   told.
//! - Output is forwarded as it comes; a disk that is full loses lines, never blocks the container. Only
//!   who attaches to a container ([`attach`]) can hold it up.
//! - If the shim itself dies, so do its containers (their parent death signal, and the cgroup kill of
//!   whoever adopts the sandbox); nothing runs unobserved.
//!
//! Clients ([`client`]) speak the length-prefixed JSON of [`proto`]; there may be several.

mod attach;
mod client;
mod connection;
mod container;
mod daemon;
mod ending;
mod event_loop;
mod output;
mod pid_namespace;
pub(crate) mod proto;
pub(crate) mod record;
mod spawn;
mod tap;

pub(crate) use attach::attach;
pub(crate) use client::{Client, ClientError, Observer};
pub(crate) use daemon::main;
pub(crate) use spawn::{SpawnError, read_only, spawn};
