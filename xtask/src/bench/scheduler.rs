//! `cargo xtask bench scheduler`: pods placed per second, shape by shape, on hollow nodes.

use anyhow::Result;

use crate::step;

pub(super) fn run(parts: &[String], nodes: &[u32]) -> Result<()> {
    let wctl = step::build_wctl()?;
    // What creates the pods shares the cores with the cluster: a debug build would measure itself.
    let mut bench = step::cargo();
    bench.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "xtask",
        "--example",
        "scheduler-bench",
        "--",
    ]);
    bench.args(parts);
    if !nodes.is_empty() {
        let nodes: Vec<String> = nodes.iter().map(u32::to_string).collect();
        bench.args(["--nodes", &nodes.join(",")]);
    }
    step::run("scheduler benchmark", bench.env("WHARF_WCTL", wctl))
}
