//! A kind's objects as the API server last told, and who wants to know when they change.
//!
//! An informer lists and watches one kind, keeps every object in memory and calls its handlers with
//! the object before and after each change. Handlers only put keys into work queues; reconcilers
//! read the objects back from here. Handlers are also called for every object on a slow resync, so
//! that a reconcile lost to a bug is made up for.
//!
//! What is read here may be a moment old. Whoever acts on it must bear that: by preconditions on the
//! write, by expectations (ReplicationController), or by asking the API server again.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{Api, Resource};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How often handlers see every object without a change.
const RESYNC: Duration = Duration::from_secs(600);

/// Names an object within its kind. `Display` is `namespace/name`, or `name` at cluster scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Empty for cluster-scoped kinds.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn of(object: &impl ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Called with the object before (none: it is new) and now (none: it is gone).
type Handler<K> = Box<dyn Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync>;

/// See the module.
pub(crate) struct Informer<K> {
    client: Client,
    config: watcher::Config,
    objects: Arc<RwLock<BTreeMap<Key, Arc<K>>>>,
    handlers: Vec<Handler<K>>,
    listed: watch::Sender<bool>,
}

/// The reading side of an [`Informer`].
pub(crate) struct Cache<K> {
    objects: Arc<RwLock<BTreeMap<Key, Arc<K>>>>,
    listed: watch::Receiver<bool>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone(), listed: self.listed.clone() }
    }
}

impl<K> Cache<K> {
    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.objects.read().get(key).cloned()
    }

    /// All objects of a namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let from = Key::new(namespace, "");
        self.objects
            .read()
            .range(from..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// All objects.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.objects.read().values().cloned().collect()
    }

    /// Waits for the first complete list.
    pub(crate) async fn listed(&mut self) {
        // Fails only when the informer has ended, and everybody ends with it.
        self.listed.wait_for(|listed| *listed).await.ok();
    }
}

impl<K> Informer<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// An informer of all objects of the kind that `config` selects.
    pub(crate) fn new(client: Client, config: watcher::Config) -> Self {
        Self {
            client,
            config,
            objects: Arc::default(),
            handlers: Vec::new(),
            listed: watch::Sender::new(false),
        }
    }

    /// The reading side.
    pub(crate) fn cache(&self) -> Cache<K> {
        Cache { objects: self.objects.clone(), listed: self.listed.subscribe() }
    }

    /// Adds a handler. It runs in the informer's task: no waiting in it.
    pub(crate) fn on_change(
        &mut self,
        handler: impl Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync + 'static,
    ) {
        self.handlers.push(Box::new(handler));
    }

    /// Lists and watches until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let kind = K::kind(&());
        let open = || {
            watcher::watcher(Api::<K>::all(self.client.clone()), self.config.clone())
                .default_backoff()
                .boxed()
        };
        let mut events = open();
        let mut list = BTreeMap::new();
        let mut resync = interval_at(Instant::now() + RESYNC, RESYNC);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = resync.tick() => {
                    self.resync();
                    continue;
                }
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Ok(Event::Init)) => list.clear(),
                Some(Ok(Event::InitApply(object))) => {
                    list.insert(Key::of(&object), Arc::new(object));
                }
                Some(Ok(Event::InitDone)) => {
                    self.replace(std::mem::take(&mut list));
                    self.listed.send_replace(true);
                }
                Some(Ok(Event::Apply(object))) => {
                    let (key, object) = (Key::of(&object), Arc::new(object));
                    let before = self.objects.write().insert(key, object.clone());
                    self.call(before.as_ref(), Some(&object));
                }
                Some(Ok(Event::Delete(object))) => {
                    self.objects.write().remove(&Key::of(&object));
                    // The last state, not the one kept: it has the deletion timestamp.
                    self.call(Some(&Arc::new(object)), None);
                }
                Some(Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))))
                    if status.code == 410 =>
                {
                    // The stream would go on asking for a revision that is compacted away.
                    debug!(%kind, "watch expired, listing anew");
                    events = open();
                }
                Some(Err(error)) => warn!(%kind, %error, "watch failed, retrying"),
            }
        }
    }

    /// Takes over a complete list: what is not in it is gone.
    fn replace(&self, list: BTreeMap<Key, Arc<K>>) {
        let before = std::mem::replace(&mut *self.objects.write(), list.clone());
        for (key, object) in &before {
            if !list.contains_key(key) {
                self.call(Some(object), None);
            }
        }
        for (key, object) in &list {
            let known = before.get(key);
            // Deleted and created again under the same name: two changes.
            if let Some(other) = known.filter(|b| b.meta().uid != object.meta().uid) {
                self.call(Some(other), None);
                self.call(None, Some(object));
            } else {
                self.call(known, Some(object));
            }
        }
    }

    fn resync(&self) {
        let objects: Vec<Arc<K>> = self.objects.read().values().cloned().collect();
        for object in &objects {
            self.call(Some(object), Some(object));
        }
    }

    fn call(&self, before: Option<&Arc<K>>, now: Option<&Arc<K>>) {
        for handler in &self.handlers {
            handler(before, now);
        }
    }
}
