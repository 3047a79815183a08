//! Internal subcommands of whatever executable this crate is linked into.
//!
//! `shim`, `exec`, `wasm-host` and `wasm-compile` are started by this crate itself, through `/proc/self/exe`; they
//! are no part of anybody's command line. `main` asks here first, before it makes a thread, reads an
//! argument or opens anything.

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

use crate::launch::report::{CONFIG_FD, REPORT_FD, Reporter};

/// Exit code for arguments that nobody but this crate should ever pass, wrongly passed (sysexits.h EX_USAGE).
const USAGE: u8 = 64;

/// Runs the internal subcommand that the process was started for; `None` if it is none of them.
pub fn dispatch() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    arguments.next();
    let name = arguments.next()?;
    let rest: Vec<OsString> = arguments.collect();
    Some(match name.to_str()? {
        "shim" => crate::shim::main(&rest),
        "exec" => crate::exec::enter::main(),
        "wasm-host" => wasm_host(),
        "wasm-compile" => crate::wasm::compile::main(&rest),
        _ => return None,
    })
}

/// The Wasm host finds its configuration and its report pipe under fixed numbers.
fn wasm_host() -> ExitCode {
    let config = crate::sys::adopt_descriptor(CONFIG_FD).and_then(|fd| {
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text)?;
        serde_json::from_str(&text).map_err(std::io::Error::other)
    });
    match (config, Reporter::inherited(REPORT_FD)) {
        (Ok(config), Ok(reporter)) => crate::wasm::host::main(config, reporter),
        _ => ExitCode::from(USAGE),
    }
}
