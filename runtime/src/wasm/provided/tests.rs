use super::*;
use crate::wasm::inspect_bytes;

fn missing(wat: &str) -> Vec<String> {
    let inspection = inspect_bytes(&wat::parse_str(wat).unwrap()).unwrap();
    missing_imports(&inspection).iter().map(ToString::to_string).collect()
}

#[test]
fn core_imports_are_checked_by_name() {
    assert_eq!(
        missing(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                (import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                (import "wasi_unstable" "sock_accept" (func (param i32 i32 i32) (result i32)))
                (import "env" "emscripten_memcpy" (func))
                (import "wasi" "thread-spawn" (func (param i32) (result i32))))"#
        ),
        ["wasi_unstable#sock_accept", "env#emscripten_memcpy", "wasi#thread-spawn"]
    );
}

#[test]
fn component_imports_are_checked_by_interface_and_series() {
    assert_eq!(
        missing(
            r#"(component
                (import "wasi:cli/environment@0.2.99" (instance (export "f" (func))))
                (import "wasi:cli/environment@0.3.0" (instance (export "f" (func))))
                (import "wasi:io/streams@0.2.0-rc-2023-11-10" (instance (export "f" (func))))
                (import "fermyon:spin/llm@2.0.0" (instance (export "infer" (func))))
                (import "wasi:config/store@0.2.0-rc.1" (instance (export "get" (func))))
                (import "plain" (func)))"#
        ),
        [
            "wasi:cli/environment@0.3.0#f",
            "wasi:io/streams@0.2.0-rc-2023-11-10#f",
            "fermyon:spin/llm@2.0.0#infer",
            "plain"
        ]
    );
}

#[test]
fn an_interface_of_types_alone_needs_no_provider() {
    assert_eq!(
        missing(
            r#"(component
                (import "acme:things/types@1.0.0" (instance
                    (type $t (record (field "x" u32)))
                    (export "thing" (type (eq $t))))))"#
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        missing(
            r#"(component
                (import "acme:things/types@1.0.0" (instance
                    (export "thing" (type (sub resource))))))"#
        ),
        ["acme:things/types@1.0.0#thing"]
    );
}
