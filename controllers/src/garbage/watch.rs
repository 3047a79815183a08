//! Feeds the graph: one watch per kind, of which only the metadata is kept.

use std::collections::HashSet;
use std::sync::Arc;

use api::resources::{self, Resource, Verb};
use client::{Event, Follower, Raw};
use futures_util::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, Resource as _};
use kube::runtime::watcher;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::graph::{Identity, Uid};
use super::{Garbage, api_resource, custom};

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
    let path = DynamicObject::url_path(&api_resource(&resource), None);
    let mut follower = Follower::new(garbage.client.clone(), path, watcher::Config::default());
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = follower.next() => event,
        };
        match event {
            Ok(Event::Listed(objects)) => {
                let mut seen = HashSet::new();
                for object in &objects {
                    if let Some((identity, object)) = read(&resource, object) {
                        seen.insert(identity.uid.clone());
                        let work = garbage.graph.lock().upsert(identity, &object.metadata);
                        garbage.add(work);
                    }
                }
                let work = garbage.graph.lock().retain(&resource, &seen);
                garbage.add(work);
                if let Some(listed) = listed.take() {
                    // Nobody waits any more only at shutdown.
                    listed.send(()).ok();
                }
            }
            Ok(Event::Applied(object)) => {
                if let Some((identity, object)) = read(&resource, &object) {
                    garbage.tell(&identity);
                    let work = garbage.graph.lock().upsert(identity, &object.metadata);
                    garbage.add(work);
                }
            }
            Ok(Event::Deleted(object)) => {
                if let Some((identity, _)) = read(&resource, &object) {
                    garbage.tell(&identity);
                    let work = garbage.graph.lock().remove(&identity.uid);
                    garbage.add(work);
                }
            }
            Err(error @ client::Error::Expired(_)) => {
                // So it is after a change of a definition, too.
                debug!(kind = %resource.kind, %error, "listing anew");
            }
            Err(error) if error.is_not_found() => {
                // Its definition has been deleted, and the watch of definitions will say so.
                debug!(kind = %resource.kind, "kind is not served any more");
            }
            Err(error) => warn!(kind = %resource.kind, %error, "watch failed, retrying"),
        }
    }
}

/// The part of an object that the graph is made of.
fn read(resource: &Arc<Resource>, object: &Raw) -> Option<(Identity, Object)> {
    let object: Object = match object.parse() {
        Ok(object) => object,
        Err(error) => {
            warn!(kind = %resource.kind, %error, "ignoring an object that cannot be read");
            return None;
        }
    };
    Some((identity(resource, &object.metadata)?, object))
}

#[derive(Deserialize)]
struct Object {
    metadata: ObjectMeta,
}

fn identity(resource: &Arc<Resource>, meta: &ObjectMeta) -> Option<Identity> {
    Some(Identity {
        resource: resource.clone(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone()?,
        uid: Uid(meta.uid.clone()?),
    })
}
