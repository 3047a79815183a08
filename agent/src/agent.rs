//! From start to shutdown: what the agent brings up, in order, and what it lets go of.
//!
//! 1. The runtime's sandboxes are taken over as they are: addresses first, so that none is given twice.
//! 2. The bridge is made if the network needs one; the kubelet endpoint is bound.
//! 3. Background: events are written, Services mirrored, runtime events handed to the workers they are for.
//! 4. Pods bound to this node are watched; each gets a worker. After the first complete list, sandboxes
//!    whose pod is not in it are removed.
//! 5. The Node registers: only now may pods come. Routes to the pods of other nodes are kept ([`routes`]).
//!
//! Shutdown stops all of it and no container: those belong to their shims.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::runtime::reflector;
use kube::runtime::{WatchStreamExt as _, watcher};
use parking_lot::Mutex;
use runtime::Runtime;
use runtime::spec::SandboxStatus;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::allocation::Ledger;
use crate::config::Config;
use crate::context::Context;
use crate::error::Error;
use crate::event::Recorder;
use crate::network::Addresses;
use crate::node::{self, Facts, Report};
use crate::pod::worker::{self, Desired, Handle};
use crate::routes;
use crate::server::Server;
use crate::sources::Sources;
use crate::stats::Summaries;
use crate::tokens::Tokens;
use crate::translate::resolv::Resolv;
use crate::translate::resources::Requests;

/// How long shutdown waits for tasks before it names them and goes.
const DRAIN: Duration = Duration::from_secs(10);
/// Workers that may report their end at the same time.
const ENDED: usize = 64;

/// Workers by pod uid.
pub(crate) type Workers = Arc<Mutex<HashMap<String, Handle>>>;

/// Runs the node agent until `shutdown`, then lets go of everything but the containers.
///
/// # Errors
///
/// Whatever keeps the node from coming up: a data directory that cannot be made, a bridge the kernel
/// refuses, an address that cannot be bound, unusable TLS material. Trouble with the API server is no
/// error: it is waited out.
pub async fn run(
    config: Config,
    runtime: Runtime,
    client: kube::Client,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let tracker = TaskTracker::new();
    let stop = shutdown.child_token();
    let _stop = stop.clone().drop_guard();
    // Volumes hold Secrets: nobody but us looks into them from the host.
    for (dir, mode) in [("pods", 0o700), ("logs", 0o755)] {
        let path = config.data_dir.join(dir);
        let made = std::fs::create_dir_all(&path);
        made.and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)))
            .map_err(|source| Error::CreateDir { path, source })?;
    }
    let addresses = Addresses::new(config.network.clone());
    let sandboxes = runtime.sandboxes().await;
    addresses.adopt(&sandboxes);
    tracing::info!(sandboxes = sandboxes.len(), "sandboxes adopted");
    if let Some(bridge) = addresses.bridge() {
        runtime
            .ensure_bridge(&bridge)
            .await
            .map_err(|source| Error::Bridge { name: bridge.name.clone(), source })?;
    }
    let server = Server::bind(config.listen, config.tls.clone()).await?;
    let report = Report {
        facts: Facts::read(&config.data_dir),
        kubelet_port: server.port(),
        native_why_not: runtime.host().native_why_not(),
    };
    let (events, write_events) =
        Recorder::new(client.clone(), config.node_name.clone(), stop.clone());
    tracker.spawn(write_events);
    let (services, mirror) = reflector::store::<Service>();
    tracker.spawn(mirror_services(client.clone(), mirror, stop.clone()));
    let context = Arc::new(Context {
        sources: Sources::new(client.clone(), tracker.clone(), stop.clone()),
        tokens: Tokens::new(client.clone()),
        host_resolv: Resolv::parse(
            &std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        ),
        host_hosts: std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
        ledger: Ledger::new(Requests {
            cpu_millis: report.cpu_millis(&config),
            memory_bytes: report.memory_bytes(&config),
        }),
        config,
        runtime,
        client: client.clone(),
        events: events.clone(),
        services,
        addresses,
        report: report.clone(),
        summaries: Summaries::default(),
        tracker: tracker.clone(),
        shutdown: stop.clone(),
    });
    let workers = Workers::default();
    tracker.spawn(ring_bells(Arc::clone(&context), Arc::clone(&workers)));
    tracker.spawn(server.run(Arc::clone(&context), Arc::clone(&workers)));
    tracker.spawn({
        let (context, stop) = (Arc::clone(&context), stop.clone());
        async move { node::run(&context.config, report, client, events, stop).await }
    });
    if let (true, Some(bridge)) = (context.config.routes, context.addresses.bridge()) {
        let (client, own) = (context.client.clone(), context.config.node_name.clone());
        let stop = stop.clone();
        tracker.spawn(async move { routes::run(client, own, bridge.name, stop).await });
    }
    watch_pods(&context, &workers, sandboxes).await;

    stop.cancel();
    // The handles' senders go first: a worker whose handle is gone ends by itself.
    workers.lock().clear();
    tracker.close();
    if tokio::time::timeout(DRAIN, tracker.wait()).await.is_err() {
        tracing::warn!(tasks = tracker.len(), "tasks of the node agent did not end in time");
    }
    Ok(())
}

async fn mirror_services(
    client: kube::Client,
    mirror: reflector::store::Writer<Service>,
    stop: CancellationToken,
) {
    let changes = watcher(Api::<Service>::all(client), watcher::Config::default())
        .default_backoff()
        .reflect(mirror);
    pin_mut!(changes);
    loop {
        tokio::select! {
            next = changes.next() => match next {
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::debug!(%error, "watch of Services failed; trying again"),
                None => return,
            },
            () = stop.cancelled() => return,
        }
    }
}

/// Wakes the worker whose sandbox changed; all of them if events were lost.
async fn ring_bells(context: Arc<Context>, workers: Workers) {
    let mut events = context.runtime.events();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = context.shutdown.cancelled() => return,
        };
        match event {
            Ok(event) => {
                if let Some(handle) = workers.lock().get(&event.sandbox) {
                    handle.bell.notify_one();
                }
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "runtime events lost; looking at all pods");
                for handle in workers.lock().values() {
                    handle.bell.notify_one();
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Follows the pods bound to this node until shutdown.
async fn watch_pods(context: &Arc<Context>, workers: &Workers, sandboxes: Vec<SandboxStatus>) {
    let fields = format!("spec.nodeName={}", context.config.node_name);
    let changes = watcher(
        Api::<Pod>::all(context.client.clone()),
        watcher::Config::default().fields(&fields),
    )
    .default_backoff();
    pin_mut!(changes);
    let (done, mut ended) = mpsc::channel(ENDED);
    let mut listed: HashSet<String> = HashSet::new();
    let mut orphans = Some(sandboxes);
    let set = |pod: Pod, gone: bool| desire(context, workers, Arc::new(pod), gone, &done);
    loop {
        tokio::select! {
            next = changes.next() => match next {
                Some(Ok(watcher::Event::Init)) => listed.clear(),
                Some(Ok(watcher::Event::InitApply(pod))) => {
                    listed.extend(pod.metadata.uid.clone());
                    set(pod, false);
                }
                Some(Ok(watcher::Event::InitDone)) => {
                    drop_unlisted(workers, &listed);
                    for sandbox in orphans.take().into_iter().flatten().filter(|sandbox| !listed.contains(&sandbox.spec.id)) {
                        tracing::info!(sandbox = sandbox.spec.id, "pod of this sandbox is gone; removing it");
                        set(pod_of(&sandbox), true);
                    }
                }
                Some(Ok(watcher::Event::Apply(pod))) => set(pod, false),
                Some(Ok(watcher::Event::Delete(pod))) => set(pod, true),
                Some(Err(error)) => tracing::warn!(%error, "watch of pods failed; trying again"),
                None => return,
            },
            Some(uid) = ended.recv() => forget(workers, &uid),
            () = context.shutdown.cancelled() => return,
        }
    }
}

/// Tells the pod's worker, or starts one.
fn desire(
    context: &Arc<Context>,
    workers: &Workers,
    pod: Arc<Pod>,
    gone: bool,
    done: &mpsc::Sender<String>,
) {
    let Some(uid) = pod.metadata.uid.clone() else { return };
    let desired = Desired { pod, gone };
    let mut workers = workers.lock();
    match workers.get(&uid) {
        Some(handle) if !handle.desired.is_closed() => {
            let _ = handle.desired.send(desired);
        }
        // A worker that has ended has nothing left of a pod that is gone.
        Some(_) if gone => {}
        None if gone && !is_ours(&desired.pod) => {}
        _ => {
            let handle = worker::spawn(context, uid.clone(), desired, done.clone());
            workers.insert(uid, handle);
        }
    }
}

/// Lets go of a worker that has ended, not of one that has taken its place meanwhile.
fn forget(workers: &Workers, uid: &str) {
    let mut workers = workers.lock();
    if workers.get(uid).is_some_and(|handle| handle.desired.is_closed()) {
        workers.remove(uid);
    }
}

/// Whether a pod unknown to us may have left something here: only sandboxes found on disk, which have no spec.
fn is_ours(pod: &Pod) -> bool {
    pod.spec.is_none()
}

/// Pods that the new list does not contain were deleted while the watch was down.
fn drop_unlisted(workers: &Workers, listed: &HashSet<String>) {
    for (uid, handle) in workers.lock().iter().filter(|(uid, _)| !listed.contains(*uid)) {
        tracing::info!(uid, "pod disappeared while it was not watched");
        handle.desired.send_modify(|desired| desired.gone = true);
    }
}

/// What a sandbox's record says of its pod.
fn pod_of(sandbox: &SandboxStatus) -> Pod {
    let label = |key: &str| sandbox.spec.labels.get(key).cloned();
    Pod {
        metadata: ObjectMeta {
            name: label("name"),
            namespace: label("namespace"),
            uid: Some(sandbox.spec.id.clone()),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    }
}
