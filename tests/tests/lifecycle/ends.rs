//! How containers end: exit codes and Kubernetes' words for them.

use super::pods::{cluster, finished, load_wat, status, terminated};
use tests::cluster::Cluster;

/// Asks for 15 MiB at once and touches all of it: within its own share of 20 MiB, too much with its host.
const GREEDY: &str = r#"(module
  (memory (export "memory") 240)
  (func (export "_start")
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 15728640))))"#;

const STRANGER: &str = r#"(module
  (import "acme" "launch_missiles" (func $launch))
  (memory (export "memory") 1)
  (func (export "_start") (call $launch)))"#;

/// Pods of one container `c` that is not started again.
const PODS: &[(&str, &str)] = &[
    ("zero", "image: test/busybox:v1, command: ['true']"),
    ("seven", "image: test/busybox:v1, command: [sh, -c, exit 7]"),
    // Not by the kernel for memory: the reason must not say so.
    ("killed", "image: test/busybox:v1, command: [sh, -c, 'sh -c \"kill -9 \\$\\$\"; exit $?']"),
    ("missing", "image: test/busybox:v1, command: [/no/such/program]"),
    (
        "big",
        "image: test/busybox:v1, command: [dd, if=/dev/zero, of=/dev/null, bs=200M, count=1], resources: {limits: {memory: 16Mi}}",
    ),
    (
        "message",
        "image: test/busybox:v1, command: [sh, -c, 'echo out of cheese > /dev/termination-log; exit 2']",
    ),
    ("wasm-zero", "image: test/hello:v1"),
    ("wasm-five", "image: test/hello:v1, args: [--exit, '5']"),
    ("wasm-trap", "image: test/hello:v1, args: [--abort]"),
    ("wasm-import", "image: test/stranger:v1"),
    ("wasm-grows", "image: test/spin:v1, args: [mem], resources: {limits: {memory: 64Mi}}"),
    ("wasm-big", "image: test/greedy:v1, resources: {limits: {memory: 20Mi}}"),
];

#[test]
fn every_end_has_its_code_and_reason() {
    let cluster = cluster();
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    cluster.load_fixture("spin.wasm", "test/spin:v1").unwrap();
    load_wat(&cluster, "test/greedy:v1", GREEDY);
    load_wat(&cluster, "test/stranger:v1", STRANGER);
    for (name, container) in PODS {
        cluster
            .apply(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  - {{name: c, {container}}}\n"
            ))
            .unwrap();
    }

    ended(&cluster, "zero", 0, "Completed", "");
    ended(&cluster, "seven", 7, "Error", "");
    ended(&cluster, "killed", 137, "Error", "");
    ended(&cluster, "missing", 128, "StartError", "/no/such/program");
    ended(&cluster, "big", 137, "OOMKilled", "");
    ended(&cluster, "message", 2, "Error", "out of cheese");
    ended(&cluster, "wasm-zero", 0, "Completed", "");
    ended(&cluster, "wasm-five", 5, "Error", "");
    ended(&cluster, "wasm-trap", 134, "WasmTrap", "unreachable");
    ended(&cluster, "wasm-import", 128, "WasmLinkError", "launch_missiles");
    ended(&cluster, "wasm-big", 137, "OOMKilled", "");

    // Growing fails within the limit, so the program can react.
    ended(&cluster, "wasm-grows", 3, "Error", "");
    let log = cluster.wctl(&["logs", "wasm-grows"]).unwrap();
    assert!(log.contains("malloc failed after"), "{log}");

    let described = cluster.wctl(&["describe", "pod", "wasm-import"]).unwrap();
    assert!(described.contains("launch_missiles"), "{described}");
}

fn ended(cluster: &Cluster, name: &str, code: i64, reason: &str, message: &str) {
    let pod = finished(cluster, name);
    let end = terminated(&pod);
    assert_eq!(
        (end["exitCode"].as_i64(), end["reason"].as_str()),
        (Some(code), Some(reason)),
        "{name}: {pod:#}"
    );
    let said = end["message"].as_str().unwrap_or_default();
    assert!(said.contains(message), "{name}: {said:?}");
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    assert_eq!(pod["status"]["phase"], phase, "{name}");
    assert_eq!(status(&pod, "c")["restartCount"], 0, "{name}");
    assert_eq!(status(&pod, "c")["ready"], false, "{name}");
    assert!(end["startedAt"].is_string() && end["finishedAt"].is_string(), "{name}: {end}");
}
