//! The proxy against a real API server, in loopback mode.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Server, User, pki};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use proxy::{Config, Mode};
use serde_json::{Value, json};
use store::Store;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that says its name to whoever connects. Ends with the test process.
fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(name.as_bytes()));
        }
    });
    address
}

/// What the Service answers; none if the connection is refused or reset.
fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}

async fn answers(address: SocketAddr, expected: Option<&str>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = tokio::task::spawn_blocking(move || ask(address)).await.unwrap();
        if said.as_deref() == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{address} answers {said:?}, not {expected:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn endpoints(list: &[(SocketAddr, bool)]) -> Value {
    // One slice per port: the servers of this test listen on different ones.
    let (address, ready) = list[0];
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": address.port(), "protocol": "TCP"}],
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": ready}}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_followed_from_birth_to_death() {
    let dir = tempfile::tempdir().unwrap();
    let authority = pki::Authority::open(&dir.path().join("pki")).unwrap();
    let url = format!("sqlite://{}", dir.path().join("state.db").display());
    let store = Store::open(&url, store::Options::default()).await.unwrap();
    let mut config = apiserver::Config::new(store.clone(), Arc::new(authority));
    // Addresses of this test's own process, so that tests beside each other do not meet.
    let third = 1 + u8::try_from(std::process::id() % 200).unwrap();
    config.service_cidr = format!("127.97.{third}.0/24").parse().unwrap();
    let cidr: IpNet = config.service_cidr.into();
    let api = Server::bind(config).await.unwrap();
    let client = |name: &str| {
        let user = User::new(name, vec!["system:masters".to_owned()]);
        Client::new(api.local(user), "default")
    };
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let (own, stop) = (client("system:kube-proxy"), shutdown.clone());
    let config = Config::new("here", cidr, Mode::Loopback);
    tracker.spawn(async move { proxy::run(config, own, stop).await.unwrap() });

    let services: Api<Service> = Api::default_namespaced(client("test"));
    let slices: Api<EndpointSlice> = Api::default_namespaced(client("test"));
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 8080}]}});
    let service = serde_json::from_value(service).unwrap();
    let created = services.create(&PostParams::default(), &service).await.unwrap();
    let ip = created.spec.unwrap().cluster_ip.unwrap();
    let address: SocketAddr = format!("{ip}:8080").parse().unwrap();
    answers(address, None).await;

    let (a, b) = (server("a"), server("b"));
    let slice = serde_json::from_value(endpoints(&[(a, true)])).unwrap();
    slices.create(&PostParams::default(), &slice).await.unwrap();
    answers(address, Some("a")).await;
    let replace = async |list: &[(SocketAddr, bool)]| {
        let patch = Patch::Merge(endpoints(list));
        slices.patch("web-1", &PatchParams::default(), &patch).await.unwrap();
    };
    replace(&[(b, true)]).await;
    answers(address, Some("b")).await;
    replace(&[(b, false)]).await;
    answers(address, None).await;
    replace(&[(a, true)]).await;
    answers(address, Some("a")).await;

    services.delete("web", &DeleteParams::default()).await.unwrap();
    answers(address, None).await;
    shutdown.cancel();
    tracker.close();
    timeout(PATIENCE, tracker.wait()).await.expect("the proxy does not stop");
    drop(api);
    store.close().await;
}
