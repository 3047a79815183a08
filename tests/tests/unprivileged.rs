//! A host that gives no root: Wasm pods run, native containers say what keeps them from it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::images::Layout;
use tests::{http, wait};

const PODS: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 8080}]
---
apiVersion: v1
kind: ReplicationController
metadata: {name: web}
spec:
  replicas: 2
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes:
      - {name: shared, emptyDir: {}}
      initContainers:
      - {name: write, image: test/vol:v1, args: [write, /data/note, from the init container], volumeMounts: [{name: shared, mountPath: /data}]}
      containers:
      - name: c
        image: test/web:v1
        ports: [{containerPort: 8080}]
        env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        volumeMounts: [{name: shared, mountPath: /data}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: native}
spec:
  containers:
  - {name: c, image: test/busybox:v1, command: ['true']}
---
apiVersion: v1
kind: Pod
metadata: {name: trap}
spec:
  restartPolicy: Never
  containers:
  - {name: c, image: test/hello:v1, args: [--abort]}
";

fn ready(pods: &Value) -> Vec<&Value> {
    let pods = pods["items"].as_array().into_iter().flatten();
    pods.filter(|pod| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    })
    .collect()
}

#[test]
fn without_root_wasm_pods_run_and_native_ones_say_why_not() {
    let mut cluster = Cluster::start_unprivileged().unwrap();
    // The API server's Service has port 443; the log says what a host without root wants for that.
    cluster.expect_log("net.ipv4.ip_unprivileged_port_start");
    let owner = std::fs::read_to_string(format!("/proc/{}/status", cluster.pid())).unwrap();
    assert!(owner.contains("Uid:\t65534\t65534\t65534\t65534\n"), "{owner}");
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    cluster.load_fixture("vol.wasm", "test/vol:v1").unwrap();
    load_busybox(&cluster);
    cluster.apply(PODS).unwrap();

    // Each pod has an address of its own, all on the loopback interface, all on the same port.
    let pods = cluster.until(&["pods", "-l", "app=web"], |pods| ready(pods).len() == 2);
    let addresses: Vec<&str> =
        ready(&pods).iter().map(|pod| pod["status"]["podIP"].as_str().unwrap()).collect();
    assert_ne!(addresses[0], addresses[1]);
    for address in &addresses {
        assert!(address.starts_with("127."), "{address}");
        let answer = http::get(&format!("{address}:8080"), "/file?/data/note").unwrap();
        assert!(answer.body.contains("file=from the init container"), "{answer:?}");
    }
    let service = cluster.get(&["service", "web"]).unwrap();
    let service = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(service.starts_with("127."), "{service}");
    wait::eventually("both pods answer through the Service", PATIENCE, || {
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..4 {
            let answer =
                http::get(&format!("{service}:8080"), "/").map_err(|e| format!("{e:#}"))?;
            names.extend(
                answer
                    .body
                    .lines()
                    .find(|line| line.starts_with("env POD_NAME="))
                    .map(str::to_owned),
            );
        }
        if names.len() == 2 { Ok(()) } else { Err(format!("{names:?}")) }
    });

    let trapped = cluster.until(&["pod", "trap"], |pod| pod["status"]["phase"] == "Failed");
    let end = &trapped["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["reason"], &end["exitCode"]), (&"WasmTrap".into(), &134.into()), "{end}");

    // What the host refuses, said in three places with the same words.
    let pod = cluster.until(&["pod", "native"], |pod| {
        let waits = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waits["reason"] == "NativeContainersUnavailable"
    });
    let waits = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    let message = waits["message"].as_str().unwrap();
    let why = message.strip_prefix("this node cannot run native containers: ").unwrap();
    assert!(why.contains("uid 65534"), "{why}");
    let doctor =
        cluster.wctl(&["--data-dir", cluster.data_dir().to_str().unwrap(), "doctor"]).unwrap();
    assert!(doctor.contains(&format!("Native containers cannot run here: {why}")), "{doctor}");
    assert!(doctor.contains("Wasm containers run here."), "{doctor}");
    assert!(doctor.contains("Pods share the host's network"), "{doctor}");
    cluster.until(&["events"], |events| {
        let events = events["items"].as_array().into_iter().flatten();
        events.into_iter().any(|event| {
            event["involvedObject"]["name"] == "native"
                && event["message"].as_str().is_some_and(|said| said.contains(why))
        })
    });

    // Killed and started again, the pods go on; stopped, nothing of them stays.
    let before = cluster.get(&["pods", "-l", "app=web"]).unwrap();
    cluster.kill();
    cluster.launch().unwrap();
    let after = cluster.until(&["pods", "-l", "app=web"], |pods| ready(pods).len() == 2);
    for (was, is) in
        before["items"].as_array().unwrap().iter().zip(after["items"].as_array().unwrap())
    {
        let id = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
        assert_eq!(id(was), id(is));
    }
    let uids: Vec<String> = ready(&after)
        .iter()
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect();
    assert!(uids.iter().all(|uid| !processes(uid).is_empty()), "shims carry the pod's uid");
    cluster.stop().unwrap();
    for uid in uids {
        assert_eq!(processes(&uid), Vec::<String>::new());
    }
    assert!(http::get(&format!("{}:8080", addresses[0]), "/").is_err());
}

fn load_busybox(cluster: &Cluster) {
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    let archive = layout.path().with_extension("tar");
    let tar = std::process::Command::new("tar")
        .args(["-C", layout.path().to_str().unwrap(), "-cf", archive.to_str().unwrap(), "."])
        .status()
        .unwrap();
    assert!(tar.success());
    let parent = archive.parent().unwrap();
    for path in [parent, &archive] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    cluster
        .wctl(&["image", "load", archive.to_str().unwrap(), "--name", "test/busybox:v1"])
        .unwrap();
}

/// Command lines that contain `text`.
fn processes(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}
