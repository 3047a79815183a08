//! What Wharf gives to Wasm programs: the names, so that a bad import is found before anything is compiled.
//!
//! The lists are checked against the linkers that [`super::host`] really builds by the tests at the end;
//! the linker has the last word when a container starts.

use super::{Import, Inspection, ModuleKind};

/// Module names under which the functions of [`PREVIEW1`] may be imported. `wasi_unstable` is the
/// snapshot before preview 1 that some published programs still use.
pub(super) const PREVIEW1_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// The functions of WASI preview 1 (`wasi_snapshot_preview1.witx`).
pub(super) const PREVIEW1: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// Of [`PREVIEW1`], what `wasi_unstable` did not have yet.
pub(super) const NOT_IN_UNSTABLE: [&str; 1] = ["sock_accept"];

/// Interfaces of WASI 0.2, any 0.2.x: patch releases only add, and the engine matches them by that rule.
pub(super) const WASI_0_2: [&str; 29] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Interfaces outside the 0.2 series, by their exact names.
pub(super) const CONFIG_STORE: &str = "wasi:config/store@0.2.0-rc.1";

/// The imports of `inspection` that Wharf does not provide, in the file's order; empty means it links.
///
/// A container whose module misses something must not be started: its status says `WasmLinkError` and
/// names the first of these.
pub fn missing_imports(inspection: &Inspection) -> Vec<Import> {
    inspection
        .imports
        .iter()
        .filter(|import| match inspection.kind {
            ModuleKind::Core => !core_provided(import),
            ModuleKind::Component => !component_provided(&import.from),
        })
        .cloned()
        .collect()
}

fn core_provided(import: &Import) -> bool {
    let item = import.item.as_deref().unwrap_or_default();
    PREVIEW1_MODULES.contains(&import.from.as_str())
        && PREVIEW1.contains(&item)
        && !(import.from == "wasi_unstable" && NOT_IN_UNSTABLE.contains(&item))
}

fn component_provided(interface: &str) -> bool {
    if interface == CONFIG_STORE {
        return true;
    }
    let Some((name, version)) = interface.split_once('@') else { return false };
    // Release candidates (`0.2.0-rc-2023-12-05`) are incompatible with each other and with 0.2.0.
    version.starts_with("0.2.") && !version.contains('-') && WASI_0_2.contains(&name)
}

#[cfg(test)]
mod tests;
