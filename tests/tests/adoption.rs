//! `kill -9` of `wctl dev` and a new start: containers go on, logs have no gap, nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::wait;

const TICKER: &str = "apiVersion: v1
kind: Pod
metadata: {name: ticker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: tick, image: test/spin:v1, args: [tick, '20', '100000']}
";

fn container_id(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap()
}

fn log(cluster: &Cluster) -> Vec<String> {
    cluster.wctl(&["logs", "ticker"]).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_killed_cluster_adopts_its_running_containers() {
    let mut cluster = Cluster::start().unwrap();
    cluster.load_fixture("spin.wasm", "test/spin:v1").unwrap();
    cluster.apply(TICKER).unwrap();
    let before = cluster.until(&["pod", "ticker"], |pod| pod["status"]["phase"] == "Running");
    wait::eventually("it ticks", PATIENCE, || {
        let lines = log(&cluster);
        if lines.len() > 5 { Ok(()) } else { Err(lines.join("\n")) }
    });

    cluster.kill();
    cluster.launch().unwrap();

    let seen = log(&cluster).len();
    let lines = wait::eventually("it goes on ticking", PATIENCE, || {
        let lines = log(&cluster);
        if lines.len() > seen + 5 { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
    });
    let after = cluster.get(&["pod", "ticker"]).unwrap();
    assert_eq!(container_id(&before), container_id(&after), "the container was replaced");
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(before["status"]["podIP"], after["status"]["podIP"]);
    let numbers: Vec<u64> = lines
        .iter()
        .filter_map(|line| line.split_whitespace().find_map(|word| word.parse().ok()))
        .collect();
    let gapless: Vec<u64> = (numbers[0]..).take(numbers.len()).collect();
    assert_eq!(numbers, gapless, "the log has a gap");
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let mut cluster = Cluster::start().unwrap();
    for number in 0..20 {
        cluster
            .apply(&format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kept-{number}}}\ndata: {{n: '{number}'}}\n"
            ))
            .unwrap();
    }
    cluster.kill();
    cluster.launch().unwrap();
    for number in 0..20 {
        let kept = cluster.get(&["configmap", &format!("kept-{number}")]).unwrap();
        assert_eq!(kept["data"]["n"], number.to_string());
    }
}
