//! `<exe> wasm-compile IN OUT`: from Wasm to native code, in a process of its own.
//!
//! The compiler reads input that a stranger wrote, and takes seconds to minutes for it. So it gets no
//! share of the node's own process: a bug or a bomb in it ends one process with limited memory, time and
//! output, running at the lowest priority. What it says goes to stderr as one line for people.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};

use super::{ModuleKind, engine, inspect_bytes};

/// Address space. 20 MB modules compile in 1 to 2 GB; threads and their arenas reserve more than they use.
const ADDRESS_SPACE: u64 = 8 << 30;
/// Processor seconds, all threads together. Large language runtimes take up to 90 in a release build.
const CPU_SECONDS: u64 = 900;
/// Native code is two to five times as large as Wasm.
const FILE_SIZE: u64 = 2 << 30;
/// As much behind everybody else as possible.
const NICE: i32 = 19;

/// Exit code when the input is at fault: not Wasm, not well formed, not supported.
pub const EXIT_INVALID: u8 = 65;
/// Exit code for a wrong number of arguments.
const EXIT_USAGE: u8 = 64;
/// Exit code when the machine is at fault: unreadable input, full disk.
pub const EXIT_FAILED: u8 = 74;

/// Compiles the Wasm file IN into OUT, which must not exist; called once, by its own process.
///
/// `arguments` are what follows `wasm-compile`: the two paths.
#[expect(clippy::print_stderr, reason = "stderr is this process's one way to say what is wrong")]
pub fn main(arguments: &[OsString]) -> ExitCode {
    let [input, output] = arguments else {
        eprintln!("usage: wasm-compile IN OUT");
        return ExitCode::from(EXIT_USAGE);
    };
    let (input, output) = (Path::new(input), Path::new(output));
    match limit().map_err(Failure::machine("limit this process")).and_then(|()| run(input, output))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn machine(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self { code: EXIT_FAILED, message: format!("cannot {step}: {error}") }
    }

    fn input(message: String) -> Self {
        Self { code: EXIT_INVALID, message }
    }
}

fn run(input: &Path, output: &Path) -> Result<(), Failure> {
    let wasm = std::fs::read(input).map_err(Failure::machine("read the module"))?;
    let inspection = inspect_bytes(&wasm).map_err(|error| Failure::input(error.to_string()))?;
    let invalid = |error: wasmtime::Error| Failure::input(super::host::error_chain(&error));
    let engine = engine::compiler().map_err(invalid)?;
    let code = match inspection.kind {
        ModuleKind::Core => engine.precompile_module(&wasm),
        ModuleKind::Component => engine.precompile_component(&wasm),
    }
    .map_err(invalid)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(output)
        .map_err(Failure::machine("create the output"))?;
    file.write_all(&code).and_then(|()| file.sync_all()).map_err(|error| {
        _ = std::fs::remove_file(output);
        Failure::machine("write the native code")(error)
    })
}

/// Lowers this process's limits; raising them again is not needed.
fn limit() -> io::Result<()> {
    for (resource, limit) in [
        (Resource::As, ADDRESS_SPACE),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Fsize, FILE_SIZE),
        (Resource::Core, 0),
    ] {
        let hard = rustix::process::getrlimit(resource).maximum;
        let limit = Some(hard.map_or(limit, |hard| hard.min(limit)));
        setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
    }
    setpriority_process(None, NICE)?;
    Ok(())
}
