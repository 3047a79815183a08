//! `wctl`: the command line, and the one place where components are composed into modes.
//!
//! The same executable is also every shim, Wasm host and Wasm compiler: [`runtime::entry::dispatch`]
//! takes those before anything else happens, so that they stay small and single-threaded.
//!
//! | file | what |
//! |---|---|
//! | `cli.rs` | the arguments, one definition for parsing and help |
//! | `commands/` | a file per command |
//! | `cluster.rs`, `resource.rs`, `request.rs` | which cluster, which resource, one call |
//! | `output/` | tables, YAML, JSON, names |
//! | `dev/` | `wctl dev`: a whole cluster in this process |
//! | `server/`, `node/` | `wctl server`, `wctl agent`: a control plane, and the nodes that join it |
//! | `sim/` | `wctl sim`: a control plane with hollow nodes in this process |

mod cli;
mod cluster;
mod commands;
mod dev;
mod node;
mod output;
mod request;
mod resource;
mod server;
mod sim;
mod telemetry;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Most of what the API server does is to make and drop small values; the C library's allocator takes
/// twice as long for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(code) = runtime::entry::dispatch() {
        return code;
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        unreachable!("nothing installs a crypto provider before main does");
    }
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the reader of our output went away (`wctl get pods | head -1`).
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
