//! Which node a pod runs on.
//!
//! The scheduler is a client of the public API like any other: it watches nodes and pods, keeps a
//! [`cache`] of what every node has left, takes pods without a node from a [`queue`], decides with
//! the plugins of the [`framework`] and writes the decision through the pod's `binding`
//! subresource. Nothing is polled.
//!
//! ```text
//! watch (pods, nodes) ──► cycle (one task owns cache and queue)
//!                           │  pop a pod → decide (pure) → assume on the node
//!                           ├─► volumes (until the pod's claims are bound), then
//!                           ├─► bind (bounded, concurrent) ──► outcome back to cycle
//!                           └─► report: PodScheduled=False, FailedScheduling event
//! ```
//!
//! A pod that finds no node may take the place of pods that matter less ([`preemption`]).
//!
//! Deciding is synchronous and happens in the task that owns the state, so there is no lock and no
//! snapshot to copy. The pod counts on its node from the moment of the decision ("assumed"), so
//! that binding, which takes a round trip, never holds up the next decision.
//!
//! Called by `wctl`, which hands over a client with the identity `system:kube-scheduler`.
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/>.

use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

pub mod affinity;
mod bind;
pub mod cache;
mod cycle;
pub mod decide;
pub mod diagnosis;
mod events;
pub mod filters;
pub mod framework;
pub mod node;
pub mod plugins;
pub mod pod;
pub mod preemption;
pub mod queue;
pub mod resources;
pub mod spread;
pub mod volumes;
mod watch;

/// What can be set about a scheduler.
#[derive(Debug, Clone)]
pub struct Config {
    /// Pods whose `spec.schedulerName` is this are ours. Default: `default-scheduler`.
    pub scheduler_name: String,
    /// How many bindings may be on their way to the API server at once. Default: 64.
    pub parallel_binds: usize,
    /// A pod that found no node is tried again after this long even if nothing seemed to
    /// change. Default: 5 minutes, as in Kubernetes.
    pub unschedulable_timeout: Duration,
    /// How long to wait for bindings under way when told to stop. Default: 5 seconds.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scheduler_name: "default-scheduler".to_owned(),
            parallel_binds: 64,
            unschedulable_timeout: Duration::from_secs(300),
            drain: Duration::from_secs(5),
        }
    }
}

/// Why a scheduler could not start. Once running, it retries every failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no sense.
    #[error("invalid scheduler configuration: {field} {problem}")]
    Config {
        /// The field of [`Config`].
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Schedules pods until `shutdown` is cancelled, then waits for the bindings under way
/// (at most [`Config::drain`]) and returns.
///
/// # Errors
/// Only for a configuration without sense: API errors are retried with back-off.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    if config.parallel_binds == 0 {
        return Err(Error::Config { field: "parallel_binds", problem: "must be at least 1" });
    }
    if config.scheduler_name.is_empty() {
        return Err(Error::Config { field: "scheduler_name", problem: "must not be empty" });
    }
    cycle::run(config, client, shutdown).await;
    Ok(())
}
