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
//! | what happens | where |
//! |---|---|
//! | conflicts; delays; lost answers; refusals | [`link`], as often as [`faults`] say |
//! | lost, late and repeated events; watches that break and that cannot be resumed | `world/stream.rs` |
//! | a component that does not see what it has just written, and users who change something just then | [`link`], [`script`] |
//! | components killed and stopped; another server takes over | [`components`] |
//! | nodes that lose their power, are drained, go for good | [`nodes`], [`users`] |
//!
//! | what is held against it | where |
//! |---|---|
//! | replicas converge: Deployments, StatefulSets, DaemonSets, ReplicationControllers, Jobs, CronJobs, autoscalers, budgets, volumes | [`rest`] |
//! | no more pods than the surge allows, nor fewer than are to be available; one StatefulSet pod at a time | `laws/rollout.rs`, `laws/ordered.rs`, `laws/daemons.rs` |
//! | no more pods than are asked for, no work done twice, one Job for each time | `laws/pods.rs`, `laws/jobs.rs`, `laws/cron.rs` |
//! | no orphan: whatever names an owner has one | [`rest`] |
//! | no pod is bound twice, or where there is no room | `laws/pods.rs` |
//! | budgets hold, while nodes are drained and workloads rolled out | `laws/budgets.rs` |
//! | nothing is decided on what was before the own last write | `laws/own.rs` |
//! | no task panics | [`panics`] |
//!
//! `WHARF_SEEDS=10000 cargo test --profile simulation -p simulation` tries more seeds; with `WHARF_SEED=17`
//! it tells the story of one. Any profile will do, that one is faster.

mod components;
mod facts;
mod faults;
mod laws;
mod link;
mod nodes;
mod panics;
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
    let (played, panic) = panics::noted(|| runtime.block_on(script::play(seed)));
    let (log, broken) = played.unwrap_or_default();
    History { log, broken: panic.or(broken) }
}
