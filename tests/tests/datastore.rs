//! `wctl dev --datastore postgres://…`: the same cluster on the other engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::net::TcpListener;
use std::process::{Command, Stdio};

use tests::cluster::{Cluster, succeed};
use tests::process::Guard;
use tests::{http, postgres, program};

/// The server lives in the host's network namespace, the cluster in its own: a unix socket is in
/// neither, so a relay carries the connections. It is only a path for bytes.
#[test]
fn a_cluster_on_postgres_runs_pods_and_survives_a_kill() {
    let url = postgres::database().unwrap();
    let server = postgres::server().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("postgres.sock");
    let socat = program::find("socat").unwrap();
    let _outside = Guard::spawn(
        Command::new(&socat)
            .arg(format!("UNIX-LISTEN:{},fork", socket.display()))
            .arg(format!("TCP:127.0.0.1:{}", server.port))
            .stdout(Stdio::null()),
    )
    .unwrap();
    tests::cluster::enter_network_namespace().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _inside = Guard::spawn(
        Command::new(&socat)
            .arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"))
            .arg(format!("UNIX-CONNECT:{}", socket.display()))
            .stdout(Stdio::null()),
    )
    .unwrap();
    let url = url.replace(&format!(":{}/", server.port), &format!(":{port}/"));

    let mut cluster = Cluster::start_here(&["--datastore", &url]).unwrap();
    assert!(!cluster.data_dir().join("wharf.db").exists(), "SQLite was used");
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    cluster
        .apply(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: web, image: test/web:v1, ports: [{containerPort: 8080}]}\n",
        )
        .unwrap();
    let pod = cluster.until(&["pod", "web"], |pod| pod["status"]["phase"] == "Running");
    let address = format!("{}:8080", pod["status"]["podIP"].as_str().unwrap());
    assert_eq!(http::get(&address, "/status/201").unwrap().status, 201);

    cluster.kill();
    cluster.launch().unwrap();
    let after = cluster.get(&["pod", "web"]).unwrap();
    assert_eq!(after["metadata"]["uid"], pod["metadata"]["uid"]);
    assert_eq!(http::get(&address, "/status/202").unwrap().status, 202);
    let psql = program::find("psql").unwrap();
    let rows =
        succeed(Command::new(psql).arg(&url).args(["-Atc", "select count(*) from wharf.objects"]));
    assert!(rows.unwrap().trim().parse::<u32>().unwrap() > 10);
    cluster.stop().unwrap();
}
