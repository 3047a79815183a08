//! The process of one Wasm container: `<exe> wasm-host`.
//!
//! From exec to exit:
//!
//! 1. Signals are held back, so that none is lost before there is somebody to receive it.
//! 2. The native code is mapped and, in an HTTP world, the port is bound: the last things that need the
//!    host's files and rights.
//! 3. The isolation steps are executed ([`crate::launch::isolate`]): mounts, capabilities,
//!    no_new_privs, seccomp. The process is single-threaded until here, and no guest code has run.
//! 4. The [`ticker`] thread starts: epoch and signals.
//! 5. A [`command`] runs to its end, or [`http`] is served until a signal says stop. `Ready` is reported
//!    when the program is about to run or connections are accepted; the end is reported with its reason.
//!
//! Exit codes: the program's own; 134 for a trap (`WasmTrap`, with the trap's text); 128 if it could not
//! be started (`WasmLinkError` names the import, `StartError` the step); 128 + signal for a command that
//! was told to stop. A server that was told to stop finishes what it has begun and exits 0. The deadline
//! is the shim's: it kills.

mod command;
mod config;
mod guest;
mod http;
pub mod limits;
mod outcome;
mod settings;
mod stdio;
mod ticker;
mod volumes;

use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

pub use self::config::{HostConfig, HttpConfig, Preopen, SocketPolicy};
use self::outcome::{Ending, Outcome};
use self::stdio::Stdio;
use super::{ModuleKind, World, engine};
use crate::launch::report::Reporter;
use crate::sys::{TrustedCode, load_component, load_module};

/// Threads that serve HTTP, at most. A container that needs more cores than this is better scaled out.
const MAX_WORKERS: usize = 8;

/// Runs the container that `config` describes and reports through `reporter`; called once, by a process
/// that has a single thread, whose standard streams are the container's.
pub fn main(config: HostConfig, reporter: Reporter) -> ExitCode {
    let ending = Arc::new(Ending::new(reporter));
    let outcome = run(&config, &ending).unwrap_or_else(|failed| failed);
    ending.exited(&outcome);
    ExitCode::from(outcome.process_code())
}

/// The program, mapped.
enum Program {
    Core(Module),
    Component(Component),
}

fn run(config: &HostConfig, ending: &Arc<Ending>) -> Result<Outcome, Outcome> {
    let signals = ticker::hold_signals().map_err(Outcome::failed_to("hold signals"))?;
    let stdio = Stdio::inherit().map_err(Outcome::failed_to("duplicate standard streams"))?;
    let instances = http::instances(config);
    let engine = match config.world.serves_http() {
        true => engine::for_http(instances),
        false => engine::for_command(),
    };
    let engine = engine
        .map_err(|error| Outcome::not_started("set up the engine", outcome::chain(&error)))?;
    let program = load(&engine, config)?;
    let listener = config.http.as_ref().filter(|_| config.world.serves_http()).map(bind);
    let listener = listener.transpose()?;
    if let Some(plan) = &config.isolation {
        let identity = crate::launch::isolate(plan).map_err(Outcome::failed_to("isolate"))?;
        identity.into_iter().for_each(|identity| ending.became(identity));
    }
    let preopens = volumes::resolve(config)
        .map_err(|message| Outcome::not_started("open volumes", message))?;
    let config = &HostConfig { preopens, ..config.clone() };

    let stop = CancellationToken::new();
    let on_signal = {
        let (stop, ending, drains) = (stop.clone(), Arc::clone(ending), listener.is_some());
        move |signal: i32| {
            stop.cancel();
            if !drains {
                // A command knows no signals. It may be computing or blocked in a write: nothing it could
                // be asked, so the process ends here, and with it the command, wherever it was.
                let outcome = Outcome::signalled(signal);
                ending.exited(&outcome);
                std::process::exit(outcome.code);
            }
        }
    };
    let activity = ticker::start(&engine, signals, on_signal)
        .map_err(Outcome::failed_to("start the epoch thread"))?;

    match (program, listener) {
        (Program::Core(module), _) => {
            let command = command::Command { config, stdio, activity, ending };
            Ok(block_on(current_thread()?, command.run_module(&engine, &module)))
        }
        (Program::Component(component), None) => {
            let command = command::Command { config, stdio, activity, ending };
            Ok(block_on(current_thread()?, command.run_component(&engine, &component)))
        }
        (Program::Component(component), Some(listener)) => {
            let server = http::Server::new(config, &engine, &component, stdio, activity)?;
            let workers = workers(config.cpu_limit_millis);
            let serving = http::serve(server, listener, stop, || ending.ready());
            Ok(block_on(http_runtime(workers)?, serving))
        }
    }
}

fn load(engine: &Engine, config: &HostConfig) -> Result<Program, Outcome> {
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("cannot use the native code {}: {error}", config.code.display());
        Outcome::not_started("load", message)
    };
    if matches!(config.world, World::CliCommandP3 | World::HttpServiceP3) {
        let refusal = super::Refusal::Experimental(config.world);
        return Err(Outcome::not_started("load", refusal));
    }
    let code = TrustedCode::open(&config.code).map_err(|error| failed(&error))?;
    match config.world.kind() {
        ModuleKind::Core => load_module(engine, code).map(Program::Core),
        ModuleKind::Component => load_component(engine, code).map(Program::Component),
    }
    .map_err(|error| failed(&outcome::chain(&error)))
}

/// An engine's error in one line, for messages.
pub(super) fn error_chain(error: &wasmtime::Error) -> String {
    outcome::chain(error)
}

fn bind(http: &HttpConfig) -> Result<TcpListener, Outcome> {
    let failed = |error| {
        Outcome::not_started("listen", format!("cannot listen on {}: {error}", http.listen))
    };
    let listener = TcpListener::bind(http.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// One thread per core that the container may use.
fn workers(cpu_limit_millis: Option<u64>) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let limit = cpu_limit_millis.map_or(usize::MAX, |millis| millis.div_ceil(1000).max(1) as usize);
    cores.min(limit).min(MAX_WORKERS)
}

fn http_runtime(workers: usize) -> Result<Runtime, Outcome> {
    match workers {
        1 => current_thread(),
        more => built(Builder::new_multi_thread().worker_threads(more)),
    }
}

fn current_thread() -> Result<Runtime, Outcome> {
    built(&mut Builder::new_current_thread())
}

fn built(builder: &mut Builder) -> Result<Runtime, Outcome> {
    builder
        .enable_all()
        .build()
        .map_err(|error| Outcome::not_started("start the async runtime", error))
}

/// Like [`Runtime::block_on`], but does not wait for helper threads that may be stuck in a read of stdin.
fn block_on<F: Future>(runtime: Runtime, future: F) -> F::Output {
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_container_gets_no_more_threads_than_cores_it_may_use() {
        assert_eq!(workers(Some(100)), 1);
        assert_eq!(workers(Some(1000)), 1);
        assert!(workers(Some(64_000)) <= MAX_WORKERS);
        assert!(workers(None) >= 1);
    }
}
