//! `cargo xtask bench NAME`: figures, and where a peer exists the ratio measured in the same run.

use anyhow::Result;

mod api;
mod scheduler;
mod start;
mod store;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    name: Name,
}

#[derive(clap::Subcommand)]
enum Name {
    /// Rates, latencies and memory of the API server, and etcd's beside them
    Api {
        /// Only these parts, without the peer: start, creates, reads, watches, postgres, large
        parts: Vec<String>,
    },
    /// Pods placed per second on hollow nodes, latency of one, memory of a large cluster
    Scheduler {
        /// Only these parts: basic, node-affinity, anti-affinity, pod-affinity, spread, preemption,
        /// churn, latency, memory
        parts: Vec<String>,
        /// Sizes of the clusters whose rates are measured [default: 100,1000,5000]
        #[arg(long, value_delimiter = ',')]
        nodes: Vec<u32>,
    },
    /// Durable writes per second on both engines, grouped and one by one
    Store,
    /// Time to ready, resident memory, time from apply to Running
    Start,
}

/// Runs one benchmark.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.name {
        Name::Api { parts } => api::run(parts),
        Name::Scheduler { parts, nodes } => scheduler::run(parts, nodes),
        Name::Store => store::run(),
        Name::Start => start::run(),
    }
}
