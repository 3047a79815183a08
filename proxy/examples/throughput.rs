//! Requests per second through the proxy against a direct connection, measured with wrk.
//!
//! `cargo run --release -p proxy --example throughput -- [seconds]`
//!
//! A small hyper server answers on loopback; the proxy (the whole crate, watching a stand-in for the
//! API server that knows one Service) carries connections to it. Both run on one thread each, so that
//! the numbers compare with those of other proxies on one thread; wrk takes one thread and 64
//! keep-alive connections.

#![allow(clippy::print_stdout, reason = "prints its measurements")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use proxy::{Config, Mode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const VIP: &str = "127.96.0.9";
const PORT: u16 = 18_080;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || on_one_thread(serve(tell)));
    let server: SocketAddr = told.recv().expect("the server starts");
    std::thread::spawn(move || on_one_thread(carry(server)));
    let through = format!("{VIP}:{PORT}");
    while std::net::TcpStream::connect(&through).is_err() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let direct = measure(&server.to_string(), seconds);
    let proxied = measure(&through, seconds);
    println!("direct   {direct:>10.0} requests/s");
    println!("proxied  {proxied:>10.0} requests/s  ({:.0} % of direct)", proxied / direct * 100.0);
}

fn on_one_thread(task: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(task);
}

/// Answers every request with a few bytes.
async fn serve(tell: std::sync::mpsc::SyncSender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    tell.send(listener.local_addr().expect("an address")).expect("main waits");
    let tracker = TaskTracker::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).ok();
        let answer = hyper::service::service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello, world\n"))))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer);
        tracker.spawn(connection);
    }
}

async fn carry(server: SocketAddr) {
    let api = tower_service(server);
    let cidr = "127.96.0.0/16".parse().expect("a network");
    let config = Config::new("here", cidr, Mode::Loopback);
    let client = Client::new(api, "default");
    proxy::run(config, client, CancellationToken::new()).await.expect("loopback needs no rights");
}

/// Answers lists with one Service and its endpoint; watches never say anything.
fn tower_service(
    server: SocketAddr,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send,
> + Clone {
    tower::service_fn(move |request: Request<Body>| async move {
        let query = request.uri().query().unwrap_or_default();
        if query.contains("watch=") {
            std::future::pending::<()>().await;
        }
        let items = if request.uri().path().ends_with("/services") {
            json!([{"metadata": {"name": "s", "namespace": "n"}, "spec": {"clusterIP": VIP,
                "ports": [{"port": PORT, "protocol": "TCP"}]}}])
        } else {
            json!([{"metadata": {"name": "s-1", "namespace": "n",
                    "labels": {"kubernetes.io/service-name": "s"}},
                "addressType": "IPv4", "ports": [{"name": "", "port": server.port()}],
                "endpoints": [{"addresses": [server.ip()]}]}])
        };
        let list: Value = json!({"metadata": {"resourceVersion": "1"}, "items": items});
        Ok(Response::new(Body::from(list.to_string().into_bytes())))
    })
}

fn measure(address: &str, seconds: u32) -> f64 {
    let output = Command::new("wrk")
        .args(["-t1", "-c64", &format!("-d{seconds}s"), &format!("http://{address}/")])
        .output()
        .expect("wrk is installed (Debian package wrk)");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|rate| rate.trim().parse().ok()).expect("wrk prints a rate")
}
