//! Feeds the graph: one watch per kind, of which only the metadata is kept.

use std::collections::HashSet;

use api::resources::{self, Resource, Verb};
use futures_util::StreamExt;
use futures_util::future::join_all;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::graph::{Identity, Uid};
use super::{Garbage, Meta, api_resource, custom};

/// Kinds that own nothing and that nothing owns, and that come in masses.
fn is_ignored(resource: &Resource) -> bool {
    resource.kind == "Event"
}

/// Starts the watches; returns once each has listed, or with `shutdown`.
pub(super) async fn start(garbage: &Garbage, tracker: &TaskTracker, shutdown: &CancellationToken) {
    let mut listed = Vec::new();
    for resource in resources::table() {
        let watched = [Verb::List, Verb::Watch, Verb::Delete].iter().all(|v| resource.allows(*v));
        if !watched || resource.is_view() || is_ignored(resource) {
            continue;
        }
        let (done, once) = oneshot::channel();
        listed.push(once);
        tracker.spawn(follow(garbage.clone(), resource.clone(), shutdown.clone(), done));
    }
    let (done, once) = oneshot::channel();
    listed.push(once);
    tracker.spawn(custom::follow(garbage.clone(), tracker.clone(), shutdown.clone(), done));
    tokio::select! {
        () = shutdown.cancelled() => {}
        _ = join_all(listed) => {}
    }
}

/// Follows the objects of a kind until `shutdown`; says when they have been listed once.
pub(super) async fn follow(
    garbage: Garbage,
    resource: Arc<Resource>,
    shutdown: CancellationToken,
    listed: oneshot::Sender<()>,
) {
    let mut listed = Some(listed);
    let open = || {
        let api: Api<Meta> = Api::all_with(garbage.client.clone(), &api_resource(&resource));
        watcher::watcher(api, watcher::Config::default()).default_backoff().boxed()
    };
    let mut events = open();
    let mut seen = HashSet::new();
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Ok(Event::Init)) => seen.clear(),
            Some(Ok(Event::InitApply(object))) => {
                if let Some(identity) = identity(&resource, &object) {
                    seen.insert(identity.uid.clone());
                    let work = garbage.graph.lock().upsert(identity, &object.metadata);
                    garbage.add(work);
                }
            }
            Some(Ok(Event::InitDone)) => {
                let work = garbage.graph.lock().retain(&resource, &seen);
                garbage.add(work);
                seen = HashSet::new();
                if let Some(listed) = listed.take() {
                    // Nobody waits any more only at shutdown.
                    listed.send(()).ok();
                }
            }
            Some(Ok(Event::Apply(object))) => {
                if let Some(identity) = identity(&resource, &object) {
                    garbage.tell(&identity);
                    let work = garbage.graph.lock().upsert(identity, &object.metadata);
                    garbage.add(work);
                }
            }
            Some(Ok(Event::Delete(object))) => {
                if let Some(identity) = identity(&resource, &object) {
                    garbage.tell(&identity);
                    let work = garbage.graph.lock().remove(&identity.uid);
                    garbage.add(work);
                }
            }
            Some(Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))))
                if status.code == 410 =>
            {
                // The stream would go on asking for a revision that is compacted away.
                debug!(kind = %resource.kind, "watch expired, listing anew");
                events = open();
            }
            Some(Err(watcher::Error::WatchError(status))) if status.code == 410 => {
                // So it is after a change of a definition; the stream lists anew by itself.
                debug!(kind = %resource.kind, "watch expired");
            }
            Some(Err(error)) if is_missing(&error) => {
                debug!(kind = %resource.kind, "kind is not served any more");
            }
            Some(Err(error)) => warn!(kind = %resource.kind, %error, "watch failed, retrying"),
        }
    }
}

/// Whether the server does not know the kind: its definition has been deleted, and the watch of
/// definitions will say so.
fn is_missing(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    let (InitialListFailed(error) | WatchStartFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn identity(resource: &Arc<Resource>, object: &Meta) -> Option<Identity> {
    let meta = &object.metadata;
    Some(Identity {
        resource: resource.clone(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone()?,
        uid: Uid(meta.uid.clone()?),
    })
}
