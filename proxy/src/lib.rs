//! Service addresses, answered on every node in user space.
//!
//! For every port of every Service the proxy listens on the Service's own address and carries each
//! connection to one of the pods behind it. No packet is rewritten and no NAT rule exists: in
//! [`Mode::AnyIp`] the whole Service network is one `local` route on `lo`, which makes every Service
//! address an address of this host; in [`Mode::Loopback`] the addresses are in 127.0.0.0/8, which
//! answers without any configuration.
//!
//! ```text
//! watch (Services, EndpointSlices, the own Node) ──► plan (pure) ──► listeners: one per address and port
//!                                                                      accept ─► pick ─► connect ─► copy
//! ```
//!
//! What holds:
//! - A change of endpoints concerns new connections only; established ones are never touched.
//! - Only ready endpoints get connections; if there is none, terminating ones that still serve.
//! - If every ready endpoint has a hint for nodes or zones, those for this place get them all.
//! - A connection that reaches no endpoint is reset at once, as if refused; it never hangs.
//! - With the API server away, everything goes on with what was last known.
//!
//! Called by `wctl` on every node with a client of the identity `system:kube-proxy`.

use std::time::Duration;

use ipnet::IpNet;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

mod accept;
mod anyip;
mod copy;
mod listeners;
mod pick;
pub mod plan;
mod watch;

/// How Service addresses come to answer on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The Service network is one `local` route on `lo`, so that every Service address is an
    /// address of this host. Needs CAP_NET_ADMIN.
    AnyIp,
    /// Service addresses are in 127.0.0.0/8, which answers without any configuration.
    Loopback,
}

/// How an endpoint is picked for a connection. Session affinity goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// By chance.
    Random,
}

/// What can be set about a proxy.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node this proxy runs on; for `internalTrafficPolicy: Local` and hints in slices.
    pub node_name: String,
    /// Where Service addresses come from. Services with an address outside are left alone.
    pub service_cidr: IpNet,
    /// How they come to answer.
    pub mode: Mode,
    /// How endpoints are picked. Default: round robin.
    pub balance: Balance,
    /// How long to try one endpoint before the next. Default: 5 seconds.
    pub connect_timeout: Duration,
    /// How long established connections may go on after shutdown. Default: 5 seconds.
    pub drain: Duration,
}

impl Config {
    /// A configuration with defaults for everything that has one.
    #[must_use]
    pub fn new(node_name: impl Into<String>, service_cidr: IpNet, mode: Mode) -> Self {
        Self {
            node_name: node_name.into(),
            service_cidr,
            mode,
            balance: Balance::default(),
            connect_timeout: Duration::from_secs(5),
            drain: Duration::from_secs(5),
        }
    }
}

/// Why a proxy could not start. Once running, it retries every failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no sense.
    #[error("invalid proxy configuration: {field} {problem}")]
    Config {
        /// The field of [`Config`].
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The host does not let the Service network be routed.
    #[error("cannot make {cidr} local addresses of this host: {operation}")]
    Route {
        /// The Service network.
        cidr: IpNet,
        /// What was being done.
        operation: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

/// Proxies until `shutdown` is cancelled, then stops listening, lets established connections go on
/// for at most [`Config::drain`], takes the route away and returns.
///
/// # Errors
/// [`Error::Config`] for a configuration without sense, [`Error::Route`] if the host refuses the
/// route that [`Mode::AnyIp`] needs.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let loopback: IpNet = IpNet::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0).into(), 8);
    if config.mode == Mode::Loopback && !loopback.contains(&config.service_cidr) {
        let problem = "must be within 127.0.0.0/8 in loopback mode";
        return Err(Error::Config { field: "service_cidr", problem });
    }
    if config.connect_timeout.is_zero() {
        return Err(Error::Config { field: "connect_timeout", problem: "must not be zero" });
    }
    let route = match config.mode {
        Mode::AnyIp => Some(anyip::Route::add(config.service_cidr).await?),
        Mode::Loopback => None,
    };
    info!(cidr = %config.service_cidr, mode = ?config.mode, "proxy started");

    let connections = TaskTracker::new();
    // Cancelled when the drain is over; `shutdown` only ends the listening.
    let cut_off = CancellationToken::new();
    let listeners = listeners::Listeners::new(&config, connections.clone(), cut_off.clone());
    watch::follow(&config, client, listeners, &shutdown).await;

    connections.close();
    if tokio::time::timeout(config.drain, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "drain is over, closing what is left");
        cut_off.cancel();
        connections.wait().await;
    }
    if let Some(route) = route {
        route.remove().await;
    }
    info!("proxy stopped");
    Ok(())
}
