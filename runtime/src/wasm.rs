//! Wasm containers: what a module is, its native code, and the process that runs it.
//!
//! The life of a module, by file:
//!
//! 1. [`inspect`] reads the module at pull: core module or component, which [`World`] it wants to live
//!    in, what it imports. Nothing is compiled. [`missing_imports`] names what Wharf does not provide.
//! 2. [`cache::ensure_compiled`] turns it into native code once per image, in a resource-limited process
//!    of its own (`<exe> wasm-compile`, [`compile`]), and keeps the result in a root-only directory.
//! 3. [`host::main`] is the container's process (`<exe> wasm-host`): it maps the native code, gives up
//!    what it does not need, and runs a command to its end or serves HTTP until it is told to stop.
//!
//! [`engine`] holds the one engine configuration that 2 and 3 must agree on. The policy (what a Wasm
//! container may do, how its end is reported) is described in `docs/ARCHITECTURE.md`.

pub mod cache;
pub mod compile;
pub mod engine;
pub mod host;
mod inspect;
mod provided;

pub use cache::CompileError;
pub use inspect::{
    Import, InspectError, Inspection, ModuleKind, Refusal, World, inspect, inspect_bytes,
};
pub use provided::missing_imports;
