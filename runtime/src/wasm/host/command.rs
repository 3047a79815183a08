//! A command: one instance, run to its end.

use std::sync::Arc;

use wasmtime::component::{Component, ResourceTable};
use wasmtime::{Engine, ExternType, Instance, Module, Store, Val};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::WasiHttpCtx;

use super::config::HostConfig;
use super::guest::{self, CoreGuest, Guest};
use super::limits::Budget;
use super::outcome::{self, Ending, Outcome};
use super::stdio::{Stdio, Through};
use super::ticker::Activity;

/// The export that starts a preview 1 command.
const START: &str = "_start";
/// The export that prepares a preview 1 library before any other of its functions is called.
const INITIALIZE: &str = "_initialize";

/// Everything a command needs beside its code.
pub(super) struct Command<'a> {
    pub(super) config: &'a HostConfig,
    pub(super) stdio: Stdio,
    pub(super) activity: Arc<Activity>,
    pub(super) ending: &'a Ending,
}

impl Command<'_> {
    /// Runs a core module's `_start`, or the export that `#func` selects.
    pub(super) async fn run_module(&self, engine: &Engine, module: &Module) -> Outcome {
        self.module(engine, module).await.unwrap_or_else(|outcome| outcome)
    }

    /// Runs a component's `wasi:cli/run`.
    pub(super) async fn run_component(&self, engine: &Engine, component: &Component) -> Outcome {
        self.component(engine, component).await.unwrap_or_else(|outcome| outcome)
    }

    async fn module(&self, engine: &Engine, module: &Module) -> Result<Outcome, Outcome> {
        let (args, function) = select(&self.config.args);
        let linker = guest::core_linker(engine).map_err(|error| Outcome::unlinkable(&error))?;
        let pre = linker.instantiate_pre(module).map_err(|error| Outcome::unlinkable(&error))?;
        let entry = function.unwrap_or(START);
        enterable(module, entry)?;
        let state = CoreGuest {
            wasi: self.surroundings(&args)?.build_p1(),
            memory: Budget::new(self.config.memory_limit_bytes).share(),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|guest| &mut guest.memory);
        self.activity.attach(&mut store);
        // No `activity.guest()`: preview 1 has nothing that runs beside the program, so nobody waits for
        // it to yield, and its thread is left alone.
        let instance = pre.instantiate_async(&mut store).await;
        let instance = instance.map_err(|error| self.failed_instantiation(&error))?;
        self.ending.ready();
        if entry != START && module.get_export(INITIALIZE).is_some() {
            self.call(&mut store, instance, INITIALIZE).await?;
        }
        self.call(&mut store, instance, entry).await
    }

    async fn call(
        &self,
        store: &mut Store<CoreGuest>,
        instance: Instance,
        entry: &str,
    ) -> Result<Outcome, Outcome> {
        let Some(function) = instance.get_func(&mut *store, entry) else {
            return Err(no_export(entry));
        };
        let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
        match function.call_async(&mut *store, &[], &mut results).await {
            Ok(()) => Ok(Outcome::exit(results.first().and_then(Val::i32).unwrap_or(0))),
            Err(error) => Err(self.ended(&error)),
        }
    }

    async fn component(&self, engine: &Engine, component: &Component) -> Result<Outcome, Outcome> {
        let (args, function) = select(&self.config.args);
        if let Some(function) = function {
            return Err(Outcome::link_error(format!(
                "`#{function}` selects an export of a core module, but this is a component, which is \
                 entered by wasi:cli/run"
            )));
        }
        let linker =
            guest::component_linker(engine).map_err(|error| Outcome::unlinkable(&error))?;
        let pre = linker.instantiate_pre(component).and_then(CommandPre::new);
        let pre = pre.map_err(|error| Outcome::unlinkable(&error))?;
        let state = Guest {
            wasi: self.surroundings(&args)?.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            memory: Budget::new(self.config.memory_limit_bytes).share(),
            settings: self.config.env.clone().into(),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|guest| &mut guest.memory);
        self.activity.attach(&mut store);
        // Sockets and timers are driven by tasks beside the program: it must yield to them.
        let _guest = self.activity.guest();
        let command = pre.instantiate_async(&mut store).await;
        let command = command.map_err(|error| self.failed_instantiation(&error))?;
        self.ending.ready();
        match command.wasi_cli_run().call_run(&mut store).await {
            Ok(Ok(())) => Ok(Outcome::exit(0)),
            Ok(Err(())) => Ok(Outcome::exit(1)),
            Err(error) => Err(self.ended(&error)),
        }
    }

    fn surroundings(&self, args: &[String]) -> Result<WasiCtxBuilder, Outcome> {
        let mut builder = guest::surroundings(self.config, args, &self.stdio)
            .map_err(|message| Outcome::not_started("open volumes", message))?;
        builder
            .inherit_stdin()
            .stdout(Through(Arc::clone(&self.stdio.out)))
            .stderr(Through(Arc::clone(&self.stdio.err)))
            // Nothing else waits for this thread: a file is read where it is asked for.
            .allow_blocking_current_thread(true);
        Ok(builder)
    }

    /// A start function may trap or exit like any other; everything else that goes wrong while the
    /// instance is made (memory over the limit, a data segment out of bounds) means it never ran.
    fn failed_instantiation(&self, error: &wasmtime::Error) -> Outcome {
        let guest_code_ran = error.is::<wasmtime::WasmBacktrace>();
        match guest_code_ran || error.is::<wasmtime::Trap>() || error.is::<wasmtime_wasi::I32Exit>()
        {
            true => self.ended(error),
            false => Outcome::not_started("instantiate", outcome::chain(error)),
        }
    }

    /// The end that guest code brought about; of a trap, the whole story goes to the log.
    fn ended(&self, error: &wasmtime::Error) -> Outcome {
        let ended = Outcome::of(error);
        if ended.reason == crate::spec::ExitReason::WasmTrap {
            self.stdio.note(&format!("the program trapped: {}", outcome::story(error)));
        }
        ended
    }
}

/// Splits `name#func` in argv 0.
fn select(args: &[String]) -> (Vec<String>, Option<&str>) {
    let mut argv = args.to_vec();
    let selected = args.first().and_then(|name| name.rsplit_once('#'));
    match selected {
        Some((name, function)) if !function.is_empty() => {
            argv[0] = name.to_owned();
            (argv, Some(function))
        }
        _ => (argv, None),
    }
}

/// A command's entry takes nothing and returns nothing, or its exit code.
fn enterable(module: &Module, entry: &str) -> Result<(), Outcome> {
    match module.get_export(entry) {
        Some(ExternType::Func(of)) => {
            let results: Vec<_> = of.results().collect();
            let fits = of.params().len() == 0
                && (results.is_empty() || (results.len() == 1 && results[0].is_i32()));
            match fits {
                true => Ok(()),
                false => Err(Outcome::link_error(format!(
                    "the exported function `{entry}` takes or returns more than a command's entry may: \
                     no parameters, and nothing or an i32 exit code"
                ))),
            }
        }
        _ => Err(no_export(entry)),
    }
}

fn no_export(entry: &str) -> Outcome {
    Outcome::link_error(format!("exports no function `{entry}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv_0_may_select_an_export() {
        for (given, name, function) in [
            ("hello.wasm", "hello.wasm", None),
            ("a/b.wasm#run", "a/b.wasm", Some("run")),
            ("odd#name.wasm#f", "odd#name.wasm", Some("f")),
            ("trailing#", "trailing#", None),
        ] {
            let args = [given.to_owned(), "x#y".to_owned()];
            let (argv, selected) = select(&args);
            assert_eq!((argv[0].as_str(), argv[1].as_str(), selected), (name, "x#y", function));
        }
        assert_eq!(select(&[]), (Vec::new(), None));
    }
}
