//! Which node a pod runs on.
//!
//! The scheduler is a client of the public API like any other: it watches nodes and pods, keeps a
//! [`cache`] of what every node has left, takes pods without a node from a [`queue`], decides with
//! the plugins of the [`framework`] and writes the decision through the pod's `binding`
//! subresource. Nothing is polled.
//!
//! ```text
//! watch (pods, nodes, volumes, devices) ──► cycle (one task owns cache and queue)
//!                           │  pop a pod → decide (pure) → assume on the node → reserve, permit
//!                           ├─► wait for permission, pre-bind (until the pod's claims are bound), then
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

//! What can be set is in [`configuration`]; programs can add plugins of their own to the
//! [`framework::Registry`].

use std::path::Path;
use std::time::Duration;

use client::Clock;
use kube::Client;
use tokio_util::sync::CancellationToken;

pub mod affinity;
pub mod bind;
pub mod cache;
pub mod configuration;
mod cycle;
pub mod decide;
pub mod diagnosis;
pub mod dynamic_resources;
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

use configuration::{FileError, Problem, Profile};
use framework::{Frameworks, Registry, Waiting};

/// What can be set about the schedulers of a process.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whose pods are scheduled, and by which plugins. Default: one profile, `default-scheduler`.
    pub profiles: Vec<Profile>,
    /// How many percent of the nodes that can run a pod are enough to choose from, unless a profile
    /// says otherwise. Default: 0, a share that falls with the size of the cluster.
    pub percentage_of_nodes_to_score: u8,
    /// After its first attempt a pod waits this long, twice as long after each more. Default: 1 second.
    pub first_backoff: Duration,
    /// It waits no longer than this. Default: 10 seconds.
    pub longest_backoff: Duration,
    /// The plugins that profiles can name. Default: Kubernetes' own.
    pub registry: Registry,
    /// The pods that permit plugins hold back; a plugin keeps a clone to let them go.
    pub waiting: Waiting,
    /// How many bindings may be on their way to the API server at once. Default: 64.
    pub parallel_binds: usize,
    /// A pod that found no node is tried again after this long even if nothing seemed to
    /// change. Default: 5 minutes, as in Kubernetes.
    pub unschedulable_timeout: Duration,
    /// How long to wait for bindings under way when told to stop. Default: 5 seconds.
    pub drain: Duration,
    /// Which of several equally good nodes is taken first. Default: the number of the process, so
    /// that schedulers do not all begin with the same node.
    pub seed: u64,
    /// The time of day. Default: the host's.
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profiles: vec![Profile::default()],
            percentage_of_nodes_to_score: 0,
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(10),
            registry: Registry::default(),
            waiting: Waiting::default(),
            parallel_binds: 64,
            unschedulable_timeout: Duration::from_secs(300),
            drain: Duration::from_secs(5),
            seed: u64::from(std::process::id()),
            clock: Clock::Host,
        }
    }
}

impl Config {
    /// Reads a `KubeSchedulerConfiguration` (`kubescheduler.config.k8s.io/v1`) in YAML or JSON.
    ///
    /// # Errors
    /// Names the file, the field, and what is allowed there.
    pub fn read(file: &Path) -> Result<Self, FileError> {
        let read = configuration::read(file)?;
        let config = Self {
            profiles: read.profiles,
            percentage_of_nodes_to_score: read.percentage_of_nodes_to_score,
            first_backoff: read.first_backoff,
            longest_backoff: read.longest_backoff,
            ..Self::default()
        };
        // Said now, with the file, and not when it is too late.
        config
            .frameworks()
            .map_err(|problem| FileError::Field { file: file.to_owned(), problem })?;
        Ok(config)
    }

    /// Puts the plugins of all profiles together.
    fn frameworks(&self) -> Result<Frameworks, Problem> {
        let mut profiles = self.profiles.clone();
        for profile in &mut profiles {
            profile.percentage_of_nodes_to_score.get_or_insert(self.percentage_of_nodes_to_score);
        }
        Frameworks::new(&profiles, &self.registry)
    }
}

/// Why a scheduler could not start. Once running, it retries every failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no sense.
    #[error("invalid scheduler configuration: {0}")]
    Config(Problem),
}

/// Schedules pods until `shutdown` is cancelled, then waits for the bindings under way
/// (at most [`Config::drain`]) and returns.
///
/// # Errors
/// Only for a configuration without sense: API errors are retried with back-off.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    if config.parallel_binds == 0 {
        return Err(Error::Config(Problem::new("parallel_binds", "must be at least 1")));
    }
    if config.longest_backoff < config.first_backoff {
        let problem = "must not be shorter than first_backoff";
        return Err(Error::Config(Problem::new("longest_backoff", problem)));
    }
    let frameworks = config.frameworks().map_err(Error::Config)?;
    cycle::run(config, frameworks, client, shutdown).await;
    Ok(())
}
