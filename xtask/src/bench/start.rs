//! `cargo xtask bench start`: how fast and how small a cluster of one is.
//!
//! * start: from starting the process `wctl dev` to its line `ready`
//! * memory: of every process of the idle cluster, as /proc says (PSS: shared pages counted once)
//! * pod: from starting the process `wctl apply` to the watch event that says Running, image present

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::demo::cluster::Cluster;
use crate::demo::image;
use crate::step;

/// Starts of the cluster.
const STARTS: usize = 10;
/// Pods of each kind.
const PODS: usize = 20;
/// Seconds that a pod may take before the benchmark gives up.
const PATIENCE: &str = "60";

pub(super) fn run() -> Result<()> {
    let wctl = step::build_wctl()?;
    let folder = tempfile::Builder::new().prefix("wharf-bench-").tempdir()?;
    let fresh: Vec<Duration> = (0..STARTS)
        .map(|number| start_once(&wctl, &folder.path().join(format!("start{number}"))))
        .collect::<Result<_>>()?;

    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let cluster = Cluster::start(&wctl, &data)?;
    let idle = memory(cluster.pid().context("wctl dev has no process id")?)?;
    let web = step::root().join("fixtures/wasm/http-c.wasm");
    let web = web.to_str().context("a path that is not UTF-8")?;
    cluster.wctl(&["image", "load", web, "--name", "bench/wasm:v1"])?;
    let native = image::build_neighbour(folder.path(), "bench/native:v1")?;
    let native = native.to_str().context("a path that is not UTF-8")?;
    cluster.wctl(&["image", "load", native, "--name", "bench/native:v1"])?;
    let wasm = pods(&cluster, "bench/wasm:v1")?;
    let native = pods(&cluster, "bench/native:v1")?;
    cluster.stop()?;

    println!("\nbench start");
    row("start: `wctl dev` until ready, new data folder", &fresh);
    println!("  {:<52} {:>8.1} MiB", "memory: idle cluster, all processes (PSS)", idle.0);
    println!("  {:<52} {:>8.1} MiB", "memory: idle cluster, all processes (RSS)", idle.1);
    row("pod: `wctl apply` until Running, Wasm", &wasm);
    row("pod: `wctl apply` until Running, native", &native);
    Ok(())
}

fn start_once(wctl: &Path, data: &Path) -> Result<Duration> {
    std::fs::create_dir(data)?;
    let begin = Instant::now();
    let cluster = Cluster::start(wctl, data)?;
    let took = begin.elapsed();
    cluster.stop()?;
    Ok(took)
}

/// Makes and deletes [`PODS`] pods one after the other.
fn pods(cluster: &Cluster, image: &str) -> Result<Vec<Duration>> {
    (0..PODS)
        .map(|number| {
            let name = format!("bench-{number}");
            let manifest = cluster.data().join("pod.yaml");
            std::fs::write(
                &manifest,
                format!(
                    "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  \
                     terminationGracePeriodSeconds: 0\n  containers:\n  - {{name: main, image: '{image}'}}\n"
                ),
            )?;
            let took = apply_until_running(cluster, &name, &manifest)?;
            cluster.wctl(&["delete", "pod", &name])?;
            Ok(took)
        })
        .collect()
}

fn apply_until_running(cluster: &Cluster, name: &str, manifest: &Path) -> Result<Duration> {
    // The watch is open before the clock starts: its first line is the namespace's state.
    // `timeout` keeps a pod that never runs from hanging the benchmark.
    let mut wctl = cluster.command();
    wctl.args(["get", "pods", "--watch", "--no-headers"]);
    let mut watch = Command::new("timeout")
        .arg(PATIENCE)
        .arg(wctl.get_program())
        .args(wctl.get_args())
        .stdout(Stdio::piped())
        .spawn()
        .context("start wctl get --watch")?;
    let output = watch.stdout.take().context("wctl get has no standard output")?;
    let begin = Instant::now();
    let mut apply = cluster.command();
    apply.arg("apply").arg("-f").arg(manifest).stdout(Stdio::null());
    let applied = apply.status().context("run wctl apply")?;
    ensure!(applied.success(), "wctl apply failed");
    let mut took = None;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        if words.next() == Some(name) && words.any(|word| word == "Running") {
            took = Some(begin.elapsed());
            break;
        }
    }
    // The watch has done its work; how it ends does not matter.
    let _ = watch.kill();
    let _ = watch.wait();
    took.with_context(|| format!("pod {name} never ran: {}", last_words(cluster, name)))
}

fn last_words(cluster: &Cluster, name: &str) -> String {
    let status = cluster.get(&["pod", name]).map(|pod: Value| pod["status"].to_string());
    status.unwrap_or_else(|error| format!("{error:#}"))
}

/// MiB of proportional and of resident memory of a process and all its descendants.
fn memory(pid: u32) -> Result<(f64, f64)> {
    let mut sum = (0.0, 0.0);
    let mut waiting = vec![pid];
    while let Some(pid) = waiting.pop() {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("read the memory of process {pid}"))?;
        let of = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1));
            kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
        };
        sum.0 += of("Pss:");
        sum.1 += of("Rss:");
        let children = Command::new("pgrep").args(["-P", &pid.to_string()]).output()?;
        let children = String::from_utf8_lossy(&children.stdout);
        waiting.extend(children.lines().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(sum)
}

fn row(name: &str, times: &[Duration]) {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!(
        "  {name:<52} {median:>8.1} ms median of {} ({:.1} to {:.1})",
        times.len(),
        times[0],
        times[times.len() - 1]
    );
}
