//! A cluster in which everything that can go wrong does, as a seed says, in no time.
//!
//! The real scheduler and the real controllers run against an API server that is a table in memory.
//! Between them and it is a [`link`] that delays, refuses, loses and repeats; the components are killed
//! and started again, nodes die, users change their minds. Everything happens on one thread and in
//! simulated time, and whatever is left to chance is drawn from the seed: the same seed is the same
//! history, to the last line of the log.
//!
//! After every write the [`laws`] are held against the cluster. Then the faults end, and the cluster
//! has to come to rest as its objects say ([`rest`]).
//!
//! ```text
//! script ─ users, drains, power cuts, restarts
//!    │
//! components (scheduler, controllers) ── link ── world (objects, history, log) ── laws
//!                                                  │
//!                                                nodes
//! ```
//!
//! `WHARF_SEEDS=10000 cargo test -p simulation` tries more seeds; `WHARF_SEED=17 cargo test -p simulation`
//! tells the story of one.

mod components;
mod facts;
mod laws;
mod link;
mod nodes;
mod random;
mod rest;
mod script;
mod users;
mod world;

use tokio::runtime::Builder;

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// A line for each write and each thing that happened to a component, node or link, with its
    /// time in seconds since the beginning.
    pub log: Vec<String>,
    /// The first law that was broken, and by what; or why the cluster did not come to rest.
    pub broken: Option<String>,
}

/// Runs the cluster of a seed until it has come to rest, or a law is broken.
#[must_use]
pub fn simulate(seed: u64) -> History {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime of one thread without sockets needs nothing");
    let (log, broken) = runtime.block_on(script::play(seed));
    History { log, broken }
}
