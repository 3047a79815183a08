//! Programs that nobody here wrote, with their real output.

use std::fs;

use runtime::wasm::host::Preopen;
use runtime::wasm::{ModuleKind, World, inspect, missing_imports};
use tests::thirdparty::{WASMER_WASI, npm};

use crate::bench::{Bench, config};

#[test]
fn a_strangers_program_prints_its_environment() {
    let bench = Bench::new();
    let module = npm(WASMER_WASI, "tests/envvar.wasm").unwrap();
    let mut config = config(World::WasiP1Command, bench.compiled(&module), &["envvar"]);
    config.env = vec![("DOG".into(), "X".into()), ("TEST".into(), "VALUE".into())];
    let run = bench.run(&config);
    let wanted = "Env vars:\nDOG=X\nTEST=VALUE\nDOG Ok(\"X\")\nDOG_TYPE Err(NotPresent)\nSET VAR Ok(\"HELLO\")\n";
    assert_eq!((run.code, run.out.as_str()), (0, wanted), "{run:?}");
}

#[test]
fn a_strangers_program_lists_its_volume() {
    let bench = Bench::new();
    // Built with a toolchain of 2020 for the snapshot before preview 1 was final.
    let module = npm(WASMER_WASI, "tests/mapdir.wasm").unwrap();
    let host = bench.path("volume");
    fs::create_dir_all(host.join("sub")).unwrap();
    fs::write(host.join("file"), "").unwrap();
    let mut config = config(World::WasiP1Command, bench.compiled(&module), &["mapdir"]);
    config.preopens = vec![Preopen { host, guest: ".".into(), read_only: true }];
    let run = bench.run(&config);
    let mut lines: Vec<&str> = run.out.lines().collect();
    lines.sort_unstable();
    assert_eq!((run.code, lines), (0, vec!["\"./file\"", "\"./sub\""]), "{run:?}");
}

#[test]
fn a_strangers_program_that_needs_more_is_told_what() {
    let found = inspect(&npm(WASMER_WASI, "tests/test.wasm").unwrap()).unwrap();
    assert_eq!(found.kind, ModuleKind::Core);
    let missing: Vec<String> = missing_imports(&found).iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["module#external"]);
}
