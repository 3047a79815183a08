//! `cargo xtask test`: what CI runs and what a newcomer runs, the same.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use crate::{graph, packages, step};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// All checks, then all tests; ends with the test runner's own summary.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    packages::ensure()?;
    graph::check()?;
    step::run("cargo fmt --check", step::cargo().args(["fmt", "--all", "--check"]))?;
    step::run(
        "cargo clippy",
        step::cargo().args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    // Everything that tests start keeps its files in one folder that goes with them.
    let scratch = tempfile::Builder::new().prefix("wharf-test-").tempdir()?;
    open_to_all(scratch.path())?;
    // The cluster tests start this binary.
    step::run("cargo build", step::cargo().args(["build", "--quiet", "--package", "wctl"]))?;
    let wctl = step::target_folder()?.join("debug/wctl");
    let mut tests = step::cargo();
    tests.args(["test", "--quiet", "--workspace", "--no-fail-fast", "--exclude", "simulation"]);
    tests.args(arguments.filter.as_deref());
    let not_tested = scratch.path().join("not-tested");
    tests.env("TMPDIR", scratch.path()).env("WHARF_WCTL", wctl);
    tests.env("WHARF_NOT_TESTED", &not_tested);
    // The long ones wait for clusters most of the time.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    tests.env("RUST_TEST_THREADS", (2 * cores).to_string());
    let simulated = simulate(arguments.filter.as_deref());
    let outcome = step::run("cargo test", &mut tests).and(simulated);
    for line in absent(&std::fs::read_to_string(not_tested).unwrap_or_default()) {
        println!("not tested: {line}");
    }
    outcome
}

/// Plays the simulated clusters, in a profile in which thousands of them take no longer than hundreds.
fn simulate(filter: Option<&str>) -> Result<()> {
    let mut tests = step::cargo();
    tests.args(["test", "--quiet", "--profile", "simulation", "--package", "simulation"]);
    step::run("cargo test of the simulation", tests.args(filter))
}

/// What tests left out for want of a program that they drive, each once.
fn absent(lines: &str) -> BTreeSet<&str> {
    lines.lines().collect()
}

/// PostgreSQL runs as its own user and must reach its data folder.
fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("open {} to other users", folder.display()))
}
