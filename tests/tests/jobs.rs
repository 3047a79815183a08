//! Jobs that really run, native and Wasm, followed with the real kubectl.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]
#![allow(clippy::print_stdout, reason = "says when the host has no kubectl")]

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, succeed};
use tests::images::Layout;
use tests::wait;

const TIMEOUT: &str = "--timeout=120s";

/// A cluster with images of both sorts; none, with a word on the output, where there is no kubectl.
fn cluster() -> Option<Cluster> {
    let cluster = Cluster::start().unwrap();
    if cluster.kubectl().is_none() {
        println!("not tested: there is no kubectl on this machine");
        return None;
    }
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    let path = layout.path();
    let arguments = ["image", "load", path.to_str().unwrap(), "--name", "test/busybox:v1"];
    cluster.wctl(&arguments).unwrap();
    Some(cluster)
}

/// Runs kubectl with words split at spaces; it must succeed.
#[track_caller]
fn kubectl(cluster: &Cluster, line: &str) -> String {
    let mut command = cluster.kubectl().expect("there was one at the start");
    succeed(command.args(line.split(' '))).unwrap()
}

const INDEXED: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: indexed}
spec:
  completions: 3
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: test/busybox:v1
        command: [sh, -c, 'echo I am $JOB_COMPLETION_INDEX of $HOSTNAME']
---
apiVersion: batch/v1
kind: Job
metadata: {name: wasm}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: 'test/hello:v1'}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: failing}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: 'test/busybox:v1', command: [sh, -c, exit 3]}]
";

#[test]
fn jobs_run_to_their_end() {
    let Some(cluster) = cluster() else { return };
    cluster.apply(INDEXED).unwrap();
    kubectl(&cluster, &format!("wait --for=condition=complete job/indexed job/wasm {TIMEOUT}"));
    kubectl(&cluster, &format!("wait --for=condition=failed job/failing {TIMEOUT}"));
    let table = kubectl(&cluster, "get job indexed --no-headers");
    let cells: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(&cells[..3], ["indexed", "Complete", "3/3"], "{table}");

    let log = kubectl(&cluster, "logs -l job-name=indexed");
    let mut said: Vec<&str> = log.lines().collect();
    said.sort_unstable();
    let wanted = ["I am 0 of indexed-0", "I am 1 of indexed-1", "I am 2 of indexed-2"];
    assert_eq!(said, wanted);

    let status = |name: &str| cluster.get(&["job", name]).unwrap()["status"].clone();
    let (indexed, failing) = (status("indexed"), status("failing"));
    assert_eq!(indexed["succeeded"], 3);
    assert_eq!(indexed["completedIndexes"], "0-2");
    assert_eq!(failing["failed"], 1);
    let described = kubectl(&cluster, "describe job failing");
    assert!(described.contains("BackoffLimitExceeded"), "{described}");

    // With its Job goes each pod, although it had a finalizer.
    kubectl(&cluster, "delete job indexed wasm failing");
    cluster.until(&["pods"], |list| list["items"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn jobs_are_stopped_resumed_and_made_from_cron_jobs() {
    let Some(cluster) = cluster() else { return };
    kubectl(&cluster, "create job long --image=test/busybox:v1 -- sleep 1000");
    let runs = |list: &Value| {
        let pods = list["items"].as_array().map_or(&[][..], Vec::as_slice);
        pods.len() == 1 && pods[0]["status"]["phase"] == "Running"
    };
    cluster.until(&["pods", "-l", "job-name=long"], runs);
    kubectl(&cluster, "patch job long --type=merge -p {\"spec\":{\"suspend\":true}}");
    let none = |list: &Value| list["items"].as_array().is_some_and(Vec::is_empty);
    cluster.until(&["pods", "-l", "job-name=long"], none);
    let suspended = cluster.get(&["job", "long"]).unwrap();
    assert_eq!(suspended["status"]["conditions"][0]["type"], "Suspended", "{suspended}");
    kubectl(&cluster, "patch job long --type=merge -p {\"spec\":{\"suspend\":false}}");
    cluster.until(&["pods", "-l", "job-name=long"], runs);
    // Deleted in the foreground, it waits for its pod.
    kubectl(&cluster, "delete job long --cascade=foreground");
    assert!(none(&cluster.get(&["pods", "-l", "job-name=long"]).unwrap()));

    let create = "create cronjob tick --image=test/hello:v1 --schedule";
    let mut command = cluster.kubectl().unwrap();
    succeed(command.args(create.split(' ')).args(["0 0 1 1 *"])).unwrap();
    kubectl(&cluster, "create job now --from=cronjob/tick");
    kubectl(&cluster, &format!("wait --for=condition=complete job/now {TIMEOUT}"));
    let job = cluster.get(&["job", "now"]).unwrap();
    assert_eq!(job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
    assert_eq!(job["metadata"]["ownerReferences"][0]["name"], "tick");
    wait::eventually("the CronJob knows of its success", PATIENCE, || {
        let status =
            cluster.get(&["cronjob", "tick"]).map_err(|e| e.to_string())?["status"].clone();
        if status["lastSuccessfulTime"].is_string() { Ok(()) } else { Err(status.to_string()) }
    });
    // With it goes what was made from it.
    kubectl(&cluster, "delete cronjob tick");
    cluster.until(&["jobs"], none);
}
