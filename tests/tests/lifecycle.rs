//! The life of pods as their users see it: real containers, native and Wasm, watched through `wctl` only.
//!
//! One cluster per theme, many pods in each: a pod is cheap, a cluster is not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

#[path = "lifecycle/confinement.rs"]
mod confinement;
#[path = "lifecycle/ends.rs"]
mod ends;
#[path = "lifecycle/environment.rs"]
mod environment;
#[path = "lifecycle/faults.rs"]
mod faults;
#[path = "lifecycle/logs.rs"]
mod logs;
#[path = "lifecycle/network.rs"]
mod network;
#[path = "lifecycle/pods.rs"]
mod pods;
#[path = "lifecycle/probes.rs"]
mod probes;
#[path = "lifecycle/restarts.rs"]
mod restarts;
#[path = "lifecycle/termination.rs"]
mod termination;
