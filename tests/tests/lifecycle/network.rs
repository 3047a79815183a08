//! Pods talk to each other over the bridge, by address and through Services.

use std::process::Command;

use tests::cluster::succeed;
use tests::program;

use super::pods::{cluster, finished, ready, until_log, value};

const SERVERS: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: wasm, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: test/web:v1, ports: [{containerPort: 8080}], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: native}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'echo from native > /tmp/index.html; exec httpd -f -vv -p 8080 -h /tmp']
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
";

#[test]
fn pods_reach_each_other() {
    let cluster = cluster();
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    cluster.apply(SERVERS).unwrap();
    let ip = |name: &str| ready(&cluster, name)["status"]["podIP"].as_str().unwrap().to_owned();
    let (wasm, native) = (ip("wasm"), ip("native"));
    assert_ne!(wasm, native);
    let service = cluster.get(&["service", "web"]).unwrap()["spec"]["clusterIP"].clone();
    let service = service.as_str().unwrap();
    cluster
        .apply(&format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c]
    args:
    - |
      get() {{ for i in $(seq 100); do wget -q -O - $1 && return; sleep 0.2; done; echo failed; }}
      echo NATIVE=$(get http://{native}:8080/)
      echo WASM=$(get http://{wasm}:8080/from-client)
      echo SERVICE=$(get http://{service}/through-service)
      echo NOT_ON_LOCALHOST=$(wget -q -O - http://127.0.0.1:8080/ 2>/dev/null || echo refused)
      echo INTERFACES=$(ls /sys/class/net | tr '\\n' ' ')
      echo ROUTE=$(ip route | grep default)
"
        ))
        .unwrap();
    let pod = finished(&cluster, "client");
    let client = pod["status"]["podIP"].as_str().unwrap();
    let log = cluster.wctl(&["logs", "client"]).unwrap();
    assert_eq!(value(&log, "NATIVE"), "from native");
    assert!(value(&log, "WASM").contains("path=/from-client"), "{log}");
    assert!(value(&log, "SERVICE").contains("path=/through-service"), "{log}");
    assert_eq!(value(&log, "NOT_ON_LOCALHOST"), "refused", "ports are the pod's own");
    assert_eq!(value(&log, "INTERFACES").trim(), "eth0 lo");
    assert!(value(&log, "ROUTE").starts_with("default via 10.244."), "{log}");
    // The server sees who it really was.
    until_log(&cluster, &["native"], |log| log.contains(&format!("{client}]:")));

    // What the node has: one bridge, and a veth per living pod.
    cluster.wctl(&["delete", "pod", "client", "native"]).unwrap();
    let links = succeed(Command::new(program::find("ip").unwrap()).args(["-o", "link"])).unwrap();
    assert_eq!(links.lines().count(), 3, "lo, the bridge, one veth:\n{links}");
}
