//! `cargo xtask bench NAME`: figures, and where a peer exists the ratio measured in the same run.

use anyhow::Result;

mod api;
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
    /// Durable writes per second on both engines, grouped and one by one
    Store,
    /// Time to ready, resident memory, time from apply to Running
    Start,
}

/// Runs one benchmark.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.name {
        Name::Api { parts } => api::run(parts),
        Name::Store => store::run(),
        Name::Start => start::run(),
    }
}
