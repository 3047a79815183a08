use wasmtime::component::Component;
use wasmtime::{Engine, Linker as CoreLinker, Store};

use super::super::limits::Budget;
use super::*;
use crate::wasm::provided::{NOT_IN_UNSTABLE, PREVIEW1, PREVIEW1_MODULES, WASI_0_2};

#[test]
fn loopback_mode_binds_the_pods_own_address_only() {
    let own = SocketPolicy::Only { address: "127.7.0.2".parse().unwrap() };
    for (policy, address, purpose, allowed) in [
        (SocketPolicy::Namespace, "0.0.0.0:80", SocketAddrUse::TcpBind, true),
        (own, "127.7.0.2:80", SocketAddrUse::TcpBind, true),
        (own, "0.0.0.0:80", SocketAddrUse::TcpBind, false),
        (own, "[::]:80", SocketAddrUse::UdpBind, false),
        (own, "127.0.0.1:80", SocketAddrUse::TcpBind, false),
        (own, "0.0.0.0:0", SocketAddrUse::TcpBind, true),
        (own, "0.0.0.0:41234", SocketAddrUse::TcpListen, false),
        (own, "127.7.0.2:41234", SocketAddrUse::TcpListen, true),
        (own, "192.0.2.1:443", SocketAddrUse::TcpConnect, true),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(
            permitted(policy, address, purpose),
            allowed,
            "{policy:?} {address} {purpose:?}"
        );
    }
}

/// The list that images are checked against names exactly what the linker really has.
#[test]
fn preview_1_is_provided_as_listed() {
    let engine = crate::wasm::engine::compiler().unwrap();
    let linker: CoreLinker<CoreGuest> = core_linker(&engine).unwrap();
    let state =
        CoreGuest { wasi: WasiCtx::builder().build_p1(), memory: Budget::new(None).share() };
    let mut store = Store::new(&engine, state);
    let mut found: Vec<(String, String)> =
        linker.iter(&mut store).map(|(from, item, _)| (from.to_owned(), item.to_owned())).collect();
    found.sort();
    let mut listed = Vec::new();
    for module in PREVIEW1_MODULES {
        for function in PREVIEW1 {
            if module != "wasi_unstable" || !NOT_IN_UNSTABLE.contains(&function) {
                listed.push((module.to_owned(), function.to_owned()));
            }
        }
    }
    listed.sort();
    assert_eq!(found, listed);
}

/// One item of each listed interface: a resource, or a function that is asked for with a wrong type, so
/// that the linker must know it to complain of that.
const ITEMS: [(&str, &str, bool); 29] = [
    ("wasi:cli/environment", "get-environment", false),
    ("wasi:cli/exit", "exit", false),
    ("wasi:cli/stderr", "get-stderr", false),
    ("wasi:cli/stdin", "get-stdin", false),
    ("wasi:cli/stdout", "get-stdout", false),
    ("wasi:cli/terminal-input", "terminal-input", true),
    ("wasi:cli/terminal-output", "terminal-output", true),
    ("wasi:cli/terminal-stderr", "get-terminal-stderr", false),
    ("wasi:cli/terminal-stdin", "get-terminal-stdin", false),
    ("wasi:cli/terminal-stdout", "get-terminal-stdout", false),
    ("wasi:clocks/monotonic-clock", "now", false),
    ("wasi:clocks/wall-clock", "now", false),
    ("wasi:filesystem/preopens", "get-directories", false),
    ("wasi:filesystem/types", "descriptor", true),
    ("wasi:http/outgoing-handler", "handle", false),
    ("wasi:http/types", "fields", true),
    ("wasi:io/error", "error", true),
    ("wasi:io/poll", "pollable", true),
    ("wasi:io/streams", "input-stream", true),
    ("wasi:random/insecure", "get-insecure-random-bytes", false),
    ("wasi:random/insecure-seed", "insecure-seed", false),
    ("wasi:random/random", "get-random-bytes", false),
    ("wasi:sockets/instance-network", "instance-network", false),
    ("wasi:sockets/ip-name-lookup", "resolve-addresses", false),
    ("wasi:sockets/network", "network", true),
    ("wasi:sockets/tcp", "tcp-socket", true),
    ("wasi:sockets/tcp-create-socket", "create-tcp-socket", false),
    ("wasi:sockets/udp", "udp-socket", true),
    ("wasi:sockets/udp-create-socket", "create-udp-socket", false),
];

fn link(engine: &Engine, import: &str, item: &str, resource: bool) -> Result<(), String> {
    let of = match resource {
        true => "(type (sub resource))",
        false => r#"(func (param "no-such-parameter" (list (list string))))"#,
    };
    let wat = format!(r#"(component (import "{import}" (instance (export "{item}" {of}))))"#);
    let component = Component::new(engine, wat::parse_str(wat).unwrap()).unwrap();
    let linked = component_linker(engine).unwrap().instantiate_pre(&component);
    linked.map(|_| ()).map_err(|error| format!("{error:?}"))
}

#[test]
fn wasi_0_2_is_provided_as_listed() {
    let engine = crate::wasm::engine::compiler().unwrap();
    assert_eq!(ITEMS.map(|(interface, _, _)| interface), WASI_0_2);
    // What the linker says of a function that it does not have.
    let unknown = link(&engine, "wasi:cli/environment@0.2.0", "none", false).unwrap_err();
    assert!(unknown.contains("missing"), "{unknown}");
    for (interface, item, resource) in ITEMS {
        for version in ["0.2.0", "0.2.3", "0.2.11"] {
            let linked = link(&engine, &format!("{interface}@{version}"), item, resource);
            let known =
                linked.as_ref().map_or_else(|error| !error.contains("missing"), |()| resource);
            assert!(known, "{interface}@{version}#{item}: {linked:?}");
        }
        assert!(link(&engine, &format!("{interface}@0.1.0"), item, resource).is_err());
    }
}

/// A component that asks `wasi:config` for a key, with the interface's exact types.
#[test]
fn the_environment_is_also_found_by_wasi_config() {
    let engine = crate::wasm::engine::compiler().unwrap();
    let wat = r#"(component
        (import "wasi:config/store@0.2.0-rc.1" (instance
            (type $error' (variant (case "upstream" string) (case "io" string)))
            (export "error" (type $error (eq $error')))
            (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
            (export "get-all" (func (result (result (list (tuple string string)) (error $error))))))))"#;
    let component = Component::new(&engine, wat::parse_str(wat).unwrap()).unwrap();
    component_linker(&engine).unwrap().instantiate_pre(&component).unwrap();
}
