//! Graceful ends: the signal, the grace, the kill, and Wasm servers that finish what they began.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{ChildStdout, Stdio};

use tests::cluster::{Cluster, PATIENCE};
use tests::process::Guard;
use tests::wait;

use super::pods::{cgroup_files, cluster, ready, status, until_log};

const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: polite}
spec:
  terminationGracePeriodSeconds: 60
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'trap \"echo got TERM; exit 0\" TERM; echo up; while :; do sleep 0.05; done']
---
apiVersion: v1
kind: Pod
metadata: {name: stubborn}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'trap \"echo ignored TERM\" TERM; echo up; while :; do sleep 0.05; done']
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 3
  containers:
  - {name: c, image: test/web:v1, ports: [{containerPort: 8080}], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: drains}
spec:
  terminationGracePeriodSeconds: 3600
  containers:
  - {name: c, image: test/web:v1, ports: [{containerPort: 8080}], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: hooked}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: c
    image: test/web:v1
    ports: [{containerPort: 8080}]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
    lifecycle:
      postStart: {httpGet: {path: /hello-hook, port: 8080}}
      preStop: {httpGet: {path: /bye-hook, port: 8080}}
";

#[test]
fn pods_end_gracefully_or_are_killed() {
    let cluster = cluster();
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    cluster.apply(PODS).unwrap();

    // The log is followed to the very end, beyond the signal.
    let polite = Follower::of(&cluster, "polite");
    cluster.wctl(&["delete", "pod", "polite"]).unwrap();
    assert_eq!(polite.whole_log(), "up\ngot TERM\n");
    cluster.wctl_fails(&["get", "pod", "polite"]).unwrap();

    let stubborn = Follower::of(&cluster, "stubborn");
    cluster.wctl(&["delete", "pod", "stubborn"]).unwrap();
    assert_eq!(stubborn.whole_log(), "up\nignored TERM\n", "the signal came, then the kill");

    // A hook is an HTTP request of the node.
    ready(&cluster, "hooked");
    let hooked = Follower::of(&cluster, "hooked");
    cluster.wctl(&["delete", "pod", "hooked"]).unwrap();
    let log = hooked.whole_log();
    assert!(log.contains("handled /hello-hook") && log.contains("handled /bye-hook"), "{log}");

    a_begun_request_is_finished(&cluster);
    a_request_that_never_ends_is_cut_off(&cluster);
}

/// A `wctl logs -f` that has begun.
struct Follower {
    _process: Guard,
    output: BufReader<ChildStdout>,
    log: String,
}

impl Follower {
    /// Returns when the first line has come.
    fn of(cluster: &Cluster, pod: &str) -> Self {
        // The container may not have started yet, and then there is nothing to follow.
        until_log(cluster, &[pod], |log| !log.is_empty());
        let mut command = cluster.command();
        let mut process =
            Guard::spawn(command.args(["logs", "-f", pod]).stdout(Stdio::piped())).unwrap();
        let mut output = BufReader::new(process.child().stdout.take().unwrap());
        let mut log = String::new();
        output.read_line(&mut log).unwrap();
        Self { _process: process, output, log }
    }

    /// The whole log.
    fn whole_log(mut self) -> String {
        self.output.read_to_string(&mut self.log).unwrap();
        self.log
    }
}

fn a_begun_request_is_finished(cluster: &Cluster) {
    let (address, begun) = spin(cluster, "drains");
    cluster.wctl(&["delete", "pod", "drains", "--wait=false"]).unwrap();
    refused(&address);
    // Nobody else is let in, but the one inside may stay, for an hour if need be.
    let pod = cluster.get(&["pod", "drains"]).unwrap();
    assert!(status(&pod, "c")["state"]["running"].is_object(), "{pod:#}");
    drop(begun);
    gone(cluster, "drains");
}

fn a_request_that_never_ends_is_cut_off(cluster: &Cluster) {
    let (address, mut begun) = spin(cluster, "web");
    cluster.wctl(&["delete", "pod", "web", "--wait=false"]).unwrap();
    refused(&address);
    begun.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    // With an error or without an answer, but it ends when the grace does.
    if let Err(error) = begun.read_to_end(&mut rest) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "still open after {PATIENCE:?}");
    }
    gone(cluster, "web");
}

/// A request that computes for ever, begun: its program has used time of the CPU.
fn spin(cluster: &Cluster, name: &str) -> (String, TcpStream) {
    let pod = ready(cluster, name);
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let address = format!("{}:8080", pod["status"]["podIP"].as_str().unwrap());
    let mut stream = TcpStream::connect(&address).unwrap();
    let before = ticks(uid);
    write!(stream, "GET /spin HTTP/1.1\r\nHost: web\r\n\r\n").unwrap();
    wait::eventually("it computes", PATIENCE, || {
        let used = ticks(uid) - before;
        if used >= 10 { Ok(()) } else { Err(format!("{used} ticks")) }
    });
    (address, stream)
}

/// User time of the processes of container `c`, in clock ticks (10 ms).
fn ticks(uid: &str) -> u64 {
    let lists = cgroup_files(uid, "c", &["cgroup.procs"]);
    let pids = lists.iter().find(|list| !list.is_empty()).map_or("", String::as_str);
    let stats =
        pids.lines().filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    // After the name in parentheses come state, …; utime is the twelfth (proc_pid_stat(5)).
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(11)?.parse::<u64>().ok()).sum()
}

fn refused(address: &str) {
    wait::eventually("new connections are refused", PATIENCE, || {
        match TcpStream::connect(address) {
            Ok(_) => Err("accepted".to_owned()),
            Err(_) => Ok(()),
        }
    });
}

fn gone(cluster: &Cluster, name: &str) {
    wait::eventually("the pod is gone", PATIENCE, || match cluster.get(&["pod", name]) {
        Err(_) => Ok(()),
        Ok(pod) => Err(pod["status"].to_string()),
    });
}
