//! Commands: arguments, environment, volumes, sockets, exit codes, traps, signals, memory.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use nix::sys::signal::Signal;
use runtime::launch::report::Report;
use runtime::spec::ExitReason;
use runtime::wasm::World;
use runtime::wasm::host::{Preopen, SocketPolicy};

use crate::bench::{Bench, config, own_address, start, world_of};

const EXIT: &str = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;

fn ended(reason: ExitReason, code: i32) -> Report {
    Report::Ended { code, reason, message: String::new() }
}

#[test]
fn a_command_gets_its_arguments_and_environment_and_nothing_else() {
    let bench = Bench::new();
    for name in ["hello.wasm", "hello-p2.wasm"] {
        let mut config =
            config(world_of(name), bench.fixture(name), &[name, "one", "--stderr", "oops"]);
        config.env = vec![("KEY".into(), "a value".into()), ("POD".into(), "p-1".into())];
        let run = bench.run(&config);
        let out = format!(
            "hello argc=4\narg[0]={name}\narg[1]=one\narg[2]=--stderr\narg[3]=oops\nenv KEY=a value\nenv POD=p-1\n"
        );
        assert_eq!(
            (run.code, run.out.as_str(), run.err.as_str()),
            (0, out.as_str(), "oops\n"),
            "{name}"
        );
        assert_eq!(run.reports, [Report::Ready, ended(ExitReason::Completed, 0)], "{name}");
    }
}

#[test]
fn exit_codes_are_the_programs_own() {
    let bench = Bench::new();
    let hello = bench.fixture("hello.wasm");
    for code in [0, 1, 7, 42, 255] {
        let run = bench.run(&config(
            World::WasiP1Command,
            hello.clone(),
            &["hello.wasm", "--exit", &code.to_string()],
        ));
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        assert_eq!((run.code, &run.reports[1]), (code, &ended(reason, code)));
    }
    // The adapter in this component knows success and failure only.
    let component = bench.fixture("hello-p2.wasm");
    let run = bench.run(&config(World::CliCommand, component, &["hello", "--exit", "7"]));
    assert_eq!((run.code, &run.reports[1]), (1, &ended(ExitReason::Error, 1)));
}

#[test]
fn a_large_exit_code_is_reported_whole_and_never_looks_like_success() {
    let bench = Bench::new();
    let run = bench.run(&config(
        World::WasiP1Command,
        bench.text(&start(EXIT, "(call $exit (i32.const 256))")),
        &["x"],
    ));
    assert_eq!((run.code, &run.reports[1]), (1, &ended(ExitReason::Error, 256)));
}

#[test]
fn a_trap_is_134_with_its_text_in_status_and_its_stack_in_the_log() {
    let bench = Bench::new();
    for name in ["hello.wasm", "hello-p2.wasm"] {
        let run = bench.run(&config(world_of(name), bench.fixture(name), &[name, "--abort"]));
        assert_eq!(run.code, 134, "{name}");
        let Report::Ended { code: 134, reason: ExitReason::WasmTrap, message } = &run.reports[1]
        else {
            panic!("{name}: {:?}", run.reports)
        };
        assert!(message.contains("unreachable"), "{name}: {message}");
        assert!(
            run.err.contains("the program trapped: ") && run.err.contains("backtrace"),
            "{}",
            run.err
        );
        assert!(run.out.contains("hello argc=2"), "output before the trap is kept");
    }
    for (body, says) in [
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(drop (i32.load (i32.const 0x7fffffff)))", "out of bounds"),
        ("(call 0)", "call stack exhausted"),
    ] {
        let run = bench.run(&config(World::WasiP1Command, bench.text(&start("", body)), &["x"]));
        let Report::Ended { reason: ExitReason::WasmTrap, message, .. } = &run.reports[1] else {
            panic!("{body}: {:?}", run.reports)
        };
        assert!(message.contains(says), "{body}: {message}");
    }
}

#[test]
fn an_export_selected_by_name_is_run_instead_of_start() {
    let bench = Bench::new();
    let code = bench.text(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (global $ready (mut i32) (i32.const 0))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const 99)))
            (func (export "_initialize") (global.set $ready (i32.const 1)))
            (func (export "code") (result i32) (i32.add (i32.const 4) (global.get $ready)))
            (func (export "add") (param i32 i32) (result i32) (i32.const 0)))"#,
    );
    let run = |name: &str| bench.run(&config(World::WasiP1Command, code.clone(), &[name]));
    assert_eq!(run("m.wasm").code, 99);
    assert_eq!(run("m.wasm#code").code, 5);
    for (name, says) in
        [("m.wasm#none", "exports no function `none`"), ("m.wasm#add", "parameters")]
    {
        let run = run(name);
        let Report::Failed { reason: ExitReason::WasmLinkError, message, .. } = &run.reports[0]
        else {
            panic!("{name}: {:?}", run.reports)
        };
        assert!(message.contains(says) && run.code == 128, "{message}");
    }
}

#[test]
fn volumes_are_all_a_program_can_reach() {
    let bench = Bench::new();
    let code = bench.fixture("vol.wasm");
    let (data, sealed) = (bench.path("data"), bench.path("sealed"));
    for folder in [&data, &sealed] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("old"), "old text\n").unwrap();
    }
    fs::write(bench.path("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", data.join("way-out")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", data.join("far-out")).unwrap();
    let vol = |args: &[&str]| {
        let mut config = config(World::WasiP1Command, code.clone(), &[]);
        config.args = ["vol.wasm"].iter().chain(args).map(ToString::to_string).collect();
        config.preopens = vec![
            Preopen { host: data.clone(), guest: "/data".into(), read_only: false },
            Preopen { host: sealed.clone(), guest: "/sealed".into(), read_only: true },
        ];
        let run = bench.run(&config);
        (run.code, run.out)
    };
    assert_eq!(vol(&["write", "/data/new", "hello"]), (0, "ok\n".into()));
    assert_eq!(fs::read_to_string(data.join("new")).unwrap(), "hello\n");
    assert_eq!(vol(&["append", "/data/new", "again"]).0, 0);
    assert_eq!(vol(&["cat", "/data/new"]), (0, "hello\nagain\n".into()));
    assert_eq!(vol(&["mv", "/data/new", "/data/moved"]).0, 0);
    assert_eq!(vol(&["rm", "/data/moved"]).0, 0);
    assert_eq!(vol(&["cat", "/sealed/old"]), (0, "old text\n".into()));
    for refused in [
        &["write", "/sealed/old", "x"][..],
        &["write", "/sealed/new", "x"],
        &["rm", "/sealed/old"],
        &["mkdir", "/sealed/sub"],
        &["mv", "/sealed/old", "/data/stolen"],
        &["cat", "/data/../secret"],
        &["cat", "/data/way-out"],
        &["cat", "/data/far-out"],
        &["cat", "/etc/passwd"],
        &["ls", "/"],
    ] {
        let (code, out) = vol(refused);
        assert_eq!(code, 1, "{refused:?}: {out}");
        assert!(out.starts_with("error "), "{refused:?}: {out}");
    }
    assert_eq!(fs::read_to_string(sealed.join("old")).unwrap(), "old text\n");
}

#[test]
fn a_volume_that_is_not_there_is_a_start_error() {
    let bench = Bench::new();
    let mut config = config(World::WasiP1Command, bench.fixture("vol.wasm"), &["v", "ls", "/data"]);
    let missing = Preopen { host: bench.path("none"), guest: "/data".into(), read_only: true };
    config.preopens.push(missing);
    let run = bench.run(&config);
    let [Report::Failed { reason: ExitReason::StartError, message, .. }] = &run.reports[..] else {
        panic!("{:?}", run.reports)
    };
    assert!(message.contains("/data") && run.code == 128, "{message}");
}

#[test]
fn memory_grows_to_the_limit_and_then_malloc_fails() {
    let bench = Bench::new();
    let code = bench.fixture("spin.wasm");
    let mut config = config(World::WasiP1Command, code, &["spin", "mem", "0"]);
    config.memory_limit_bytes = Some(64 << 20);
    let run = bench.run(&config);
    // 16 MiB of the 64 are the host's. The program starts with 16 MiB of stack, and its libc takes 2 MiB
    // from the system for each 1 MiB block, so memory of 48 MiB holds fifteen.
    assert!(run.out.ends_with("malloc failed after 15 MiB\n"), "{run:?}");
    assert_eq!((run.code, &run.reports[1]), (3, &ended(ExitReason::Error, 3)));
}

#[test]
fn a_memory_that_cannot_even_begin_is_a_start_error() {
    let bench = Bench::new();
    let code = bench.text(r#"(module (memory 1024) (func (export "_start")))"#);
    let mut config = config(World::WasiP1Command, code, &["x"]);
    config.memory_limit_bytes = Some(32 << 20);
    let run = bench.run(&config);
    let [Report::Failed { reason: ExitReason::StartError, message, .. }] = &run.reports[..] else {
        panic!("{:?}", run.reports)
    };
    assert!(message.contains("memory"), "{message}");
}

#[test]
fn signals_end_a_command_wherever_it_is() {
    let bench = Bench::new();
    let code = bench.fixture("spin.wasm");
    for (args, signal, code_wanted) in [
        (&["spin", "cpu"][..], Signal::SIGTERM, 143),
        (&["spin", "sleep", "3600"], Signal::SIGTERM, 143),
        (&["spin", "tick", "10"], Signal::SIGINT, 130),
    ] {
        let running = bench.start(&config(World::WasiP1Command, code.clone(), args)).ready();
        running.signal(signal);
        let run = running.wait();
        assert_eq!(run.code, code_wanted, "{args:?}");
        assert_eq!(run.reports[1], ended(ExitReason::Error, code_wanted), "{args:?}");
    }
}

#[test]
fn an_idle_command_does_not_tick() {
    let bench = Bench::new();
    let code = bench.fixture("spin.wasm");
    let running =
        bench.start(&config(World::WasiP1Command, code, &["spin", "sleep", "3600"])).ready();
    running.eventually("asleep", |running| running.out().contains("sleeping"));
    // The ticker is the thread called `epoch`: once asleep it must stay so, which its count of voluntary
    // context switches shows.
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap();
        let of = |task: std::io::Result<fs::DirEntry>| {
            let path = task.unwrap().path();
            let status = fs::read_to_string(path.join("status")).unwrap();
            let line =
                status.lines().find(|line| line.starts_with("voluntary")).unwrap().to_owned();
            (fs::read_to_string(path.join("comm")).unwrap(), line)
        };
        tasks.map(of).filter(|(name, _)| name == "epoch\n").collect::<Vec<_>>()
    };
    let before = switches();
    assert_eq!(before.len(), 1);
    std::thread::park_timeout(std::time::Duration::from_millis(300));
    assert_eq!(switches(), before);
}

fn echo(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_component_may_serve_tcp_in_its_namespace() {
    use nix::sched::{CloneFlags, unshare};

    // The fixture binds the wildcard address: in a network namespace of its own that disturbs nobody.
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(up.success());
    let bench = Bench::new();
    let code = bench.fixture("tcp-echo.wasm");
    let running = bench.start(&config(World::CliCommand, code, &["tcp-echo", "7000"])).ready();
    running.eventually("listening", |running| running.out().contains("listening 7000"));
    let address = "127.0.0.1:7000".parse().unwrap();
    assert_eq!(echo(address, "hello there"), "hello there");
    assert_eq!(echo(address, "quit"), "quit");
    let run = running.wait();
    assert_eq!((run.code, run.out.ends_with("accepted 2\nbye\n")), (0, true), "{}", run.out);
}

#[test]
fn in_loopback_mode_the_wildcard_address_is_refused_and_the_log_says_why() {
    let bench = Bench::new();
    let mut config =
        config(World::CliCommand, bench.fixture("tcp-echo.wasm"), &["tcp-echo", "7001"]);
    let address = own_address();
    config.sockets = SocketPolicy::Only { address };
    let run = bench.run(&config);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("FAIL"), "{}", run.out);
    assert!(run.err.contains("refused to bind 0.0.0.0:7001"), "{}", run.err);
    assert!(run.err.contains(&format!("bind {address} instead")), "{}", run.err);
}
