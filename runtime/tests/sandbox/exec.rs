//! Further programs in a running container, and talking with its first one.

use std::time::Duration;

use runtime::spec::*;
use runtime::streams::{Streams, TerminalSize, Wanted};
use runtime::{Exec, ExecError, ExecSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::network;
use super::node::*;

const ALL: Wanted = Wanted { stdin: true, stdout: true, stderr: true };

/// A container `c` of a sandbox `s` that waits, changed as the test likes.
async fn waiting(node: &Node, change: impl FnOnce(&mut ContainerSpec)) -> ContainerStatus {
    if node.runtime.sandboxes().await.is_empty() {
        node.sandbox("s").await;
    }
    let mut spec = shell("c", "trap 'exit 0' TERM; echo up; while :; do sleep 1 & wait $!; done");
    change(&mut spec);
    let status = node.runtime.start_container("s", spec).await.unwrap();
    assert!(matches!(status.state, ContainerState::Running { .. }), "{status:?}");
    status
}

fn sh(script: &str) -> ExecSpec {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    ExecSpec { command, streams: ALL, ..ExecSpec::default() }
}

async fn start(node: &Node, spec: ExecSpec) -> Exec {
    node.runtime.exec("s", "c", spec).await.unwrap()
}

/// Everything until the end: exit code, output, errors.
async fn ended(mut exec: Exec) -> (i32, String, String) {
    let Streams { stdin, stdout, stderr, .. } = std::mem::take(&mut exec.streams);
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    if let Some(mut stdout) = stdout {
        stdout.read_to_string(&mut out).await.unwrap();
    }
    if let Some(mut stderr) = stderr {
        stderr.read_to_string(&mut err).await.unwrap();
    }
    (exec.wait().await.unwrap(), out, err)
}

async fn run(node: &Node, script: &str) -> (i32, String, String) {
    ended(start(node, sh(script)).await).await
}

#[test]
fn a_program_finds_itself_in_the_container() {
    on_a_node(async |node| {
        waiting(node, |spec| {
            spec.env = vec![("COLOUR".into(), "blue".into())];
            spec.working_dir = Some("/var/tmp".into());
            spec.user = UserSpec { uid: Some(1000), gid: Some(1000), ..UserSpec::default() };
            spec.security.drop_capabilities = vec!["ALL".into()];
            spec.security.no_new_privs = true;
        })
        .await;
        let look = "id -u; id -g; pwd; echo $COLOUR $HOME; hostname; cat /proc/1/comm; \
                    grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\\t\\n' ' '; echo; \
                    for n in pid mnt net uts ipc cgroup; do readlink /proc/self/ns/$n; done; \
                    sort /proc/self/cgroup";
        let (code, exec, err) = run(node, look).await;
        assert_eq!((code, err.as_str()), (0, ""));
        let lines: Vec<&str> = exec.lines().collect();
        assert_eq!(lines[..6], ["1000", "1000", "/var/tmp", "blue /home/app", "host-s", "sh"]);
        let none = "CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 ";
        assert_eq!(lines[6], none);
        // Namespaces and cgroups are the first process's.
        let first = "sort /proc/1/cgroup; for n in pid mnt net uts ipc cgroup; do readlink /proc/1/ns/$n; done";
        let (code, first, _) = run(node, first).await;
        assert_eq!(code, 0);
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(&lines[7..].join("\n")), sorted(&first));
    });
}

#[test]
fn streams_and_exit_codes() {
    on_a_node(async |node| {
        waiting(node, |_| {}).await;
        assert_eq!(
            run(node, "echo out; echo err >&2; exit 3").await,
            (3, "out\n".to_owned(), "err\n".to_owned())
        );
        assert_eq!(run(node, "kill -SEGV $$").await.0, 139);
        let mut exec = start(node, sh("cat; echo end")).await;
        let mut stdin = exec.streams.stdin.take().unwrap();
        let much = "x".repeat(300_000);
        let write = async {
            stdin.write_all(much.as_bytes()).await.unwrap();
            drop(stdin);
        };
        let (_, (code, out, _)) = tokio::join!(write, ended(exec));
        assert_eq!((code, out), (0, format!("{much}end\n")));
        // Streams that nobody asked for are empty, not closed.
        let spec = ExecSpec { streams: Wanted { stdin: false, ..ALL }, ..sh("cat; echo $?") };
        assert_eq!(ended(start(node, spec).await).await.1, "0\n");
    });
}

#[test]
fn what_cannot_be_executed_is_said_in_the_words_of_runc() {
    on_a_node(async |node| {
        waiting(node, |_| {}).await;
        for (program, message) in [
            ("nonesuch", "exec: \"nonesuch\": executable file not found in $PATH"),
            ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
        ] {
            let spec = ExecSpec { command: vec![program.to_owned()], ..sh("") };
            let error = node.runtime.exec("s", "c", spec).await.unwrap_err();
            let said = error.to_string();
            assert_eq!(said, format!("unable to start container process: {message}"));
        }
        for (sandbox, container) in [("s", "other"), ("none", "c")] {
            let error = node.runtime.exec(sandbox, container, sh("")).await.unwrap_err();
            assert!(matches!(error, ExecError::NotRunning { .. }), "{error}");
        }
        node.runtime.stop_container("s", "c", Duration::ZERO).await.unwrap();
        let error = node.runtime.exec("s", "c", sh("true")).await.unwrap_err();
        assert!(matches!(error, ExecError::NotRunning { .. }), "{error}");
    });
}

#[test]
fn a_terminal_is_the_containers_own() {
    on_a_node(async |node| {
        waiting(node, |_| {}).await;
        let script = "tty; echo $TERM; stty size; read line; stty size; echo got $line; exit 4";
        let size = Some(TerminalSize { columns: 91, rows: 37 });
        let spec = ExecSpec { terminal: true, size, ..sh(script) };
        let mut exec = start(node, spec).await;
        let terminal = exec.streams.terminal.clone().unwrap();
        assert!(exec.streams.stderr.is_none());
        let mut stdin = exec.streams.stdin.take().unwrap();
        let mut stdout = exec.streams.stdout.take().unwrap();
        let mut seen = String::new();
        while !seen.contains("37 91") {
            let mut chunk = [0; 256];
            let length = stdout.read(&mut chunk).await.unwrap();
            assert!(length > 0, "ended after {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
        terminal.resize(TerminalSize { columns: 50, rows: 10 }).unwrap();
        stdin.write_all(b"word\n").await.unwrap();
        stdout.read_to_string(&mut seen).await.unwrap();
        assert_eq!(exec.wait().await.unwrap(), 4);
        let lines: Vec<&str> = seen.lines().collect();
        assert!(lines[0].starts_with("/dev/pts/"), "{seen:?}");
        assert_eq!(lines[1..], ["xterm", "37 91", "word", "10 50", "got word"]);
    });
}

#[test]
fn a_program_ends_with_its_container_and_with_whoever_wanted_it() {
    on_a_node(async |node| {
        for pid in [PidNamespace::Container, PidNamespace::Sandbox] {
            let namespaces = Namespaces { pid, ..Namespaces::default() };
            let spec = SandboxSpec { namespaces, ..node.sandbox_spec("s", Network::Host) };
            node.runtime.create_sandbox(spec).await.unwrap();
            waiting(node, |_| {}).await;
            let mut exec = start(node, sh("exec sleep 1000")).await;
            node.runtime.stop_container("s", "c", Duration::from_secs(20)).await.unwrap();
            assert_eq!(exec.wait().await.unwrap(), 137, "{pid:?}");
            // The container's end does not wait for it, and nothing of it is left.
            let exit = node.exited("s", "c", 0).await;
            assert_eq!(exit.code, 0, "{pid:?}");
            node.runtime.remove_sandbox("s").await.unwrap();
        }
        waiting(node, |spec| spec.attempt = 1).await;
        let exec = start(node, sh("exec sleep 81726355")).await;
        drop(exec);
        let gone =
            "while grep -q '[8]1726355' /proc/[0-9]*/cmdline 2>/dev/null; do sleep 0.05; done";
        assert_eq!(run(node, gone).await.0, 0);
    });
}

#[test]
fn the_first_process_is_talked_with() {
    on_a_node(async |node| {
        let script = "while read line; do echo got $line; echo also >&2; done; echo over; exit 5";
        let stdio = Stdio { stdin: true, stdin_once: true, terminal: false };
        let status = waiting(node, |spec| {
            spec.command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            spec.stdio = stdio;
        })
        .await;
        let streams = node.runtime.attach("s", "c", ALL).await.unwrap();
        assert!(streams.terminal.is_none());
        let (mut stdin, mut stdout) = (streams.stdin.unwrap(), streams.stdout.unwrap());
        stdin.write_all(b"one\n").await.unwrap();
        let mut answer = [0; 8];
        stdout.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"got one\n");
        // The input belongs to the first who attached: with it, it ends.
        let second = node.runtime.attach("s", "c", ALL).await.unwrap();
        assert!(second.stdin.is_none());
        drop(stdin);
        let (mut rest, mut errors, mut others) = (String::new(), String::new(), String::new());
        stdout.read_to_string(&mut rest).await.unwrap();
        streams.stderr.unwrap().read_to_string(&mut errors).await.unwrap();
        second.stdout.unwrap().read_to_string(&mut others).await.unwrap();
        assert_eq!(
            (rest.as_str(), errors.as_str(), others.as_str()),
            ("over\n", "also\n", "over\n")
        );
        assert_eq!(node.exited("s", "c", 0).await.code, 5);
        // Everything is in the log as well.
        let log = log(&status.log_path).await;
        for line in ["got one", "also", "over"] {
            assert!(log.lines().any(|logged| logged == line), "{log}");
        }
        assert!(node.runtime.attach("s", "c", ALL).await.is_err());
    });
}

#[test]
fn who_listens_slowly_gets_everything() {
    on_a_node(async |node| {
        let script = "read go; i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done";
        waiting(node, |spec| {
            spec.command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            spec.stdio.stdin = true;
        })
        .await;
        let streams = node.runtime.attach("s", "c", ALL).await.unwrap();
        let mut gone = node.runtime.attach("s", "c", ALL).await.unwrap();
        streams.stdin.unwrap().write_all(b"go\n").await.unwrap();
        let mut stdout = streams.stdout.unwrap();
        let mut all = vec![0; 1];
        stdout.read_exact(&mut all).await.unwrap();
        // Who is gone holds up nobody.
        gone.stdout = None;
        stdout.read_to_end(&mut all).await.unwrap();
        let text = String::from_utf8(all).unwrap();
        assert_eq!((text.lines().count(), text.lines().last()), (40_000, Some("line 39999")));
        assert_eq!(node.exited("s", "c", 0).await.code, 0);
    });
}

#[test]
fn a_first_process_on_a_terminal() {
    on_a_node(async |node| {
        let script = "tty; read line; stty size; exit 6";
        let stdio = Stdio { stdin: true, stdin_once: false, terminal: true };
        let status = waiting(node, |spec| {
            spec.command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            spec.stdio = stdio;
        })
        .await;
        log_until(&status.log_path, |text| text.contains("/dev/pts/")).await;
        let streams = node.runtime.attach("s", "c", ALL).await.unwrap();
        let terminal = streams.terminal.unwrap();
        assert!(streams.stderr.is_none());
        terminal.resize(TerminalSize { columns: 61, rows: 17 }).unwrap();
        streams.stdin.unwrap().write_all(b"go\n").await.unwrap();
        let mut seen = String::new();
        streams.stdout.unwrap().read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "go\r\n17 61\r\n");
        assert_eq!(node.exited("s", "c", 0).await.code, 6);
    });
}

#[test]
fn ports_are_reached_inside_the_pods_network() {
    on_a_node(async |node| {
        let bridge = network::bridge(node).await;
        let network = network::pod(&bridge, 2);
        node.runtime.create_sandbox(node.sandbox_spec("s", network)).await.unwrap();
        // Only who is inside can reach this address.
        let serve = "exec httpd -f -p 127.0.0.1:8123 -h /etc";
        let status = waiting(node, |spec| {
            spec.command = ["/bin/sh", "-c", serve].map(str::to_owned).to_vec();
        })
        .await;
        let mut stream = loop {
            match node.runtime.connect("s", 8123).await {
                Ok(stream) => break stream,
                // It does not listen yet.
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(e) => panic!("{e}: {}", log(&status.log_path).await),
            }
        };
        stream.write_all(b"GET /passwd HTTP/1.0\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("root:x:0:0"), "{text}");
        let error = node.runtime.connect("s", 8124).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}
