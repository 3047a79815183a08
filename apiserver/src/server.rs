//! The server's life: bind, answer, drain.
//!
//! [`Server::bind`] does everything that can fail (certificates, listener, filling the caches,
//! the objects every cluster has) so that a server that exists can answer. [`Server::local`] gives
//! in-process clients the same handlers without a socket. [`Server::run`] accepts connections until
//! it is told to stop, then: readiness goes, watches end, open requests have [`DRAIN`] to finish,
//! and what is left is cut.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use store::Store;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::admission::Views;
use crate::allocation::{Allocators, repair};
use crate::authn::Issuer;
use crate::authz::rbac::Policies;
use crate::bootstrap::{self, BootstrapError};
use crate::cacher::Feed;
use crate::context::Context;
use crate::crd::{Controller, Registry};
use crate::expiry;
use crate::flow::Flow;
use crate::handlers::health::StoreProbe;
use crate::handlers::metrics::Readings;
use crate::handlers::openapi::Documents;
use crate::handlers::relay::Relay;
use crate::keep;
use crate::pki::{self, Authority, PkiError};
use crate::user::User;

mod accept;
pub(crate) mod body;
mod gzip;
mod indent;
pub(crate) mod limits;
pub(crate) mod list_body;
pub(crate) mod local;
pub(crate) mod watch_body;

use limits::Limits;
use local::LocalService;

/// How long open requests may take to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// What a server needs.
#[derive(Debug)]
pub struct Config {
    /// Where objects are kept.
    pub store: Store,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Issues the serving and kubelet client certificates, verifies client certificates.
    pub authority: Arc<Authority>,
    /// Host names and addresses of this server, besides the usual ones, for its certificate.
    pub names: Vec<String>,
    /// The address under which pods reach this server, as the endpoint of the `kubernetes`
    /// Service. `None`: the listen address, if it is a concrete one.
    pub advertise: Option<IpAddr>,
    /// From which Services get their addresses. The first one is the `kubernetes` Service's.
    pub service_cidr: Ipv4Net,
    /// From which node ports are taken.
    pub node_ports: RangeInclusive<u16>,
    /// The DNS domain of the cluster.
    pub cluster_domain: String,
    /// What connections and requests may cost.
    pub limits: Limits,
    /// Whether pods run as ServiceAccounts that exist, and get their tokens (the admission plugin
    /// ServiceAccount). Only where controllers make the accounts of namespaces.
    pub service_accounts: bool,
    /// How often the claims on Service addresses and node ports are compared with the Services.
    pub repair_every: Duration,
}

impl Config {
    /// The defaults of Kubernetes: Services in 10.96.0.0/16, node ports 30000-32767, domain
    /// `cluster.local`, repairs every three minutes, no admission of ServiceAccounts; listening on 127.0.0.1, on a port of the
    /// kernel's choice.
    pub fn new(store: Store, authority: Arc<Authority>) -> Config {
        Config {
            store,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            authority,
            names: Vec::new(),
            advertise: None,
            service_cidr: Ipv4Net::new_assert([10, 96, 0, 0].into(), 16),
            node_ports: 30000..=32767,
            cluster_domain: "cluster.local".to_owned(),
            limits: Limits::default(),
            service_accounts: false,
            repair_every: Duration::from_secs(180),
        }
    }
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificates could not be made.
    #[error("cannot prepare certificates")]
    Pki {
        /// Why.
        #[source]
        source: PkiError,
    },
    /// The caches or the first objects could not be made.
    #[error("cannot prepare the API's contents")]
    Bootstrap {
        /// Why.
        #[source]
        source: BootstrapError,
    },
}

/// Why a running server ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Requests were still open when the time for draining was over.
    #[error("{tasks} tasks were still running {after:?} after the server was told to stop")]
    Stragglers {
        /// How many tasks.
        tasks: usize,
        /// How long they were given.
        after: Duration,
    },
}

/// An API server that listens and whose caches are filled.
pub struct Server {
    context: Arc<Context>,
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
    limits: Limits,
    tracker: TaskTracker,
    /// Stops the background tasks if the server is dropped without having run.
    _stop: DropGuard,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens, fills the caches from the store, and makes sure that the objects every cluster has
    /// are there. When this returns, [`Server::local`] answers; connections are answered by
    /// [`Server::run`].
    ///
    /// # Errors
    /// [`BindError`]: the address, the certificates, or the store.
    pub async fn bind(config: Config) -> Result<Server, BindError> {
        let listen = |source| BindError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let pki = |source| BindError::Pki { source };
        let first = bootstrap::first_service_address(config.service_cidr);
        let mut names = vec![first.to_string(), address.ip().to_string()];
        names.extend(config.advertise.map(|address| address.to_string()));
        names.extend(config.names);
        let names = pki::serving_names(&config.cluster_domain, &names);
        let serving = config.authority.server("kube-apiserver", &names).map_err(pki)?;
        let ca = config.authority.ca_pem();
        let tls = pki::server_config(ca, &serving).map_err(pki)?;
        let client = config
            .authority
            .client(pki::KUBELET_CLIENT_USER, Some(pki::MASTERS_GROUP))
            .map_err(pki)?;
        let kubelets = Relay::to_kubelets(pki::client_config(ca, &client).map_err(pki)?);

        let stopping = CancellationToken::new();
        // From here on, failing ends what has been started.
        let stop = stopping.clone().drop_guard();
        let tracker = TaskTracker::new();
        let table = api::resources::table();
        let feed = Feed::start(config.store.clone(), table, &tracker, stopping.clone());
        let (caches, freshness, feed) = feed
            .await
            .map_err(|source| BindError::Bootstrap { source: BootstrapError::Feed { source } })?;
        let addresses = caches.iter().find(|cache| cache.resource().plural == "ipaddresses");
        let addresses = addresses.expect("IPAddresses are a row of the built-in table").prefix();
        let (store, ports) = (config.store.clone(), config.node_ports.clone());
        let allocators = Allocators::new(store, addresses, config.service_cidr, ports);
        let advertise = config.advertise.unwrap_or(address.ip());
        let advertise = SocketAddr::new(advertise, address.port());
        let issuer = Issuer {
            key: config.authority.signing_key().clone(),
            url: format!("https://kubernetes.default.svc.{}", config.cluster_domain),
            jwks_uri: format!("https://{advertise}/openid/v1/jwks"),
        };
        let context = Arc::new(Context {
            store: config.store,
            admission: Views::new(&caches),
            flow: Flow::new(config.limits.in_flight, &caches),
            policies: Policies::new(&caches),
            caches,
            custom: Registry::new(),
            freshness,
            allocators,
            store_probe: StoreProbe::default(),
            openapi: Documents::default(),
            kubelets,
            metrics: Readings::default(),
            telemetry: Arc::default(),
            pods: Relay::to_pods(pki::unverified_config().map_err(pki)?),
            tracker: tracker.clone(),
            service_accounts: config.service_accounts,
            issuer,
            stopping: stopping.clone(),
        });
        bootstrap::run(&context, config.service_cidr, advertise)
            .await
            .map_err(|source| BindError::Bootstrap { source })?;
        let definitions = Controller::start(context.clone(), feed).await;
        tracker.spawn(definitions.run(stopping.clone()));
        tracker.spawn(keep::run(context.clone(), stopping.clone()));
        tracker.spawn(expiry::run(context.clone(), stopping.clone()));
        tracker.spawn(repair::run(context.clone(), config.repair_every, stopping));
        Ok(Server {
            context,
            listener,
            address,
            tls: TlsAcceptor::from(Arc::new(tls)),
            limits: config.limits,
            tracker,
            _stop: stop,
        })
    }

    /// Where the server listens, with the port that the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// An in-process client's way in, as `user`: a tower service for `kube::Client::new`.
    pub fn local(&self, user: User) -> LocalService {
        LocalService::new(self.context.clone(), user)
    }

    /// Accepts and answers until `shutdown`, then drains.
    ///
    /// # Errors
    /// [`RunError::Stragglers`] if requests outlast the drain; they are cut off.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        tracing::info!(address = %self.address, "serving the API");
        let cut = CancellationToken::new();
        let accept = accept::Acceptor {
            context: self.context.clone(),
            tls: self.tls,
            limits: self.limits,
            tracker: self.tracker.clone(),
            cut: cut.clone(),
        };
        accept.run(self.listener, shutdown).await;
        // Ends watches and the feed; connections finish what they are answering.
        self.context.stopping.cancel();
        self.tracker.close();
        if tokio::time::timeout(DRAIN, self.tracker.wait()).await.is_err() {
            let tasks = self.tracker.len();
            cut.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(1), self.tracker.wait()).await;
            return Err(RunError::Stragglers { tasks, after: DRAIN });
        }
        tracing::info!("the API has stopped");
        Ok(())
    }
}
