//! Wasm containers as processes: compiled by a real `wasm-compile`, run by a real `wasm-host`.
//!
//! The programs are the repository's fixtures (sources beside them), a few hand-written modules for what
//! no compiler produces, and one that nobody here wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where it stood")]

mod bench;
mod command;
mod compile;
mod fixtures;
mod http;
mod refused;
mod thirdparty;
