//! `wctl sim`: a control plane with hollow nodes, in this process.
//!
//! API server, scheduler and controllers are those of `wctl dev`. The nodes are hollow: they say to
//! the API server what the agents of nodes say, and run nothing. So thousands of nodes and a hundred
//! thousand pods fit into one process, for trying out controllers, schedulers and clients at that
//! size, and for measuring ours.
//!
//! | file | what |
//! |---|---|
//! | `node.rs`, `register.rs`, `heartbeat.rs` | the nodes: what they are, how they come, that they live |
//! | `failures.rs` | when they fall silent, from a seed |
//! | `plan.rs`, `seen.rs` | what a node does next with a pod |
//! | `pods.rs`, `status.rs`, `addresses.rs` | doing it, for the pods of all nodes |
//! | `write.rs` | requests with the identity of a node |
//! | `ready.rs` | when all nodes take pods |
//!
//! A hollow node's pods start after a delay, have addresses that nobody answers on, end when the
//! annotations of [`plan`] say so, and go when they are deleted. Hollow nodes write no events, run no
//! probes and pull no images.

mod addresses;
mod failures;
mod heartbeat;
mod node;
mod plan;
mod pods;
mod ready;
mod register;
mod seen;
mod status;
mod write;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use apiserver::Server;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli;
use crate::dev::components::{self, Components};
use crate::dev::home::Home;
use crate::dev::stop::Signals;
use crate::output::line;
use failures::Failures;
pub(crate) use node::MOST_NODES;
use plan::Delays;
use pods::Pods;
use register::Registration;
use write::Nodes;

/// How long requests of nodes may take to finish when the simulation stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the simulation until SIGINT or SIGTERM.
pub(crate) async fn run(arguments: cli::Sim, data_dir: PathBuf) -> Result<()> {
    let signals = Signals::listen()?;
    crate::dev::raise_descriptor_limit();
    let home = Home::open(data_dir, None).await?;
    let authority = home.authority();
    let server = Server::bind(apiserver::Config {
        listen: arguments.listen,
        service_accounts: true,
        ..apiserver::Config::new(home.store().clone(), authority.clone())
    })
    .await
    .context("start the API server")?;
    let address = server.local_addr();
    let kubeconfig = home.write_kubeconfig(address)?;
    let client = |component: &str, user: &str, groups: &[&str]| {
        components::local(&server, component, user, groups)
    };
    let witness = client("hollow-nodes", "system:hollow-nodes", &["system:masters"]);
    let nodes = Nodes::new(&server, arguments.nodes);

    let mut components = Components::default();
    let scheduler = client("kube-scheduler", "system:kube-scheduler", &[]);
    components.scheduler(scheduler::Config::default(), scheduler);
    let controllers = client("kube-controller-manager", "system:kube-controller-manager", &[]);
    components.controllers(
        controllers::Config {
            node_grace: arguments.node_grace,
            ..components::controllers_config(&authority)
        },
        controllers,
    );
    let stop_server = CancellationToken::new();
    components.start_server(server, stop_server.clone());

    let tracker = TaskTracker::new();
    let simulated = async {
        let registration = Registration {
            zones: arguments.zones,
            grace: arguments.node_grace,
            version: components::version(),
        };
        register::all(&nodes, arguments.nodes, &registration).await?;
        ready::nodes(witness.clone(), arguments.nodes).await?;
        line(format!("API server  https://{address}"))?;
        line(format!("kubeconfig  {}", kubeconfig.display()))?;
        line("ready")?;
        live(&arguments, &nodes, witness, &tracker).await;
        std::future::pending().await
    };
    let outcome = components.until_stopped(&signals, simulated).await;
    tracker.close();
    if tokio::time::timeout(DRAIN, tracker.wait()).await.is_err() {
        tracing::warn!(requests = tracker.len(), "requests of nodes were still under way");
    }
    let stopped = components.stop(stop_server).await;
    home.close().await;
    outcome.and(stopped)
}

/// What hollow nodes do all the time. Never ends; requests under way are in `tracker`.
async fn live(arguments: &cli::Sim, nodes: &Nodes, witness: kube::Client, tracker: &TaskTracker) {
    let failures = Failures {
        chance: arguments.node_failures,
        seed: arguments.seed,
        grace: arguments.node_grace,
    };
    let delays = Delays { start: arguments.pod_start_delay, stop: arguments.pod_stop_delay };
    let begin = Instant::now();
    tokio::join!(
        heartbeat::run(nodes, arguments.nodes, failures, begin, tracker),
        Pods::run(nodes, witness, arguments.nodes, delays, failures, begin, tracker),
    );
}
