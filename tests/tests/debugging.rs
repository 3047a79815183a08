//! Looking into a pod that runs with `kubectl debug`, and changing what it may have of its node: with the
//! kubectl of the host, and pods that really run. Where there is no kubectl these tests say so and end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]
#![allow(clippy::print_stdout, reason = "says when the host has no kubectl")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, succeed};
use tests::images::Layout;
use tests::process::Guard;
use tests::wait;

/// A cluster with the pod `web`; none, with a word on the output, where there is no kubectl.
fn cluster() -> Option<Cluster> {
    let cluster = Cluster::start().unwrap();
    if cluster.kubectl().is_none() {
        println!("not tested: there is no kubectl on this machine");
        return None;
    }
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    let path = layout.path();
    let load = ["image", "load", path.to_str().unwrap(), "--name", "test/busybox:v1"];
    cluster.wctl(&load).unwrap();
    cluster.apply(WEB).unwrap();
    kubectl(&cluster, "wait --for=condition=Ready pod/web --timeout=90s");
    Some(cluster)
}

const WEB: &str = "apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'echo from the pod > /tmp/index.html; exec httpd -f -p 127.0.0.1:8000 -h /tmp']
    readinessProbe: {exec: {command: [wget, -q, -O, /dev/null, 'http://127.0.0.1:8000/']}, periodSeconds: 1}
    resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 100m, memory: 32Mi}}
";

fn command(cluster: &Cluster, line: &str) -> Command {
    let mut command = cluster.kubectl().expect("there was one at the start");
    command.args(line.split(' '));
    command
}

/// Runs kubectl with words split at spaces; it must succeed.
#[track_caller]
fn kubectl(cluster: &Cluster, line: &str) -> String {
    succeed(&mut command(cluster, line)).unwrap()
}

fn ephemeral(pod: &Value, name: &str) -> Value {
    let all = pod["status"]["ephemeralContainerStatuses"].as_array();
    all.into_iter().flatten().find(|status| status["name"] == name).cloned().unwrap_or_default()
}

#[test]
fn a_running_pod_is_debugged() {
    let Some(cluster) = cluster() else { return };
    // Attached, with what to say: the target's processes and files, the pod's network.
    let line = "debug web -i --quiet --image=test/busybox:v1 --image-pull-policy=Never --target=c -c look -- sh";
    let mut debug = command(&cluster, line);
    debug.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut debug = Guard::spawn(&mut debug).unwrap();
    let script = "cat /proc/1/comm; wget -q -O - http://127.0.0.1:8000/; cat /proc/1/root/tmp/index.html; echo over; exit 4\n";
    debug.child().stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    wait::eventually("kubectl debug ends", PATIENCE, || match debug.child().try_wait() {
        Ok(Some(_)) => Ok(()),
        other => Err(format!("{other:?}\n{}", cluster.get(&["pod", "web"]).unwrap()["status"])),
    });
    let (mut said, mut complaints) = (String::new(), String::new());
    debug.child().stdout.take().unwrap().read_to_string(&mut said).unwrap();
    debug.child().stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    let pod = cluster
        .until(&["pod", "web"], |pod| ephemeral(pod, "look")["state"]["terminated"].is_object());
    let look = ephemeral(&pod, "look");
    assert_eq!(look["state"]["terminated"]["exitCode"], 4, "{look} {said} {complaints}");
    let log = kubectl(&cluster, "logs web -c look");
    assert_eq!(log, "httpd\nfrom the pod\nfrom the pod\nover\n", "{complaints}");
    assert!(said.contains("over"), "{said} {complaints}");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(pod["status"]["phase"], "Running");

    // One that stays can be executed in, like any other.
    let line = "debug web --image=test/busybox:v1 --image-pull-policy=Never -c stay -- sleep 1000";
    kubectl(&cluster, line);
    cluster.until(&["pod", "web"], |pod| ephemeral(pod, "stay")["state"]["running"].is_object());
    assert_eq!(kubectl(&cluster, "exec web -c stay -- cat /proc/1/comm"), "sleep\n");
    assert!(kubectl(&cluster, "describe pod web").contains("Ephemeral Containers:"));
    kubectl(&cluster, "delete pod web --timeout=90s");
}

#[test]
fn a_running_pod_is_resized() {
    let Some(cluster) = cluster() else { return };
    let before = cluster.get(&["pod", "web"]).unwrap();
    let status = |pod: &Value| pod["status"]["containerStatuses"][0].clone();
    let amounts = "{\"cpu\":\"200m\",\"memory\":\"64Mi\"}";
    let resources = format!("{{\"requests\":{amounts},\"limits\":{amounts}}}");
    let patch =
        format!("{{\"spec\":{{\"containers\":[{{\"name\":\"c\",\"resources\":{resources}}}]}}}}");
    kubectl(&cluster, &format!("patch pod web --subresource resize --patch {patch}"));
    let pod = cluster.until(&["pod", "web"], |pod| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let busy = conditions.iter().any(|c| c["type"] == "PodResizeInProgress");
        status(pod)["resources"]["limits"]["memory"] == "64Mi" && !busy
    });
    assert_eq!(status(&pod)["containerID"], status(&before)["containerID"]);
    assert_eq!(status(&pod)["allocatedResources"]["cpu"], "200m");
    let look =
        "exec web -- cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max";
    let output = command(&cluster, look).output().unwrap();
    let limit = String::from_utf8_lossy(&output.stdout);
    assert_eq!(limit.trim(), (64 << 20).to_string(), "{output:?}");
    wait::eventually("the resize is told of", PATIENCE, || {
        let events = kubectl(&cluster, "get events --field-selector=involvedObject.name=web");
        let told = ["ResizeStarted", "ResizeCompleted"].iter().all(|word| events.contains(word));
        if told { Ok(()) } else { Err(events) }
    });
}
