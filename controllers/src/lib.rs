//! The control loops that make the cluster what its objects say.
//!
//! Each controller has a file or folder of its own with the same parts: a pure plan (objects and a
//! clock in, decisions out) and a thin reconcile that carries it out through the public API.
//! They share three things:
//!
//! ```text
//! informer ── one per kind: lists, watches, keeps the objects, tells handlers of each change
//!    │  keys
//! queue ───── per controller: a key once, never twice at a time, back-off with jitter
//!    │
//! reconcile ─ workers: key in, state re-read from the informers, requests with deadlines out
//! ```
//!
//! A reconcile gets a key and nothing else, and can be run again at any time: a restart, a missed
//! event and a conflict are all answered by running it again.
//!
//! | controller | keeps true |
//! |---|---|
//! | [`replication`] | a ReplicationController or ReplicaSet has as many pods as it asks for |
//! | [`deployment`] | a Deployment's template is what runs, and the way there loses no service |
//! | [`job`] | a Job's pods run until enough have succeeded |
//! | [`cron_job`] | there is a Job whenever a CronJob's schedule says so |
//! | [`ttl_after_finished`] | finished Jobs go when their time is over |
//! | [`autoscaling`] | there are as many pods as their metrics ask for |
//! | [`disruption`] | a PodDisruptionBudget says how many pods may be evicted now |
//! | [`stateful_set`] | a StatefulSet's pods come, change and go in order, and keep names and volumes |
//! | [`daemon_set`] | every node that fits has a pod of a DaemonSet |
//! | [`endpoint_slice`] | EndpointSlices and Endpoints say which pods are behind a Service |
//! | [`resource_quota`] | a ResourceQuota says what the objects of its namespace cost |
//! | [`endpoint_slice_mirroring`] | Endpoints that people write have EndpointSlices as well |
//! | [`namespace`] | a deleted namespace is emptied and goes |
//! | [`garbage`] | objects go with their owners |
//! | [`node_lifecycle`] | a silent node is Unknown, tainted, and loses its pods |
//! | [`node_ttl`] | nodes know how long they may keep Secrets and ConfigMaps |
//! | [`node_ipam`] | nodes have ranges of pod addresses |
//! | [`certificates`] | certificate requests are approved, signed and cleared away |
//! | [`token_cleaner`] | bootstrap tokens go when their time is over |
//! | [`bootstrap_signer`] | what nodes that join read first is signed with each bootstrap token |
//! | [`service_account`] | every namespace has the account `default`; Secrets of tokens have one |
//! | [`root_ca`] | every namespace has the cluster's CA certificate |
//! | [`cluster_role_aggregation`] | `admin`, `edit` and `view` have the rules of the roles they collect |
//! | [`volume_binding`] | claims have volumes, and volumes are free when their claim is gone |
//! | [`local_path`] | claims of the default class get a folder of their node |
//! | [`ephemeral_volume`] | pods with `ephemeral` volumes have the claims for them |
//! | [`resource_claim`] | pods have the ResourceClaims of their templates, and devices nobody uses are free |
//! | [`protection`] | deleted claims, volumes and attributes classes go when nobody uses them |
//! | [`pod_gc`] | pods nobody else will remove are removed |
//!
//! Called by `wctl` with a client of the identity `system:kube-controller-manager`.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use client::Clock;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use k8s_openapi::api::apps::v1::{
    ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
    ReplicationController, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Client;
use kube::api::Resource;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

mod autoscaling;
mod bootstrap_signer;
mod certificates;
mod cluster_role_aggregation;
mod cron_job;
mod daemon_set;
mod deployment;
mod disrupted;
mod disruption;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod ephemeral_volume;
mod events;
mod garbage;
mod informer;
mod job;
mod local_path;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod node_ttl;
mod pod_gc;
mod protection;
mod queue;
mod reconcile;
mod replication;
mod resource_claim;
mod resource_quota;
mod root_ca;
mod scale_target;
mod service_account;
mod start;
mod stateful_set;
mod token_cleaner;
mod ttl_after_finished;
mod volume_binding;
mod workload;
mod written;

pub use certificates::Signing;
use cluster_role_aggregation::ClusterRoleAggregation;
use daemon_set::DaemonSets;
use deployment::Deployments;
use endpoint_slice::{EndpointSlices, Sources};
use events::Recorder;
use garbage::Garbage;
use informer::Informer;
pub use local_path::{LocalPath, default_storage_class};
use namespace::Namespaces;
pub use node_ipam::NodeRanges;
pub use node_lifecycle::EvictionRates;
use node_lifecycle::NodeLifecycle;
use pod_gc::PodGc;
use protection::{ClaimProtection, VolumeProtection};
use reconcile::{Stop, serve};
use replication::{Replicated, Replication};
use root_ca::RootCa;
use service_account::ServiceAccounts;
use service_account::tokens::{self, Tokens};
use start::Start;
use stateful_set::StatefulSets;
use workload::owned::OwnedPods;

/// What can be set about the controllers.
#[derive(Debug, Clone)]
pub struct Config {
    /// PEM of the cluster's certificate authority, published as ConfigMap `kube-root-ca.crt` in
    /// every namespace. None: not published.
    pub root_ca: Option<String>,
    /// How long a node may be silent (no Lease renewal, no heartbeat) before it counts as gone.
    /// Default: 40 seconds, as in Kubernetes.
    pub node_grace: Duration,
    /// How fast nodes that are not ready lose their pods. Default: as in Kubernetes.
    pub eviction_rates: EvictionRates,
    /// For how long a node that pods are bound to must have been missing until they are removed.
    /// Default: 40 seconds, as in Kubernetes.
    pub node_quarantine: Duration,
    /// Finished pods beyond this number are deleted, oldest first; 0 keeps all. Default: 12,500, as
    /// in Kubernetes.
    pub finished_pods: usize,
    /// Where volumes of [`default_storage_class`] are kept. None, the default: there is no built-in
    /// provisioner.
    pub local_path: Option<LocalPath>,
    /// With what certificates are signed. None, the default: requests are left to others.
    pub signing: Option<Signing>,
    /// From which nodes get their ranges of pod addresses. None, the default: they bring them along.
    pub node_ranges: Option<NodeRanges>,
    /// Workers per controller. Default: 4.
    pub workers: usize,
    /// The time of day. Default: the host's.
    pub clock: Clock,
    /// How long to wait for reconciles under way when told to stop. Default: 5 seconds.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root_ca: None,
            node_grace: Duration::from_secs(40),
            eviction_rates: EvictionRates::default(),
            node_quarantine: Duration::from_secs(40),
            finished_pods: 12_500,
            local_path: None,
            signing: None,
            node_ranges: None,
            workers: 4,
            clock: Clock::Host,
            drain: Duration::from_secs(5),
        }
    }
}

/// Why the controllers could not start. Once running, they retry every failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no sense.
    #[error("invalid controllers configuration: {field} {problem}")]
    Config {
        /// The field of [`Config`].
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Runs every controller until `shutdown` is cancelled, then waits for the reconciles under way (at
/// most [`Config::drain`]) and returns.
///
/// # Errors
/// Only for a configuration without sense: API errors are retried with back-off.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    if config.workers == 0 {
        return Err(Error::Config { field: "workers", problem: "must be at least 1" });
    }
    if config.node_grace.is_zero() {
        return Err(Error::Config { field: "node_grace", problem: "must not be zero" });
    }
    if let Some(ranges) = &config.node_ranges
        && !(ranges.cluster.prefix_len()..=30).contains(&ranges.node_prefix)
    {
        let problem = "must have a prefix of nodes from the cluster's to 30";
        return Err(Error::Config { field: "node_ranges", problem });
    }
    let authority = match config.signing.as_ref().map(certificates::Authority::new).transpose() {
        Ok(authority) => authority.map(Arc::new),
        Err(problem) => return Err(Error::Config { field: "signing", problem }),
    };
    let tracker = TaskTracker::new();
    let stop = Stop { asked: shutdown.clone(), cut_off: CancellationToken::new() };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = start(&config, authority, &client, &tracker, &stop) => shutdown.cancelled().await,
    }
    tracker.close();
    if tokio::time::timeout(config.drain, tracker.wait()).await.is_err() {
        warn!(tasks = tracker.len(), "drain is over, giving up what is under way");
        stop.cut_off.cancel();
        // What is left is a last event being written; it has a deadline of its own.
        tokio::time::timeout(config.drain, tracker.wait()).await.ok();
    }
    info!("controllers stopped");
    Ok(())
}

/// Builds the informers and controllers, waits for the first lists and starts the workers.
async fn start(
    config: &Config,
    authority: Option<Arc<certificates::Authority>>,
    client: &Client,
    tracker: &TaskTracker,
    stop: &Stop,
) {
    let (shutdown, clock) = (&stop.asked, config.clock);
    let all = watcher::Config::default;
    let mut pods: Informer<Pod> = Informer::new(client.clone(), all());
    let mut nodes: Informer<Node> = Informer::new(client.clone(), all());
    let mut namespaces: Informer<Namespace> = Informer::new(client.clone(), all());
    let mut services: Informer<Service> = Informer::new(client.clone(), all());
    let mut slices: Informer<EndpointSlice> = Informer::new(client.clone(), all());
    let mut endpoints: Informer<Endpoints> = Informer::new(client.clone(), all());
    let mut controllers: Informer<ReplicationController> = Informer::new(client.clone(), all());
    let mut deployments: Informer<Deployment> = Informer::new(client.clone(), all());
    let mut daemon_sets: Informer<DaemonSet> = Informer::new(client.clone(), all());
    let mut stateful_sets: Informer<StatefulSet> = Informer::new(client.clone(), all());
    let mut revisions: Informer<ControllerRevision> = Informer::new(client.clone(), all());
    let mut replica_sets: Informer<ReplicaSet> = Informer::new(client.clone(), all());
    let mut roles: Informer<ClusterRole> = Informer::new(client.clone(), all());
    let mut claims: Informer<PersistentVolumeClaim> = Informer::new(client.clone(), all());
    let mut volumes: Informer<PersistentVolume> = Informer::new(client.clone(), all());
    // Only what is looked at is watched.
    let node_leases = all().fields(&format!("metadata.namespace={}", node_lifecycle::LEASES));
    let mut leases: Informer<Lease> = Informer::new(client.clone(), node_leases);
    let mut accounts: Informer<ServiceAccount> = Informer::new(client.clone(), all());
    let token_secrets = all().fields(&format!("type={}", tokens::TYPE));
    let mut secrets: Informer<Secret> = Informer::new(client.clone(), token_secrets);
    let root_cas = all().fields(&format!("metadata.name={}", root_ca::CONFIG_MAP));
    let mut config_maps: Informer<ConfigMap> = Informer::new(client.clone(), root_cas);

    let recorder = Recorder::start(client.clone(), clock, tracker);
    let owned = OwnedPods::new(&mut pods);
    let replication =
        Replication::new(client.clone(), clock, &mut controllers, &mut pods, &owned, &recorder);
    let sets =
        Replication::new(client.clone(), clock, &mut replica_sets, &mut pods, &owned, &recorder);
    let rollouts = Deployments::new(
        client.clone(),
        clock,
        &mut deployments,
        &mut replica_sets,
        &mut pods,
        &owned,
        &recorder,
    );
    let stateful = StatefulSets::new(
        client.clone(),
        clock,
        stateful_set::Sources {
            sets: &mut stateful_sets,
            pods: &mut pods,
            owned: &owned,
            claims: &mut claims,
            revisions: &mut revisions,
        },
        &recorder,
    );
    let daemons = DaemonSets::new(
        client.clone(),
        clock,
        daemon_set::Sources {
            sets: &mut daemon_sets,
            pods: &mut pods,
            owned: &owned,
            nodes: &mut nodes,
            revisions: &mut revisions,
        },
        &recorder,
    );
    let endpoint_slices = EndpointSlices::new(
        client.clone(),
        Sources {
            services: &mut services,
            pods: &mut pods,
            nodes: &mut nodes,
            slices: &mut slices,
            endpoints: &mut endpoints,
        },
        &recorder,
    );
    let namespace_deletion = Namespaces::new(client.clone(), clock, &mut namespaces);
    let lifecycle = NodeLifecycle::new(
        client.clone(),
        clock,
        (config.node_grace, config.eviction_rates),
        &mut nodes,
        &mut leases,
        &mut pods,
        &recorder,
    );
    let limits = (config.finished_pods, config.node_quarantine);
    let pod_gc = PodGc::new(client.clone(), clock, limits, &mut pods, &mut nodes);
    let service_accounts = ServiceAccounts::new(client.clone(), &mut namespaces, &mut accounts);
    let ca = config.root_ca.as_deref();
    let account_tokens = Tokens::new(client.clone(), ca, &mut secrets, &mut accounts);
    let root_ca = config
        .root_ca
        .clone()
        .map(|pem| RootCa::new(client.clone(), pem, &mut namespaces, &mut config_maps));
    let aggregation = ClusterRoleAggregation::new(client.clone(), &mut roles);
    let claim_protection = ClaimProtection::new(client.clone(), &mut claims, &mut pods);
    let volume_protection = VolumeProtection::new(client.clone(), &mut volumes);
    let mut garbage = Garbage::new(client.clone(), &recorder);
    let mut more = Start::new(client, clock, &recorder, tracker, stop, config.workers);
    more.batch(&mut pods);
    more.quotas(&mut garbage);
    more.nodes_and_tokens(&mut nodes);
    more.joining(authority, config.node_ranges, &mut nodes);
    more.mirroring(&mut services, &mut endpoints, &mut slices);
    more.autoscaling(&pods);
    more.devices(&mut pods);
    more.storage(config.local_path.as_ref(), &mut claims, &mut volumes, &mut pods, &nodes);
    more.policy(&mut pods, &controllers, &replica_sets, &deployments, &stateful_sets);

    // Nothing is decided on half a list.
    let mut lists = Vec::new();
    begin(pods, tracker, shutdown, &mut lists);
    begin(nodes, tracker, shutdown, &mut lists);
    begin(namespaces, tracker, shutdown, &mut lists);
    begin(services, tracker, shutdown, &mut lists);
    begin(slices, tracker, shutdown, &mut lists);
    begin(endpoints, tracker, shutdown, &mut lists);
    begin(controllers, tracker, shutdown, &mut lists);
    begin(replica_sets, tracker, shutdown, &mut lists);
    begin(deployments, tracker, shutdown, &mut lists);
    begin(daemon_sets, tracker, shutdown, &mut lists);
    begin(stateful_sets, tracker, shutdown, &mut lists);
    begin(revisions, tracker, shutdown, &mut lists);
    begin(leases, tracker, shutdown, &mut lists);
    begin(accounts, tracker, shutdown, &mut lists);
    begin(secrets, tracker, shutdown, &mut lists);
    begin(roles, tracker, shutdown, &mut lists);
    begin(claims, tracker, shutdown, &mut lists);
    begin(volumes, tracker, shutdown, &mut lists);
    begin(config_maps, tracker, shutdown, &mut lists);
    join_all(lists).await;
    more.listed().await;
    garbage.start(tracker, shutdown).await;
    info!("controllers started");
    more.finish();

    let queue = replication.queue().clone();
    let name = ReplicationController::CONTROLLER;
    serve(name, &queue, config.workers, tracker, stop, move |key| {
        replication.clone().reconcile(key)
    });
    let queue = sets.queue().clone();
    let name = ReplicaSet::CONTROLLER;
    serve(name, &queue, config.workers, tracker, stop, move |key| sets.clone().reconcile(key));
    let queue = rollouts.queue().clone();
    serve(deployment::NAME, &queue, config.workers, tracker, stop, move |key| {
        rollouts.clone().reconcile(key)
    });
    let queue = stateful.queue().clone();
    serve(stateful_set::NAME, &queue, config.workers, tracker, stop, move |key| {
        stateful.clone().reconcile(key)
    });
    let queue = daemons.queue().clone();
    serve(daemon_set::NAME, &queue, config.workers, tracker, stop, move |key| {
        daemons.clone().reconcile(key)
    });
    let queue = endpoint_slices.queue().clone();
    serve(endpoint_slice::NAME, &queue, config.workers, tracker, stop, move |key| {
        endpoint_slices.clone().reconcile(key)
    });
    let queue = namespace_deletion.queue().clone();
    serve(namespace::NAME, &queue, config.workers, tracker, stop, move |key| {
        namespace_deletion.clone().reconcile(key)
    });
    let queue = garbage.queue().clone();
    serve(garbage::NAME, &queue, config.workers, tracker, stop, move |work| {
        garbage.clone().reconcile(work)
    });
    let queue = lifecycle.queue().clone();
    serve(node_lifecycle::NAME, &queue, config.workers, tracker, stop, move |key| {
        lifecycle.clone().reconcile(key)
    });
    let queue = account_tokens.queue().clone();
    serve(tokens::NAME, &queue, 1, tracker, stop, move |key| account_tokens.clone().reconcile(key));
    let queue = service_accounts.queue().clone();
    serve(service_account::NAME, &queue, 1, tracker, stop, move |key| {
        service_accounts.clone().reconcile(key)
    });
    if let Some(root_ca) = root_ca {
        let queue = root_ca.queue().clone();
        serve(root_ca::NAME, &queue, 1, tracker, stop, move |key| root_ca.clone().reconcile(key));
    }
    let queue = aggregation.queue().clone();
    serve(cluster_role_aggregation::NAME, &queue, 1, tracker, stop, move |key| {
        aggregation.clone().reconcile(key)
    });
    let queue = claim_protection.queue().clone();
    serve(protection::CLAIMS, &queue, 1, tracker, stop, move |key| {
        claim_protection.clone().reconcile(key)
    });
    let queue = volume_protection.queue().clone();
    serve(protection::VOLUMES, &queue, 1, tracker, stop, move |key| {
        volume_protection.clone().reconcile(key)
    });
    let queue = pod_gc.queue().clone();
    serve(pod_gc::NAME, &queue, 1, tracker, stop, move |key| pod_gc.clone().reconcile(key));
}

/// Starts an informer and notes what to wait for.
fn begin<K>(
    informer: Informer<K>,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
    lists: &mut Vec<BoxFuture<'static, ()>>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut cache = informer.cache();
    tracker.spawn(informer.run(shutdown.clone()));
    lists.push(async move { cache.listed().await }.boxed());
}
