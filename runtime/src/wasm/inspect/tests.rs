use super::*;
use crate::wasm::missing_imports;

fn fixture(name: &str) -> Inspection {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wasm");
    inspect(&root.join(name)).unwrap()
}

fn text(wat: &str) -> Inspection {
    inspect_bytes(&wat::parse_str(wat).unwrap()).unwrap()
}

#[test]
fn the_fixtures_are_what_their_makers_say() {
    for (name, kind, world) in [
        ("hello.wasm", ModuleKind::Core, World::WasiP1Command),
        ("spin.wasm", ModuleKind::Core, World::WasiP1Command),
        ("vol.wasm", ModuleKind::Core, World::WasiP1Command),
        ("hello-p2.wasm", ModuleKind::Component, World::CliCommand),
        ("tcp-echo.wasm", ModuleKind::Component, World::CliCommand),
        ("http-c.wasm", ModuleKind::Component, World::HttpProxy),
    ] {
        let found = fixture(name);
        assert_eq!((found.kind, found.world), (kind, Some(world)), "{name}");
        assert_eq!(found.runnable(None), Ok(world), "{name}");
        assert_eq!(missing_imports(&found), [], "{name}");
        assert_eq!(world.kind(), kind);
    }
    let http = fixture("http-c.wasm");
    assert!(http.exports.iter().any(|name| name.starts_with("wasi:http/incoming-handler@0.2.")));
    assert!(http.imports.iter().any(|import| import.from.starts_with("wasi:http/types@0.2.")));
}

#[test]
fn bytes_that_are_not_wasm_are_called_what_they_are() {
    for (bytes, says) in [
        (&b""[..], "an empty file"),
        (b"\x7fELF\x02\x01", "ELF"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"#!/bin/sh\n", "script"),
        (b"(module)", "text"),
        (b"\x00asn\x01\x00\x00\x00", "bytes 00 61 73 6e"),
    ] {
        let error = inspect_bytes(bytes).unwrap_err().to_string();
        assert!(error.starts_with("not WebAssembly") && error.contains(says), "{error}");
    }
}

#[test]
fn precompiled_code_is_refused() {
    let engine = crate::wasm::engine::compiler().unwrap();
    let wasm = wat::parse_str("(module (func (export \"_start\")))").unwrap();
    let code = engine.precompile_module(&wasm).unwrap();
    assert!(matches!(inspect_bytes(&code), Err(InspectError::Precompiled)));
}

#[test]
fn malformed_modules_say_where() {
    let mut wasm = wat::parse_str("(module (func (export \"_start\")))").unwrap();
    for cut in [5, 12, wasm.len() - 1] {
        let error = inspect_bytes(&wasm[..cut]).unwrap_err();
        assert!(matches!(error, InspectError::Malformed { .. }), "{cut}: {error}");
    }
    wasm[4] = 9;
    assert!(matches!(inspect_bytes(&wasm), Err(InspectError::Malformed { .. })));
}

#[test]
fn a_library_has_no_world_but_may_be_entered_by_name() {
    let library = text(r#"(module (func (export "add")))"#);
    assert_eq!(library.world, None);
    assert_eq!(library.runnable(None), Err(Refusal::NoEntryPoint("module")));
    assert_eq!(library.runnable(Some("add")), Ok(World::WasiP1Command));
    let not_a_function = text(r#"(module (memory (export "_start") 1))"#);
    assert_eq!(not_a_function.world, None);
    let component = text("(component)");
    assert_eq!(component.runnable(Some("x")), Err(Refusal::NoEntryPoint("component")));
}

#[test]
fn wasi_0_3_is_recognised_and_refused() {
    let future = text(
        r#"(component
            (instance $run)
            (export "wasi:cli/run@0.3.0" (instance $run)))"#,
    );
    assert_eq!(future.world, Some(World::CliCommandP3));
    assert_eq!(future.runnable(None), Err(Refusal::Experimental(World::CliCommandP3)));
}

#[test]
fn http_wins_over_run() {
    let both = text(
        r#"(component
            (instance $i)
            (export "wasi:cli/run@0.2.0" (instance $i))
            (export "wasi:http/incoming-handler@0.2.3" (instance $i)))"#,
    );
    assert_eq!(both.world, Some(World::HttpProxy));
}

#[test]
fn only_the_outermost_imports_are_the_hosts() {
    let nested = text(
        r#"(component
            (core module (import "inner" "f" (func)) (func (export "_start")))
            (component (import "deeper" (func))))"#,
    );
    assert_eq!((nested.imports, nested.exports), (vec![], vec![]));
}
