//! Native code from the Wasm cache: mapping it is executing it, so it is done in this one place.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// A file of native code that only this user (or root) can have written.
///
/// Constructing one is the check; the loaders below take nothing else.
#[derive(Debug)]
pub(crate) struct TrustedCode {
    file: File,
}

impl TrustedCode {
    /// Opens `path` and refuses it unless it is a regular file, not empty, owned by the effective user
    /// or root, and writable by nobody else.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let meta = file.metadata()?;
        let owner_ok = meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw();
        let refusal = if !meta.is_file() {
            "not a regular file"
        } else if meta.len() == 0 {
            "an empty file"
        } else if !owner_ok {
            "owned by another user"
        } else if meta.mode() & 0o022 != 0 {
            "writable by others"
        } else {
            return Ok(Self { file });
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal))
    }
}

/// Maps a core module's native code; its pages are shared with every process that maps the same file.
pub(crate) fn load_module(engine: &Engine, code: TrustedCode) -> wasmtime::Result<Module> {
    // SAFETY: `TrustedCode` proves that only this user or root can have written the file, and the cache
    // only ever puts there what its own compiler process made: files appear by rename, complete, and are
    // never written to again (removal unlinks, which keeps existing mappings intact). The engine itself
    // refuses files of another version, configuration or processor.
    unsafe { Module::deserialize_open_file(engine, code.file) }
}

/// Maps a component's native code; otherwise like [`load_module`].
pub(crate) fn load_component(engine: &Engine, code: TrustedCode) -> wasmtime::Result<Component> {
    use std::os::fd::AsRawFd;

    // The engine opens components by path only; the descriptor's own name leads to the very file that
    // was checked, whatever happens to its directory entry meanwhile.
    let path = format!("/proc/self/fd/{}", code.file.as_raw_fd());
    // SAFETY: as in `load_module`.
    unsafe { Component::deserialize_file(engine, path) }
}
