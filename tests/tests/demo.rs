//! The README's demo as a test: Wasm and native containers side by side behind one Service.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, succeed};
use tests::images::Layout;
use tests::{http, program, wait};

/// Pods that are Ready and not on their way out.
fn ready(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().into_iter().flatten();
    items
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .filter(|pod| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        })
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn wasm_and_native_containers_share_pods_behind_a_service() {
    let cluster = Cluster::start().unwrap();
    cluster.load_fixture("http-c.wasm", "demo/web:v1").unwrap();
    let neighbour = neighbour().unwrap();
    let layout = neighbour.path();
    let arguments = ["image", "load", layout.to_str().unwrap(), "--name", "demo/neighbour:v1"];
    cluster.wctl(&arguments).unwrap();
    let manifest = program::repository().join("fixtures/demo.yaml");
    let applied = cluster.wctl(&["apply", "-f", manifest.to_str().unwrap()]).unwrap();
    assert_eq!(applied, "replicationcontroller/hello created\nservice/hello created\n");

    let pods = cluster.until(&["pods", "-l", "app=hello"], |list| ready(list).len() == 3);
    let pods = ready(&pods);

    // From the host.
    let service = cluster.get(&["service", "hello"]).unwrap();
    let address = format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap());
    wait::eventually("the Service knows three pods", PATIENCE, || {
        let answers = ask(&address, 30)?;
        if answers.len() == 3 { Ok(()) } else { Err(format!("{answers:?}")) }
    });
    let answers = ask(&address, 30).unwrap();
    assert_eq!(answers.values().collect::<Vec<_>>(), [&10, &10, &10], "round robin: {answers:?}");

    // From a pod: the native container asks its Wasm neighbour on localhost.
    for pod in &pods {
        wait::eventually("the neighbours talk", PATIENCE, || {
            let log = cluster.wctl(&["logs", pod, "-c", "neighbour"]).map_err(|e| e.to_string())?;
            if log.contains("my Wasm neighbour on localhost answered 200") {
                Ok(())
            } else {
                Err(log)
            }
        });
        let log = cluster.wctl(&["logs", pod, "-c", "web"]).unwrap();
        assert!(log.contains("handled /hello"), "{log}");
    }

    // One goes, another comes.
    cluster.wctl(&["delete", "pod", &pods[0]]).unwrap();
    let after = cluster.until(&["pods", "-l", "app=hello"], |list| ready(list).len() == 3);
    assert!(!ready(&after).contains(&pods[0]));
}

/// An image around the demo's native program, which is one static file.
fn neighbour() -> anyhow::Result<Layout> {
    let source = program::repository().join("fixtures/native/neighbour.rs");
    let layout = Layout::new()?;
    layout.build("v1", |root| {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "-O", "-C", "target-feature=+crt-static", "-o"]);
        succeed(rustc.arg(root.join("neighbour")).arg(source))?;
        Ok(())
    })?;
    layout
        .configure("v1", &["--config.entrypoint", "/neighbour", "--config.user", "65534:65534"])?;
    Ok(layout)
}

/// Which pod answered how many of `count` requests.
fn ask(address: &str, count: usize) -> Result<BTreeMap<String, usize>, String> {
    let mut answers = BTreeMap::new();
    for number in 0..count {
        let answer =
            http::get(address, &format!("/{number}")).map_err(|error| format!("{error:#}"))?;
        let pod = answer.body.lines().find_map(|line| line.strip_prefix("env POD_NAME="));
        *answers.entry(pod.ok_or("no POD_NAME")?.to_owned()).or_default() += 1;
    }
    Ok(answers)
}

#[test]
fn nothing_stays_on_the_host() {
    let mut cluster = Cluster::start().unwrap();
    cluster.load_fixture("http-c.wasm", "demo/web:v1").unwrap();
    cluster
        .apply(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: web, image: demo/web:v1}\n",
        )
        .unwrap();
    let pod = cluster.until(&["pod", "web"], |pod| pod["status"]["phase"] == "Running");
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    cluster.stop().unwrap();

    let links = succeed(Command::new(program::find("ip").unwrap()).args(["-o", "link"])).unwrap();
    assert_eq!(links.lines().count(), 1, "only lo stays: {links}");
    let routes = succeed(
        Command::new(program::find("ip").unwrap()).args(["route", "show", "table", "local"]),
    )
    .unwrap();
    assert!(!routes.contains("10."), "{routes}");
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(uid), "{mounts}");
    // Its exit code says nothing: cgroups of other tests vanish while it looks.
    let cgroups = Command::new("find")
        .args(["/sys/fs/cgroup", "-name", &format!("*{uid}*")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&cgroups.stdout), "");
    let processes = succeed(Command::new("sh").args([
        "-c",
        &format!("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c {uid} || true"),
    ]));
    // Only the shell that looks for it.
    assert!(processes.unwrap().trim().parse::<u32>().unwrap() <= 1);
}
