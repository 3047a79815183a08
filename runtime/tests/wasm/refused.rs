//! What is not run, and what is said about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use runtime::launch::report::Report;
use runtime::spec::ExitReason;
use runtime::wasm::World;

use crate::bench::{Bench, config, start};

fn failure(reports: &[Report]) -> (ExitReason, &str) {
    match reports {
        [Report::Failed { reason, message, .. }] => (*reason, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_import_that_is_not_provided_is_named() {
    let bench = Bench::new();
    let wat = start(r#"(import "env" "warp" (func))"#, "");
    let run = bench.run(&config(World::WasiP1Command, bench.text(&wat), &["x"]));
    assert_eq!(run.code, 128);
    assert_eq!(
        failure(&run.reports),
        (ExitReason::WasmLinkError, "imports env#warp, which is not provided")
    );
}

#[test]
fn an_interface_that_is_not_provided_is_named() {
    let bench = Bench::new();
    let wat = r#"(component
        (import "acme:warp/drive@1.0.0" (instance (export "engage" (func))))
        (core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $e (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $e)))"#;
    let run = bench.run(&config(World::CliCommand, bench.text(wat), &["x"]));
    let (reason, message) = failure(&run.reports);
    assert_eq!((run.code, reason), (128, ExitReason::WasmLinkError));
    assert!(message.contains("acme:warp/drive@1.0.0"), "{message}");
}

#[test]
fn an_interface_that_lost_a_function_is_named_with_it() {
    let bench = Bench::new();
    let wat = r#"(component
        (import "wasi:cli/environment@0.2.3" (instance (export "get-moon-phase" (func))))
        (core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $e (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $e)))"#;
    let run = bench.run(&config(World::CliCommand, bench.text(wat), &["x"]));
    let (reason, message) = failure(&run.reports);
    assert_eq!(reason, ExitReason::WasmLinkError);
    assert!(
        message.contains("wasi:cli/environment") && message.contains("get-moon-phase"),
        "{message}"
    );
}

#[test]
fn code_that_others_could_have_written_is_not_mapped() {
    let bench = Bench::new();
    let code = bench.fixture("hello.wasm");
    fs::set_permissions(&code, fs::Permissions::from_mode(0o666)).unwrap();
    let run = bench.run(&config(World::WasiP1Command, code, &["x"]));
    let (reason, message) = failure(&run.reports);
    assert_eq!((run.code, reason), (128, ExitReason::StartError));
    assert!(message.contains("writable by others"), "{message}");
}

#[test]
fn code_of_another_engine_or_world_is_not_run() {
    let bench = Bench::new();
    let code = bench.fixture("hello.wasm");
    let wrong_world = bench.run(&config(World::CliCommand, code.clone(), &["x"]));
    assert_eq!(failure(&wrong_world.reports).0, ExitReason::StartError);

    let mut bytes = fs::read(&code).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&code, bytes).unwrap();
    let truncated = bench.run(&config(World::WasiP1Command, code, &["x"]));
    assert_eq!(failure(&truncated.reports).0, ExitReason::StartError);
}

#[test]
fn wasi_0_3_is_refused_by_name() {
    let bench = Bench::new();
    let run = bench.run(&config(World::HttpServiceP3, bench.fixture("hello.wasm"), &["x"]));
    let (_, message) = failure(&run.reports);
    assert!(message.contains("wasi:http/service@0.3"), "{message}");
}
