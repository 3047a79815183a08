//! `wctl logs` and all its options.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use tests::process::Guard;

use super::pods::{cluster, finished, ready, restarts, until_log};

const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: chatty}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: switches, hostPath: {path: SWITCHES}}
  containers:
  - name: native
    image: test/busybox:v1
    command: [sh, -c, 'for i in 1 2 3 4 5; do echo out $i; done; echo early >&2; until test -e /switches/go; do sleep 0.05; done; while :; do echo late; sleep 0.2; done']
    volumeMounts: [{name: switches, mountPath: /switches}]
  - {name: wasm, image: test/hello:v1, args: [--stderr, to-stderr, --exit, '0']}
---
apiVersion: v1
kind: Pod
metadata: {name: twice}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: memory, emptyDir: {}}
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'if test -e /memory/x; then echo second; sleep 100000; else echo first; touch /memory/x; exit 1; fi']
    volumeMounts: [{name: memory, mountPath: /memory}]
---
apiVersion: v1
kind: Pod
metadata: {name: unterminated}
spec:
  restartPolicy: Never
  containers:
  - {name: c, image: test/busybox:v1, command: [printf, 'no newline']}
";

#[test]
fn logs_are_read_in_every_way() {
    let cluster = cluster();
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    let switches = tempfile::tempdir().unwrap();
    cluster.apply(&PODS.replace("SWITCHES", switches.path().to_str().unwrap())).unwrap();

    // Which container: named, or the first one, with a word about it.
    let whole = until_log(&cluster, &["chatty", "-c", "native"], |log| log.contains("early"));
    assert_eq!(whole, "out 1\nout 2\nout 3\nout 4\nout 5\nearly\n");
    let wasm = until_log(&cluster, &["chatty", "-c", "wasm"], |log| log.contains("to-stderr"));
    assert!(wasm.contains("hello argc=5"), "{wasm}");
    let output = cluster.command().args(["logs", "chatty"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), whole);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Defaulted container \"native\" out of: native, wasm"), "{said}");
    let error = cluster.wctl_fails(&["logs", "chatty", "-c", "nobody"]).unwrap();
    assert!(error.contains("native, wasm"), "{error}");

    let tail = cluster.wctl(&["logs", "chatty", "-c", "native", "--tail", "2"]).unwrap();
    assert_eq!(tail, "out 5\nearly\n");
    let none = cluster.wctl(&["logs", "chatty", "-c", "native", "--tail", "0"]).unwrap();
    assert_eq!(none, "");

    let stamped = cluster.wctl(&["logs", "chatty", "-c", "native", "--timestamps"]).unwrap();
    let mut times = Vec::new();
    for (line, plain) in stamped.lines().zip(whole.lines()) {
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, plain);
        assert!(time.len() == 30 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
        times.push(time);
    }
    assert_eq!(times.len(), 6);
    assert!(times.is_sorted(), "{times:?}");

    // What is too old is left out; a log that goes on is followed.
    until_log(&cluster, &["chatty", "-c", "native", "--since=2s"], str::is_empty);
    let mut command = cluster.command();
    command.args(["logs", "-f", "--tail=1", "chatty", "-c", "native"]).stdout(Stdio::piped());
    let mut follower = Guard::spawn(&mut command).unwrap();
    let mut lines = BufReader::new(follower.child().stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "early");
    std::fs::write(switches.path().join("go"), "").unwrap();
    for _ in 0..3 {
        assert_eq!(lines.next().unwrap().unwrap(), "late");
    }
    drop(follower);
    let recent = ["chatty", "-c", "native", "--since=5s"];
    until_log(&cluster, &recent, |log| log.contains("late") && !log.contains("early"));
    let all = cluster.wctl(&["logs", "chatty", "-c", "native", "--since=1h"]).unwrap();
    assert!(all.starts_with("out 1\n") && all.contains("late"), "{all}");

    // The attempt before this one.
    cluster.until(&["pod", "twice"], |pod| restarts(pod, "c") == 1);
    ready(&cluster, "twice");
    until_log(&cluster, &["twice"], |log| log == "second\n");
    assert_eq!(cluster.wctl(&["logs", "twice", "--previous"]).unwrap(), "first\n");
    let error = cluster.wctl_fails(&["logs", "chatty", "-c", "native", "--previous"]).unwrap();
    assert!(error.contains("previous terminated container \"native\""), "{error}");

    // A finished pod keeps its log; the line that was never ended is there.
    finished(&cluster, "unterminated");
    let log = cluster.wctl(&["logs", "unterminated"]).unwrap();
    assert_eq!(log.trim_end(), "no newline");
}
