//! What is started again, when, and in which order.

use serde_json::json;

use super::pods::{cluster, finished, ready, restarts, status, until_log};

const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: always}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: test/busybox:v1, command: [sh, -c, 'echo ran; exit 3']}
  - {name: steady, image: test/busybox:v1, command: [sleep, '100000']}
---
apiVersion: v1
kind: Pod
metadata: {name: on-failure}
spec:
  restartPolicy: OnFailure
  volumes:
  - {name: memory, emptyDir: {}}
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'test -e /memory/again && exit 0; touch /memory/again; exit 4']
    volumeMounts:
    - {name: memory, mountPath: /memory}
---
apiVersion: v1
kind: Pod
metadata: {name: ordered}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: memory, emptyDir: {}}
  initContainers:
  - {name: first, image: test/busybox:v1, command: [sh, -c, 'echo first >> /memory/order'], volumeMounts: [{name: memory, mountPath: /memory}]}
  - {name: second, image: test/vol:v1, args: [append, /memory/order, second], volumeMounts: [{name: memory, mountPath: /memory}]}
  containers:
  - {name: c, image: test/busybox:v1, command: [sh, -c, 'cat /memory/order; sleep 100000'], volumeMounts: [{name: memory, mountPath: /memory}]}
---
apiVersion: v1
kind: Pod
metadata: {name: init-fails}
spec:
  restartPolicy: Never
  initContainers:
  - {name: first, image: test/busybox:v1, command: [sh, -c, 'exit 9']}
  - {name: second, image: test/busybox:v1, command: ['true']}
  containers:
  - {name: c, image: test/busybox:v1, command: ['true']}
---
apiVersion: v1
kind: Pod
metadata: {name: with-sidecar}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: memory, emptyDir: {}}
  initContainers:
  - {name: side, restartPolicy: Always, image: test/busybox:v1, command: [sh, -c, 'touch /memory/side; sleep 100000'], volumeMounts: [{name: memory, mountPath: /memory}]}
  - {name: web, restartPolicy: Always, image: test/web:v1, ports: [{containerPort: 8080}], startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 100}}
  containers:
  - {name: c, image: test/busybox:v1, command: [sh, -c, 'test -e /memory/side && wget -q -O - http://127.0.0.1:8080/from-main'], volumeMounts: [{name: memory, mountPath: /memory}]}
---
apiVersion: v1
kind: Pod
metadata: {name: too-long}
spec:
  terminationGracePeriodSeconds: 1
  activeDeadlineSeconds: 1
  containers:
  - {name: c, image: test/busybox:v1, command: [sleep, '100000']}
---
apiVersion: v1
kind: Pod
metadata: {name: init-again}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: first, image: test/hello:v1, args: [--exit, '1']}
  containers:
  - {name: c, image: test/busybox:v1, command: ['true']}
";

#[test]
fn containers_start_again_as_the_policy_says() {
    let cluster = cluster();
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    cluster.load_fixture("vol.wasm", "test/vol:v1").unwrap();
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    cluster.apply(PODS).unwrap();

    let pod = finished(&cluster, "on-failure");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    let c = status(&pod, "c");
    assert_eq!(c["restartCount"], 1);
    assert_eq!(c["state"]["terminated"]["exitCode"], 0);
    assert_eq!(c["lastState"]["terminated"]["exitCode"], 4, "{c}");

    // Each once, one after the other, and only then the main container.
    ready(&cluster, "ordered");
    let log = until_log(&cluster, &["ordered", "-c", "c"], |log| log.lines().count() == 2);
    assert_eq!(log, "first\nsecond\n");
    let pod = cluster.get(&["pod", "ordered"]).unwrap();
    for name in ["first", "second"] {
        let init = status(&pod, name);
        assert_eq!(init["state"]["terminated"]["reason"], "Completed", "{init}");
        assert_eq!((&init["ready"], &init["restartCount"]), (&json!(true), &json!(0)));
    }

    let pod = finished(&cluster, "init-fails");
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(status(&pod, "first")["state"]["terminated"]["exitCode"], 9);
    for name in ["second", "c"] {
        let waits = status(&pod, name);
        assert_eq!(waits["state"]["waiting"]["reason"], "PodInitializing", "{waits}");
    }
    let table = cluster.wctl(&["get", "pods"]).unwrap();
    let row = table.lines().find(|line| line.starts_with("init-fails")).unwrap();
    assert!(row.contains("Init:Error"), "{row}");

    // Sidecars come before the main container, each when the one before has started; they end after it.
    let pod = finished(&cluster, "with-sidecar");
    assert_eq!(pod["status"]["phase"], "Succeeded", "{pod:#}");
    let log = cluster.wctl(&["logs", "with-sidecar", "-c", "c"]).unwrap();
    assert!(log.contains("path=/from-main"), "{log}");
    cluster.until(&["pod", "with-sidecar"], |pod| {
        ["side", "web"].iter().all(|name| status(pod, name)["state"]["terminated"].is_object())
    });

    let pod = finished(&cluster, "too-long");
    assert_eq!(
        (&pod["status"]["phase"], &pod["status"]["reason"]),
        (&json!("Failed"), &json!("DeadlineExceeded"))
    );

    // The first new start is immediate, the second waits.
    let pod = cluster.until(&["pod", "init-again"], |pod| {
        status(pod, "first")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert_eq!(pod["status"]["phase"], "Pending");
    let table = cluster.wctl(&["get", "pods"]).unwrap();
    let row = table.lines().find(|line| line.starts_with("init-again")).unwrap();
    assert!(row.contains("Init:CrashLoopBackOff"), "{row}");

    let pod = cluster.until(&["pod", "always"], |pod| {
        status(pod, "c")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let c = status(&pod, "c");
    let message = c["state"]["waiting"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("back-off 10s restarting failed container=c pod=always_default("),
        "{message}"
    );
    assert_eq!(c["lastState"]["terminated"]["exitCode"], 3, "{c}");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(restarts(&pod, "steady"), 0, "its neighbour is left alone");
    // And it goes on trying.
    let pod = cluster.until(&["pod", "always"], |pod| restarts(pod, "c") >= 2);
    assert!(status(&pod, "steady")["state"]["running"].is_object());
    let events = cluster.get(&["events"]).unwrap();
    let told =
        |reason: &str| {
            events["items"].as_array().unwrap().iter().any(|event| {
                event["reason"] == reason && event["involvedObject"]["name"] == "always"
            })
        };
    assert!(told("BackOff") && told("Started") && told("Pulled"), "{events:#}");
}
