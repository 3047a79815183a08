//! A registry in trouble.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tests::cluster::Cluster;
use tests::images::Layout;
use tests::registry::Registry;

use super::witness::{Witness, cannot_have_its_image, pod};

/// Stands before a registry and answers 500 while `failures` lasts.
fn stumbling(registry: &Registry, failures: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let behind = registry.host();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let left =
                failures.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() {
                refuse(client);
            } else if let Ok(server) = TcpStream::connect(&behind) {
                carry(&client, &server);
                carry(&server, &client);
            }
        }
    });
    host
}

fn refuse(mut client: TcpStream) {
    let _ = client.read(&mut [0; 4096]);
    let _ = client.write_all(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

fn carry(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[test]
fn a_registry_that_answers_500_then_200() {
    let mut cluster = Cluster::start().unwrap();
    cluster.expect_log("image");
    let witness = Witness::start(&cluster);
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    layout.configure("v1", &["--config.cmd", "echo", "--config.cmd", "arrived"]).unwrap();
    layout.push("v1", &registry.host(), "app", "v1").unwrap();

    // A short trouble is bridged; a long one is said, and ends without anybody's help.
    let failures = Arc::new(AtomicUsize::new(1));
    let host = stumbling(&registry, failures.clone());
    cluster.apply(&pod("short", &format!("{host}/app:v1"))).unwrap();
    cluster.until(&["pod", "short"], |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(failures.load(Ordering::SeqCst), 0);

    // Another front: connections to the first one may still be open, and lead to the registry.
    let failures = Arc::new(AtomicUsize::new(usize::MAX));
    let host = stumbling(&registry, failures.clone());
    cluster.apply(&pod("long", &format!("{host}/app:v1"))).unwrap();
    cannot_have_its_image(&cluster, "long", &[&format!("{host}/app:v1"), "500"]);
    witness.is_undisturbed(&cluster);
    failures.store(0, Ordering::SeqCst);
    cluster.until(&["pod", "long"], |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(cluster.wctl(&["logs", "long"]).unwrap(), "arrived\n");
}
