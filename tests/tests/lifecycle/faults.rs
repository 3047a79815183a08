//! What happens while nobody looks: the node's process or a shim is killed.

use std::fs;

use tests::cluster::{Cluster, PATIENCE};
use tests::wait;

use super::pods::{cluster, finished, is_ready, ready, restarts, status, terminated, until_log};

const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  restartPolicy: Never
  volumes:
  - {name: switches, hostPath: {path: SWITCHES}}
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'until test -e /switches/SWITCH; do sleep 0.05; done; echo last words; exit 4']
    volumeMounts: [{name: switches, mountPath: /switches}]
---
apiVersion: v1
kind: Pod
metadata: {name: again}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: switches, hostPath: {path: SWITCHES}}
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'test -e /switches/SWITCH && sleep 100000; until test -e /switches/SWITCH; do sleep 0.05; done; exit 5']
    volumeMounts: [{name: switches, mountPath: /switches}]
---
apiVersion: v1
kind: Pod
metadata: {name: steady}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: test/spin:v1, args: [sleep, '100000']}
  - {name: native, image: test/busybox:v1, command: [sleep, '100000']}
";

#[test]
fn what_ends_while_the_node_is_down_is_noticed() {
    let mut cluster = cluster();
    cluster.load_fixture("spin.wasm", "test/spin:v1").unwrap();
    let switches = tempfile::tempdir().unwrap();
    // A name of its own, so that the processes that wait for it can be found.
    let switch = format!("go-{}", std::process::id());
    let pods =
        PODS.replace("SWITCHES", switches.path().to_str().unwrap()).replace("SWITCH", &switch);
    cluster.apply(&pods).unwrap();
    let names = ["once", "again", "steady"];
    let before = names.map(|name| ready(&cluster, name));

    cluster.kill();
    fs::write(switches.path().join(&switch), "").unwrap();
    wait::eventually("both scripts end", PATIENCE, || {
        let running = processes(&switch);
        if running.is_empty() { Ok(()) } else { Err(format!("{running:?}")) }
    });
    cluster.launch().unwrap();

    let pod = finished(&cluster, "once");
    let end = &status(&pod, "c")["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&4.into(), &"Error".into()), "{end}");
    assert_eq!(cluster.wctl(&["logs", "once"]).unwrap(), "last words\n");
    let pod = cluster.until(&["pod", "again"], |pod| {
        restarts(pod, "c") == 1 && status(pod, "c")["state"]["running"].is_object()
    });
    let last = &status(&pod, "c")["lastState"]["terminated"];
    assert_eq!(last["exitCode"], 5, "{last}");
    assert_eq!(pod["status"]["podIP"], before[1]["status"]["podIP"], "the sandbox stayed");
    let steady = ready(&cluster, "steady");
    assert_eq!(restarts(&steady, "c") + restarts(&steady, "native"), 0);
    for name in ["c", "native"] {
        assert_eq!(status(&steady, name)["containerID"], status(&before[2], name)["containerID"]);
    }

    a_lost_shim_is_replaced(&mut cluster);
    a_stopped_cluster_runs_its_pods_again(&mut cluster);
}

/// Ctrl-C takes the processes away, not the pods.
fn a_stopped_cluster_runs_its_pods_again(cluster: &mut Cluster) {
    let before = ready(cluster, "steady");
    cluster.stop().unwrap();
    assert_eq!(processes(before["metadata"]["uid"].as_str().unwrap()), []);
    cluster.launch().unwrap();
    let after = cluster.until(&["pod", "steady"], |pod| {
        is_ready(pod) && restarts(pod, "c") > restarts(&before, "c")
    });
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    // What had ended stays as it ended.
    let once = cluster.get(&["pod", "once"]).unwrap();
    assert_eq!(once["status"]["phase"], "Failed");
    assert_eq!((terminated(&once)["exitCode"].as_i64(), restarts(&once, "c")), (Some(4), 0));
    assert_eq!(cluster.wctl(&["logs", "once"]).unwrap(), "last words\n");
}

/// The shim is the containers' parent: with it goes the knowledge of how they end.
fn a_lost_shim_is_replaced(cluster: &mut Cluster) {
    cluster.expect_log("shim");
    let before = ready(cluster, "steady");
    let uid = before["metadata"]["uid"].as_str().unwrap();
    let shims: Vec<i32> = processes(uid)
        .into_iter()
        .filter(|(_, line)| line.contains(" shim "))
        .map(|(pid, _)| pid)
        .collect();
    assert_eq!(shims.len(), 1, "{:?}", processes(uid));
    let shim = nix::unistd::Pid::from_raw(shims[0]);
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).unwrap();

    let pod = cluster.until(&["pod", "steady"], |pod| {
        ["c", "native"].iter().all(|name| {
            restarts(pod, name) == 1 && status(pod, name)["state"]["running"].is_object()
        })
    });
    for name in ["c", "native"] {
        let last = &status(&pod, name)["lastState"]["terminated"];
        assert_eq!(
            (&last["reason"], &last["exitCode"]),
            (&"ContainerStatusUnknown".into(), &137.into()),
            "{last}"
        );
    }
    until_log(cluster, &["steady", "-c", "c"], |log| log.contains("sleeping"));
    assert_eq!(processes(uid).iter().filter(|(_, line)| line.contains(" shim ")).count(), 1);
}

/// Processes whose command line contains `text`.
fn processes(text: &str) -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text).then_some((pid, line))
    })
    .collect()
}
