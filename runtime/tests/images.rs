//! Images against a real registry (Debian's docker-registry), with real images made by umoci and
//! skopeo, and against a scripted one for the faults that a real registry cannot be made to show.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

#[path = "images/bad_input.rs"]
mod bad_input;
#[path = "images/faults.rs"]
mod faults;
#[path = "images/load.rs"]
mod load;
#[path = "images/native.rs"]
mod native;
#[path = "images/remove.rs"]
mod remove;
#[path = "images/scripted.rs"]
mod scripted;
#[path = "images/support.rs"]
mod support;
#[path = "images/tls.rs"]
mod tls;
#[path = "images/wasm.rs"]
mod wasm;
