//! Custom resources: their kinds come and go with their definitions, and the watches on them too.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use api::resources::{self, GroupKind, Resource};
use futures_util::StreamExt;
use futures_util::future::join_all;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{Garbage, api_resource, watch};

/// The kinds of custom resources that are followed, by the name of their definition.
#[derive(Default)]
pub(crate) struct Kinds {
    followed: Mutex<BTreeMap<String, Followed>>,
    /// Kinds whose definition has been deleted, and with it all of their objects.
    deleted: Mutex<BTreeMap<String, GroupKind>>,
}

struct Followed {
    /// The preferred version; all versions show the same objects.
    resource: Arc<Resource>,
    stop: CancellationToken,
}

/// What is to be followed, until the token is cancelled.
type Start = (Arc<Resource>, CancellationToken);

impl Kinds {
    /// The row of a kind, in whatever version.
    pub(super) fn find(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let kinds = self.followed.lock();
        let mut rows = kinds.values().map(|followed| &followed.resource);
        rows.find(|row| row.group == group && row.kind == kind).cloned()
    }

    /// Notes what a definition serves now. Returns what is to be followed from now on, and what was
    /// followed before and is not any more.
    fn put(
        &self,
        name: &str,
        served: Option<Resource>,
        shutdown: &CancellationToken,
    ) -> (Option<Start>, Option<Arc<Resource>>) {
        self.deleted.lock().remove(name);
        let mut kinds = self.followed.lock();
        if let (Some(new), Some(had)) = (&served, kinds.get(name))
            && had.resource.version == new.version
            && had.resource.kind == new.kind
        {
            return (None, None);
        }
        let had = kinds.remove(name).map(|had| {
            had.stop.cancel();
            had.resource
        });
        let starts = served.map(|resource| {
            let (resource, stop) = (Arc::new(resource), shutdown.child_token());
            let followed = Followed { resource: resource.clone(), stop: stop.clone() };
            kinds.insert(name.to_owned(), followed);
            (resource, stop)
        });
        // Another version shows the same objects: they are not gone.
        let gone = had.filter(|_| starts.is_none());
        (starts, gone)
    }

    /// Notes that a definition is gone. Returns what was followed.
    fn delete(&self, name: &str) -> Option<Arc<Resource>> {
        let had = self.followed.lock().remove(name)?;
        had.stop.cancel();
        self.deleted.lock().insert(name.to_owned(), had.resource.group_kind());
        Some(had.resource)
    }

    /// Whether the kind had a definition, which is gone.
    pub(super) fn is_deleted(&self, api_version: &str, kind: &str) -> bool {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        self.deleted.lock().values().any(|gone| gone.group == group && gone.kind == kind)
    }

    fn names(&self) -> Vec<String> {
        self.followed.lock().keys().cloned().collect()
    }
}

/// The preferred version of an established definition.
fn served(definition: &Value) -> Option<Resource> {
    if !api::custom::is_established(definition) {
        return None;
    }
    api::custom::rows(definition).into_iter().next()
}

/// Follows the definitions until `shutdown`; says when their objects have been listed once.
pub(super) async fn follow(
    garbage: Garbage,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    listed: oneshot::Sender<()>,
) {
    let row = resources::by_path("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        .expect("definitions are a row of the built-in table");
    let open = || {
        let api: Api<DynamicObject> = Api::all_with(garbage.client.clone(), &api_resource(row));
        watcher::watcher(api, watcher::Config::default()).default_backoff().boxed()
    };
    let define = |definition: &DynamicObject| {
        let value = serde_json::to_value(definition).unwrap_or_default();
        let (name, served) = (definition.name_any(), served(&value));
        let (starts, gone) = garbage.kinds.put(&name, served, &shutdown);
        forget(&garbage, gone);
        starts.map(|(resource, stop)| {
            let (done, once) = oneshot::channel();
            tracker.spawn(watch::follow(garbage.clone(), resource, stop, done));
            once
        })
    };
    let mut events = open();
    let (mut seen, mut first, mut listed) = (HashSet::new(), Vec::new(), Some(listed));
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Ok(Event::Init)) => seen.clear(),
            Some(Ok(Event::InitApply(definition))) => {
                seen.insert(definition.name_any());
                first.extend(define(&definition));
            }
            Some(Ok(Event::InitDone)) => {
                for name in garbage.kinds.names().iter().filter(|name| !seen.contains(*name)) {
                    forget(&garbage, garbage.kinds.delete(name));
                }
                let first = std::mem::take(&mut first);
                if let Some(listed) = listed.take() {
                    tracker.spawn(async move {
                        join_all(first).await;
                        // Nobody waits any more only at shutdown.
                        listed.send(()).ok();
                    });
                }
            }
            Some(Ok(Event::Apply(definition))) => drop(define(&definition)),
            Some(Ok(Event::Delete(definition))) => {
                forget(&garbage, garbage.kinds.delete(&definition.name_any()));
            }
            Some(Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))))
                if status.code == 410 =>
            {
                debug!("watch of definitions expired, listing anew");
                events = open();
            }
            Some(Err(error)) => warn!(%error, "watch of definitions failed, retrying"),
        }
    }
}

/// The objects of a kind that is not served any more are gone, and their dependents without owner.
fn forget(garbage: &Garbage, gone: Option<Arc<Resource>>) {
    if let Some(resource) = gone {
        let work = garbage.graph.lock().retain(&resource, &HashSet::new());
        garbage.add(work);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(versions: &[&str]) -> Value {
        let versions: Vec<_> = versions
            .iter()
            .map(|name| {
                json!({"name": name, "served": true, "storage": *name == versions[0],
                    "schema": {"openAPIV3Schema": {"type": "object"}}})
            })
            .collect();
        json!({"spec": {"group": "gold.io", "scope": "Namespaced", "versions": versions,
                "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"}},
            "status": {"conditions": [{"type": "Established", "status": "True"}]}})
    }

    #[test]
    fn kinds_follow_their_definitions() {
        let (kinds, shutdown) = (Kinds::default(), CancellationToken::new());
        let name = "foos.gold.io";
        let (starts, gone) = kinds.put(name, served(&definition(&["v1"])), &shutdown);
        let (resource, first) = starts.expect("a new kind is followed");
        assert!(gone.is_none() && resource.version == "v1");
        assert!(kinds.find("gold.io/v1alpha1", "Foo").is_some());
        assert!(kinds.find("other.io/v1", "Foo").is_none());
        // Nothing new.
        let (starts, gone) = kinds.put(name, served(&definition(&["v1", "v1beta1"])), &shutdown);
        assert!(starts.is_none() && gone.is_none() && !first.is_cancelled());
        // Another preferred version shows the same objects.
        let (starts, gone) = kinds.put(name, served(&definition(&["v1", "v2"])), &shutdown);
        assert!(starts.is_some() && gone.is_none() && first.is_cancelled());
        // Not served, but not gone either: nothing is known about its objects.
        let (starts, gone) = kinds.put(name, None, &shutdown);
        assert!(starts.is_none() && gone.is_some() && kinds.names().is_empty());
        assert!(!kinds.is_deleted("gold.io/v1", "Foo"));
        kinds.put(name, served(&definition(&["v1"])), &shutdown);
        assert!(kinds.delete(name).is_some() && kinds.is_deleted("gold.io/v1", "Foo"));
        kinds.put(name, served(&definition(&["v1"])), &shutdown);
        assert!(!kinds.is_deleted("gold.io/v1", "Foo"));
        let mut pending = definition(&["v1"]);
        pending["status"] = json!({});
        assert!(served(&pending).is_none());
    }
}
