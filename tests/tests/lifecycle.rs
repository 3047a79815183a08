//! The life of pods as their users see it: real containers, native and Wasm, watched through `wctl` only.
//!
//! One cluster per theme, many pods in each: a pod is cheap, a cluster is not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

mod confinement;
mod ends;
mod environment;
mod faults;
mod logs;
mod network;
mod pods;
mod probes;
mod restarts;
mod termination;
