//! Probes: who gets traffic, who is started again.

use std::fs;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::{http, wait};

use super::pods::{cluster, is_ready, ready, restarts, status};

/// `SWITCHES` is a folder of the host; a file in it is an answer 200.
const PODS: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8000}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: switches, hostPath: {path: SWITCHES, type: Directory}}
  containers:
  - name: c
    image: test/busybox:v1
    command: [httpd, -f, -p, '8000', -h, /switches]
    volumeMounts: [{name: switches, mountPath: /switches}]
    readinessProbe: {httpGet: {path: /ready, port: 8000}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {httpGet: {path: /alive, port: 8000}, periodSeconds: 1, failureThreshold: 10}
---
apiVersion: v1
kind: Pod
metadata: {name: slow}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: switches, hostPath: {path: SWITCHES}}
  containers:
  - name: c
    image: test/busybox:v1
    command: [httpd, -f, -p, '8000', -h, /switches]
    volumeMounts: [{name: switches, mountPath: /switches}]
    startupProbe: {httpGet: {path: /started, port: 8000}, periodSeconds: 1, failureThreshold: 1000}
    livenessProbe: {httpGet: {path: /started, port: 8000}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: too-slow}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    command: [sleep, '100000']
    startupProbe: {tcpSocket: {port: 8000}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: echo}
  ports: [{port: 7, targetPort: 7000}]
---
apiVersion: v1
kind: Pod
metadata: {name: echo, labels: {app: echo}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/tcp-echo:v1
    args: ['7000']
    ports: [{containerPort: 7000}]
    readinessProbe: {tcpSocket: {port: 7000}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: deaf, labels: {app: echo}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    command: [sleep, '100000']
    readinessProbe: {tcpSocket: {port: 7000}, periodSeconds: 1, failureThreshold: 1}
";

#[test]
fn probes_decide_over_traffic_and_life() {
    let cluster = cluster();
    cluster.load_fixture("tcp-echo.wasm", "test/tcp-echo:v1").unwrap();
    let switches = tempfile::tempdir().unwrap();
    let switch = |name: &str, on: bool| {
        let path = switches.path().join(name);
        if on { fs::write(path, "on").unwrap() } else { fs::remove_file(path).unwrap() }
    };
    switch("alive", true);
    cluster.apply(&PODS.replace("SWITCHES", switches.path().to_str().unwrap())).unwrap();

    // Running, alive, not ready: no traffic.
    told(&cluster, "web", "Readiness probe failed: HTTP probe failed with statuscode: 404");
    let pod = cluster.get(&["pod", "web"]).unwrap();
    assert!(!is_ready(&pod) && status(&pod, "c")["state"]["running"].is_object(), "{pod:#}");
    let service = cluster.get(&["service", "web"]).unwrap();
    let address = format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap());
    let direct = format!("{}:8000", pod["status"]["podIP"].as_str().unwrap());
    assert_eq!(http::get(&direct, "/alive").unwrap().status, 200, "it does serve");
    assert!(http::get(&address, "/alive").is_err(), "traffic for a pod that is not ready");

    // Ready: traffic. Not ready again: none.
    switch("ready", true);
    ready(&cluster, "web");
    wait::eventually("the Service answers", PATIENCE, || {
        http::get(&address, "/alive").map_err(|error| {
            let slices = cluster.wctl(&["get", "endpointslices,pods", "-o", "yaml"]);
            format!("{error:#}\n{}", slices.unwrap_or_else(|error| error.to_string()))
        })
    });
    switch("ready", false);
    cluster.until(&["pod", "web"], |pod| !is_ready(pod));
    wait::eventually("the Service is silent", PATIENCE, || match http::get(&address, "/alive") {
        Err(_) => Ok(()),
        Ok(answer) => Err(format!("{answer:?}")),
    });
    assert_eq!(
        restarts(&cluster.get(&["pod", "web"]).unwrap(), "c"),
        0,
        "readiness restarts nothing"
    );

    // Liveness restarts; the new attempt is a fresh process.
    switch("alive", false);
    cluster.until(&["pod", "web"], |pod| restarts(pod, "c") >= 1);
    switch("alive", true);
    switch("ready", true);
    let pod = ready(&cluster, "web");
    let last = &status(&pod, "c")["lastState"]["terminated"];
    assert!(last["exitCode"].is_number() && last["finishedAt"].is_string(), "{last}");
    told(&cluster, "web", "Container c failed liveness probe, will be restarted");

    // Until it has started, liveness is not asked.
    told(&cluster, "slow", "Startup probe failed: HTTP probe failed with statuscode: 404");
    let pod = cluster.get(&["pod", "slow"]).unwrap();
    let c = status(&pod, "c");
    assert_eq!((c["started"].as_bool(), c["ready"].as_bool()), (Some(false), Some(false)), "{c}");
    assert_eq!(c["restartCount"], 0);
    switch("started", true);
    let pod = ready(&cluster, "slow");
    assert_eq!(status(&pod, "c")["started"], true);
    assert_eq!(restarts(&pod, "c"), 0);

    cluster.until(&["pod", "too-slow"], |pod| restarts(pod, "c") >= 1);
    told(&cluster, "too-slow", "Container c failed startup probe, will be restarted");

    // tcpSocket: the one that listens is ready and gets all of the traffic.
    ready(&cluster, "echo");
    told(&cluster, "deaf", "Readiness probe failed: dial tcp");
    let service = cluster.get(&["service", "echo"]).unwrap();
    let address = format!("{}:7", service["spec"]["clusterIP"].as_str().unwrap());
    wait::eventually("the echo answers", PATIENCE, || {
        echo(&address).map_err(|error| error.to_string())
    });
    for _ in 0..10 {
        assert_eq!(echo(&address).unwrap(), "hello");
    }
    assert!(!is_ready(&cluster.get(&["pod", "deaf"]).unwrap()));
}

/// Waits for an event of the pod whose message begins like this.
fn told(cluster: &Cluster, pod: &str, message: &str) {
    let of_pod = |event: &Value| event["involvedObject"]["name"] == pod;
    cluster.until(&["events"], |events| {
        events["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| of_pod(event))
            .any(|event| event["message"].as_str().is_some_and(|said| said.starts_with(message)))
    });
}

fn echo(address: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
