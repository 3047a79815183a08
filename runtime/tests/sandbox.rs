//! Sandboxes and native containers for real: every property is checked from inside.
//!
//! Needs root and a host that permits native containers, and says so otherwise.
#![allow(clippy::unwrap_used, reason = "what a test's helpers cannot do fails the test")]

#[path = "sandbox/confinement.rs"]
mod confinement;
#[path = "sandbox/exec.rs"]
mod exec;
#[path = "sandbox/hostile.rs"]
mod hostile;
#[path = "sandbox/lifecycle.rs"]
mod lifecycle;
#[path = "sandbox/namespaces.rs"]
mod namespaces;
#[path = "sandbox/network.rs"]
mod network;
#[path = "sandbox/node.rs"]
mod node;
#[path = "sandbox/restart.rs"]
mod restart;
#[path = "sandbox/wasm.rs"]
mod wasm;
