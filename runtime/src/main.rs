//! `wharf-runtime`: nothing but the internal subcommands, so that the crate's own tests have an executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::entry::dispatch().unwrap_or(ExitCode::from(64))
}
