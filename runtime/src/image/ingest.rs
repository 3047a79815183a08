//! How images come in (and, for Wasm files, go out).
//!
//! [`pull`] and [`load`] differ only in where bytes come from ([`fetch::Source`]); from the manifest
//! on both take the same way: [`assemble`] fetches config and content, [`fetch`] verifies every byte,
//! [`program`] looks for Wasm inside layers, [`module`] inspects and compiles it.

mod archive;
mod assemble;
mod fetch;
mod load;
mod module;
mod program;
mod progress;
mod pull;
mod push;

pub use progress::{Phase, Progress};
pub use pull::PullOptions;
pub use push::PushOptions;

pub(crate) use fetch::Fetched;
pub(crate) use pull::PullKey;
