//! How fast the scheduler is, end to end: `cargo xtask bench scheduler`.
//!
//! The cluster is `wctl sim` (`$WHARF_WCTL`): API server, scheduler, controllers and hollow nodes in
//! one process on SQLite, a new one for every figure. Pods are created over TLS with [`CONNECTIONS`]
//! connections from this process, on the same cores, and a pod counts when a watch shows it bound.
//! While rates are measured pods do not start: the benchmarks of Kubernetes have no kubelets either.
//!
//! The shapes are those of Kubernetes' `test/integration/scheduler_perf`: kind of pods, how many are
//! there before and how many are measured at 5,000 nodes; smaller clusters get their share.
//!
//! | file | what |
//! |---|---|
//! | `shapes` | pods of each shape, and how many |
//! | `measure` | creating them, waiting for them |
//! | `churn` | what goes on beside them |
//! | `sim` | starting `wctl sim`, its memory |
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

#[path = "../api-bench/client.rs"]
mod client;
#[path = "../api-bench/load.rs"]
#[allow(dead_code, reason = "the API benchmark also measures for a time")]
mod load;

mod churn;
mod measure;
mod shapes;
mod sim;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use shapes::{SHAPES, Shape};
use sim::Sim;

/// Connections that create pods.
const CONNECTIONS: usize = 32;
/// Sizes without `--nodes`.
const NODES: [u32; 3] = [100, 1_000, 5_000];
/// Nodes of the large clusters.
const LARGE: u32 = 5_000;
/// Pods that run in the large cluster whose memory is measured.
const RUNNING: usize = 150_000;
/// Pods placed one by one in the idle large cluster.
const SINGLE: usize = 500;
/// How long a cluster has been idle when its memory is read.
const IDLE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let wctl = std::env::var_os("WHARF_WCTL").map(PathBuf::from);
    let wctl = wctl.context("$WHARF_WCTL names no wctl; run `cargo xtask bench scheduler`")?;
    let (parts, nodes) = arguments(std::env::args().skip(1))?;
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
    println!(
        "  {:<16} {:>6} {:>7} {:>9} {:>8} {:>22}",
        "shape", "nodes", "pods", "pods/s", "bar", "Kubernetes' own gate"
    );
    for shape in SHAPES.iter().filter(|shape| wanted(shape.name)) {
        for nodes in &nodes {
            rate(&wctl, shape, *nodes)?;
        }
    }
    if wanted("latency") {
        latency(&wctl)?;
    }
    if wanted("memory") {
        memory(&wctl)?;
    }
    Ok(())
}

/// Names of parts, and the sizes after `--nodes`.
fn arguments(all: impl Iterator<Item = String>) -> Result<(Vec<String>, Vec<u32>)> {
    let (mut parts, mut nodes) = (Vec::new(), NODES.to_vec());
    let mut all = all.peekable();
    while let Some(argument) = all.next() {
        if argument == "--nodes" {
            let list = all.next().context("--nodes lacks a list like 100,1000")?;
            let sizes: Result<_, _> = list.split(',').map(str::parse).collect();
            nodes = sizes.with_context(|| format!("--nodes {list} is no list of numbers"))?;
            continue;
        }
        let known = SHAPES.iter().map(|shape| shape.name).chain(["latency", "memory"]);
        if !known.clone().any(|name| name == argument) {
            bail!("no part {argument:?}; there are {}", known.collect::<Vec<_>>().join(", "));
        }
        parts.push(argument);
    }
    Ok((parts, nodes))
}

fn rate(wctl: &Path, shape: &Shape, nodes: u32) -> Result<()> {
    let zones = format!("--zones={}", shape.zones);
    let sim = Sim::start(wctl, nodes, &["--pod-start-delay=1h", &zones])?;
    let (before, measured) = shape.pods(nodes);
    for namespace in ["before", "measured"] {
        sim.endpoint.namespace(namespace)?;
    }
    measure::classes(&sim)?;
    measure::create_and_wait(&sim, "before", shape.before, before)?;
    let churn = churn::start(&sim, shape.beside)?;
    let took = measure::create_and_wait(&sim, "measured", shape.measured, measured)?;
    drop(churn);
    let bar = if nodes == LARGE { format!(">= {}", shape.bar) } else { String::new() };
    let gate = shape.gate.filter(|_| nodes == LARGE).map_or_else(String::new, |it| it.to_string());
    println!(
        "  {:<16} {nodes:>6} {measured:>7} {:>9.0} {bar:>8} {gate:>22}",
        shape.name,
        measured as f64 / took.as_secs_f64(),
    );
    Ok(())
}

fn latency(wctl: &Path) -> Result<()> {
    let sim = Sim::start(wctl, LARGE, &["--pod-start-delay=1h"])?;
    sim.endpoint.namespace("measured")?;
    let times = measure::one_by_one(&sim, "measured", SINGLE)?;
    println!(
        "  one pod, {LARGE} idle nodes, create to bound: p50 {:.1} ms, p99 {:.1} ms (bar: p99 < 20 ms)",
        load::percentile(&times, 50).as_secs_f64() * 1000.0,
        load::percentile(&times, 99).as_secs_f64() * 1000.0,
    );
    Ok(())
}

fn memory(wctl: &Path) -> Result<()> {
    let sim = Sim::start(wctl, LARGE, &[])?;
    sim.endpoint.namespace("measured")?;
    let empty = sim.resident()?;
    let took = measure::create_and_wait_running(&sim, "measured", RUNNING)?;
    std::thread::park_timeout(IDLE);
    let full = sim.resident()?;
    ensure!(full > 0.0, "the simulation has ended");
    println!(
        "  memory: {LARGE} nodes {empty:.0} MiB, with {RUNNING} running pods {full:.0} MiB, peak {:.0} MiB \
         (bar: < 2048 MiB); created until Running {:.0} pods/s",
        sim.peak()?,
        RUNNING as f64 / took.as_secs_f64(),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_sizes() {
        let read = |text: &str| arguments(text.split_whitespace().map(str::to_owned));
        assert_eq!(read("").unwrap(), (Vec::new(), NODES.to_vec()));
        let (parts, nodes) = read("basic --nodes 5,10 memory").unwrap();
        assert_eq!((parts, nodes), (vec!["basic".to_owned(), "memory".to_owned()], vec![5, 10]));
        for wrong in ["fast", "--nodes", "--nodes x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
