//! `cargo xtask bench api`: the API server's rates, latencies and memory, and etcd's beside them.

use anyhow::Result;

use crate::{packages, step};

pub(super) fn run(parts: &[String]) -> Result<()> {
    packages::ensure_for_api_bench()?;
    let wctl = step::build_wctl()?;
    // The load generator shares the cores with the server: a debug build would measure itself.
    let mut bench = step::cargo();
    bench.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "xtask",
        "--example",
        "api-bench",
        "--",
    ]);
    bench.args(parts);
    step::run("API benchmark", bench.env("WHARF_WCTL", wctl))
}
