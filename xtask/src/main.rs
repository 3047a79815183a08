//! `cargo xtask …`: everything a developer runs on the repository.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo xtask demo [--keep]` | a cluster with Wasm and native pods behind a Service, start to end |
//! | `cargo xtask test` | what CI runs: packages, fmt, clippy, crate graph, all tests |
//! | `cargo xtask bench api\|scheduler\|store\|start` | the figures of docs/BENCHMARKS.md |
//! | `cargo xtask hosts [v1\|v2\|hybrid\|split]` | the same `wctl` in virtual machines with other cgroup layouts |
//! | `cargo xtask image` | the demo's native image, as a folder that `wctl image load` takes |
//! | `cargo xtask graph` | only the crate-graph check |

#![allow(clippy::print_stdout, reason = "its output is its purpose")]
#![allow(clippy::disallowed_methods, reason = "no executor runs here that a sleep could block")]

mod bench;
mod demo;
mod graph;
mod hosts;
mod links;
mod packages;
mod step;
mod suite;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Wharf's repository tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the demo: build, start, apply, request, replace, tear down
    Demo(demo::Arguments),
    /// Run every check and every test
    Test(suite::Arguments),
    /// Print measured figures
    Bench(bench::Arguments),
    /// Run pods in virtual machines with every cgroup layout
    Hosts(hosts::Arguments),
    /// Build the native image of fixtures/demo.yaml, an OCI layout in target/
    Image,
    /// Check which crate depends on which
    Graph,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => suite::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Hosts(arguments) => hosts::run(&arguments),
        Task::Image => demo::build_image(),
        Task::Graph => graph::check(),
    }
}
