//! HTTP components: requests, isolation between them, limits, cancellation, draining.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::signal::Signal;
use runtime::launch::IsolationPlan;
use runtime::launch::report::Report;
use runtime::spec::ExitReason;
use runtime::wasm::host::Preopen;

use crate::bench::{Bench, Running, http_config};

/// Sends one request on a connection of its own; the whole answer as text.
fn get(address: SocketAddr, path: &str) -> String {
    answer(send(address, path))
}

fn send(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: pod\r\nx-asked: yes\r\nconnection: close\r\n\r\n")
        .unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {answer:?}")).parse().unwrap()
}

/// The fixture, served.
struct Served {
    bench: Bench,
    running: Running,
    address: SocketAddr,
}

fn serve(adjust: impl FnOnce(&Bench, &mut runtime::wasm::host::HostConfig)) -> Served {
    let bench = Bench::new();
    let (mut config, address) = http_config(bench.fixture("http-c.wasm"));
    adjust(&bench, &mut config);
    let running = bench.start(&config).ready();
    Served { bench, running, address }
}

#[test]
fn requests_are_answered_and_logged_line_by_line() {
    let served = serve(|bench, config| {
        config.env = vec![("POD".into(), "p-1".into())];
        fs::create_dir(bench.path("data")).unwrap();
        fs::write(bench.path("data/note"), "from the volume\n").unwrap();
        let host = bench.path("data");
        config.preopens = vec![Preopen { host, guest: "/data".into(), read_only: true }];
    });
    let text = get(served.address, "/some/path");
    assert_eq!(status(&text), 200);
    for part in
        ["lang=c\npath=/some/path\n", "header x-asked=yes\n", "env POD=p-1\n", "x-fixture: c"]
    {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("HOST_SECRET"));
    assert_eq!(status(&get(served.address, "/status/418")), 418);
    assert!(get(served.address, "/file?/data/note").contains("file=from the volume\n"));
    assert_eq!(status(&get(served.address, "/file?/etc/passwd")), 404);
    served.running.eventually("logged", |running| running.err().lines().count() >= 4);
    let err = served.running.err();
    assert!(err.starts_with("handled /some/path\nhandled /status/418\n"), "{err}");
    assert_eq!(served.running.out(), "");
    drop(served.bench);
}

#[test]
fn lines_of_concurrent_requests_never_mix() {
    let served = serve(|_, _| {});
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let address = served.address;
            std::thread::spawn(move || {
                for request in 0..25 {
                    assert_eq!(status(&get(address, &format!("/{client}/{request}"))), 200);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    served.running.eventually("all logged", |running| running.err().lines().count() == 200);
    let err = served.running.err();
    let mut lines: Vec<&str> = err.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 200);
    assert!(
        lines.iter().all(|line| line.starts_with("handled /") && line.matches('/').count() == 2)
    );
}

#[test]
fn a_trap_costs_its_own_request_only() {
    let served = serve(|_, _| {});
    let failed = get(served.address, "/trap");
    assert_eq!(status(&failed), 500);
    assert!(!failed.contains("unreachable"), "the client is told nothing of the inside: {failed}");
    assert_eq!(status(&get(served.address, "/after")), 200);
    served.running.eventually("logged", |running| running.err().contains("backtrace"));
    let err = served.running.err();
    assert!(err.contains("wharf: GET /trap failed: wasm trap: wasm `unreachable`"), "{err}");
    assert_eq!(served.running.reports(), [Report::Ready]);
}

#[test]
fn a_request_that_computes_for_ever_does_not_hold_up_others() {
    // More spinning requests than threads.
    let served = serve(|_, config| config.cpu_limit_millis = Some(1000));
    let spinning: Vec<TcpStream> = (0..3).map(|_| send(served.address, "/spin")).collect();
    for _ in 0..5 {
        assert_eq!(status(&get(served.address, "/other")), 200);
    }
    // The clients go away: so do their instances, and the process is idle again.
    drop(spinning);
    served.running.eventually("idle", |running| running.busy() <= 2);
}

#[test]
fn more_requests_than_instances_wait_in_line() {
    let served = serve(|_, config| {
        config.http.as_mut().unwrap().max_concurrency = Some(1);
    });
    let first = send(served.address, "/spin");
    served.running.eventually("at the first", |running| running.busy() > 2);
    let second = send(served.address, "/second");
    let waiting = second.try_clone().unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let nothing_yet = (&waiting).read(&mut [0]).unwrap_err();
    assert!(matches!(nothing_yet.kind(), std::io::ErrorKind::WouldBlock), "{nothing_yet}");
    drop(first);
    assert_eq!(status(&answer(second)), 200);
}

#[test]
fn a_time_limit_answers_504_and_ends_the_instance() {
    let served = serve(|_, config| {
        let http = config.http.as_mut().unwrap();
        http.request_timeout = Some(Duration::from_millis(200));
        http.max_concurrency = Some(1);
    });
    assert_eq!(status(&get(served.address, "/spin")), 504);
    assert_eq!(status(&get(served.address, "/next")), 200, "its slot is free again");
}

#[test]
fn memory_bounds_the_number_of_instances() {
    // 32 MiB leave 24: twelve instances at 2 MiB each, for sixteen clients, and all are served.
    let served = serve(|_, config| config.memory_limit_bytes = Some(32 << 20));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let address = served.address;
            std::thread::spawn(move || status(&get(address, "/")))
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));

    let bench = Bench::new();
    let (mut config, _) = http_config(bench.fixture("http-c.wasm"));
    config.memory_limit_bytes = Some(1 << 20);
    let run = bench.run(&config);
    let [Report::Failed { reason: ExitReason::StartError, message, .. }] = &run.reports[..] else {
        panic!("{:?}", run.reports)
    };
    assert!(message.contains("memory"), "{message}");
}

#[test]
fn told_to_stop_it_finishes_what_it_has_begun() {
    let served = serve(|_, _| {});
    // A request of which only half has been sent: begun, but not answerable yet.
    let mut slow = TcpStream::connect(served.address).unwrap();
    write!(slow, "GET /slow HTTP/1.1\r\nhost: pod\r\n").unwrap();
    // An idle connection that is kept alive.
    let mut idle = TcpStream::connect(served.address).unwrap();
    write!(idle, "GET /idle HTTP/1.1\r\nhost: pod\r\n\r\n").unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_ne!(idle.read(&mut [0; 1024]).unwrap(), 0);
    let spin = send(served.address, "/spin");
    served.running.eventually("busy", |running| running.busy() >= 5);

    served.running.signal(Signal::SIGTERM);
    served.running.eventually("closed", |_| TcpStream::connect(served.address).is_err());
    // Nothing else is left of the idle connection; the spinning request keeps the process.
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    assert!(!served.running.has_ended());
    spin.shutdown(Shutdown::Both).unwrap();
    drop(spin);
    drop(slow);
    let run = served.running.wait();
    assert_eq!(run.code, 0);
    let completed =
        Report::Ended { code: 0, reason: ExitReason::Completed, message: String::new() };
    assert_eq!(run.reports, [Report::Ready, completed]);
}

#[test]
fn a_port_that_is_taken_is_a_start_error() {
    let served = serve(|_, _| {});
    let (mut config, _) = http_config(served.bench.fixture("http-c.wasm"));
    config.http.as_mut().unwrap().listen = served.address;
    let run = served.bench.run(&config);
    let [Report::Failed { reason: ExitReason::StartError, message, .. }] = &run.reports[..] else {
        panic!("{:?}", run.reports)
    };
    assert!(message.contains(&served.address.to_string()) && run.code == 128, "{message}");
}

#[test]
fn a_request_without_a_host_is_the_clients_fault() {
    let served = serve(|_, _| {});
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(status(&answer(stream)), 400);
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.write_all(b"not http at all\r\n\r\n").unwrap();
    let said = answer(stream);
    assert!(said.is_empty() || status(&said) == 400, "{said:?}");
    assert_eq!(status(&get(served.address, "/after")), 200);
}

#[test]
fn http_2_without_tls_is_spoken_too() {
    let served = serve(|_, _| {});
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(twenty_requests_on_one_connection(served.address));
}

async fn twenty_requests_on_one_connection(address: SocketAddr) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(connection);
    let requests = (0..20).map(|number| {
        let uri = format!("http://pod/{number}");
        let request = hyper::Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request);
        async move {
            let response = response.await.unwrap();
            let (status, body) = (response.status(), response.into_body().collect().await.unwrap());
            let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            assert_eq!(status, 200);
            assert!(text.contains(&format!("path=/{number}\n")), "{text}");
        }
    });
    futures_util::future::join_all(requests).await;
}

/// What the shim gives every Wasm container, as far as it needs no mounts: it must be enough to serve,
/// log, read a volume, time, wait and drain.
#[test]
fn the_seccomp_filter_permits_all_that_serving_needs() {
    let served = serve(|bench, config| {
        fs::create_dir(bench.path("data")).unwrap();
        fs::write(bench.path("data/note"), "from the volume\n").unwrap();
        let host = bench.path("data");
        config.preopens = vec![Preopen { host, guest: "/data".into(), read_only: false }];
        let plan = r#"{"steps":[{"step":"noNewPrivs"},{"step":"seccomp","filter":"wasmHost"}]}"#;
        config.isolation = Some(serde_json::from_str::<IsolationPlan>(plan).unwrap());
    });
    let limits = fs::read_to_string(format!("/proc/{}/status", served.running.pid())).unwrap();
    assert!(limits.contains("Seccomp:\t2\n") && limits.contains("NoNewPrivs:\t1\n"), "{limits}");
    assert!(get(served.address, "/file?/data/note").contains("file=from the volume\n"));
    assert_eq!(status(&get(served.address, "/trap")), 500);
    drop(send(served.address, "/spin"));
    assert_eq!(status(&get(served.address, "/after")), 200);
    served.running.signal(Signal::SIGTERM);
    assert_eq!(served.running.wait().code, 0);
}
