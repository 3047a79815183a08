//! ConfigMaps and Secrets that pods of this node refer to: watched one by one, as long as a pod needs them.
//!
//! A pod's worker asks for the objects it refers to and holds the handles; the first handle of an object
//! starts its watch, dropping the last one ends it. So a node reads nothing but what its pods name, and a
//! missing object wakes its pods the moment it appears.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use futures_util::{StreamExt as _, TryStreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What is known of an object: nothing yet, that it does not exist, or what it is.
pub(crate) type Seen<K> = Option<Option<Arc<K>>>;

/// A kind that pods refer to by name.
pub(crate) trait Referable:
    kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + serde::de::DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The watches of this kind.
    fn watches(sources: &Sources) -> &Watches<Self>;
}

impl Referable for ConfigMap {
    fn watches(sources: &Sources) -> &Watches<Self> {
        &sources.inner.config_maps
    }
}

impl Referable for Secret {
    fn watches(sources: &Sources) -> &Watches<Self> {
        &sources.inner.secrets
    }
}

/// A handle on one watched object.
#[derive(Debug)]
pub(crate) struct Source<K> {
    seen: watch::Receiver<Seen<K>>,
    _stop: DropGuard,
}

impl<K> Source<K> {
    /// A receiver that wakes on every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Seen<K>> {
        self.seen.clone()
    }
}

/// Running watches by namespace and name.
pub(crate) type Watches<K> = Mutex<HashMap<(String, String), Weak<Source<K>>>>;

/// All watched objects of the node; a cheap clone.
#[derive(Clone)]
pub(crate) struct Sources {
    inner: Arc<Inner>,
}

struct Inner {
    client: kube::Client,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    config_maps: Watches<ConfigMap>,
    secrets: Watches<Secret>,
}

impl Sources {
    pub(crate) fn new(
        client: kube::Client,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let (config_maps, secrets) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { client, tracker, shutdown, config_maps, secrets }) }
    }

    /// A handle on an object, whether it exists or not.
    pub(crate) fn of<K: Referable>(&self, namespace: &str, name: &str) -> Arc<Source<K>> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut watches = K::watches(self).lock();
        if let Some(known) = watches.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        watches.retain(|_, source| source.strong_count() > 0);
        let (sender, seen) = watch::channel(None);
        let stop = self.inner.shutdown.child_token();
        let api: Api<K> = Api::namespaced(self.inner.client.clone(), namespace);
        self.inner.tracker.spawn(follow(api, name.to_owned(), sender, stop.clone()));
        let source = Arc::new(Source { seen, _stop: stop.drop_guard() });
        watches.insert(key, Arc::downgrade(&source));
        source
    }
}

async fn follow<K: Referable>(
    api: Api<K>,
    name: String,
    sender: watch::Sender<Seen<K>>,
    stop: CancellationToken,
) {
    let changes = watch_object(api, &name).default_backoff().inspect_err(|error| {
        tracing::debug!(%error, "watch of a referenced object failed; trying again");
    });
    pin_mut!(changes);
    loop {
        tokio::select! {
            next = changes.next() => match next {
                Some(Ok(object)) => drop(sender.send(Some(object.map(Arc::new)))),
                Some(Err(_)) => {}
                None => return,
            },
            () = stop.cancelled() => return,
        }
    }
}
