//! A kind's objects as the API server last told, and who wants to know when they change.
//!
//! An informer lists and watches one kind, keeps every object ([`cache`]) and calls its handlers with
//! the object before and after each change. Handlers only put keys into work queues; reconcilers
//! read the objects back from here. Handlers are also called for every object on a slow resync, so
//! that a reconcile lost to a bug is made up for.
//!
//! What is read here may be a moment old. Whoever acts on it must bear that: by preconditions on the
//! write, by expectations (ReplicationController), or by asking the API server again.

mod cache;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::{Event, Follower, Raw};
use kube::api::Resource;
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub(crate) use cache::{Cache, Index};
use cache::{Objects, parse};

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
    follower: Follower,
    objects: Arc<Objects<K>>,
    handlers: Vec<Handler<K>>,
    listed: watch::Sender<bool>,
}

impl<K> Informer<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
{
    /// An informer of all objects of the kind that `config` selects.
    pub(crate) fn new(client: Client, config: watcher::Config) -> Self {
        Self {
            follower: Follower::new(client, K::url_path(&(), None), config),
            objects: Arc::new(Objects::new()),
            handlers: Vec::new(),
            listed: watch::Sender::new(false),
        }
    }

    /// The reading side.
    pub(crate) fn cache(&self) -> Cache<K> {
        Cache::new(self.objects.clone(), self.listed.subscribe())
    }

    /// Finds objects by a value that `values` reads from them; before the informer runs.
    pub(crate) fn index(&mut self, values: fn(&K) -> Vec<String>) -> Index<K> {
        self.objects.index(values)
    }

    /// Adds a handler. It runs in the informer's task: no waiting in it.
    pub(crate) fn on_change(
        &mut self,
        handler: impl Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync + 'static,
    ) {
        self.handlers.push(Box::new(handler));
    }

    /// Adds a handler that is told which object has changed, and whether it is gone. It runs in the
    /// informer's task: no waiting in it.
    pub(crate) fn on_key(&mut self, handler: impl Fn(Key, bool) + Send + Sync + 'static) {
        self.on_change(move |before, now| {
            if let Some(object) = now.or(before) {
                handler(Key::of(&**object), now.is_none());
            }
        });
    }

    /// Lists and watches until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let kind = K::kind(&());
        let mut resync = interval_at(Instant::now() + RESYNC, RESYNC);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                _ = resync.tick() => {
                    self.resync().await;
                    continue;
                }
                event = self.follower.next() => event,
            };
            match event {
                Ok(Event::Listed(list)) => {
                    self.replace(list);
                    self.listed.send_replace(true);
                }
                Ok(Event::Applied(raw)) => self.apply(raw),
                Ok(Event::Deleted(raw)) => {
                    // The last state, not the one kept: it has the deletion timestamp.
                    if let Some(object) = parse::<K>(&raw) {
                        self.objects.remove(&Key::of(&*object));
                        self.call(Some(&object), None);
                    }
                }
                Err(error @ client::Error::Expired(_)) => debug!(%kind, %error, "listing anew"),
                Err(error) => warn!(%kind, %error, "watch failed, retrying"),
            }
        }
    }

    fn apply(&self, raw: Raw) {
        let Some(object) = parse::<K>(&raw) else { return };
        let before = self.objects.put(Key::of(&*object), raw, &object);
        self.call(before.as_ref(), Some(&object));
    }

    /// Takes over a complete list: what is not in it is gone.
    fn replace(&self, list: Vec<Raw>) {
        let key = |raw: &Raw| raw.name().map(|(namespace, name)| Key { namespace, name });
        let list: BTreeMap<Key, Raw> =
            list.into_iter().filter_map(|raw| Some((key(&raw)?, raw))).collect();
        for key in self.objects.keys() {
            if !list.contains_key(&key)
                && let Some(before) = self.objects.remove(&key)
            {
                self.call(Some(&before), None);
            }
        }
        for (key, raw) in list {
            let Some(object) = parse::<K>(&raw) else { continue };
            let before = self.objects.put(key, raw, &object);
            // Deleted and created again under the same name: two changes.
            if let Some(other) = before.as_ref().filter(|b| b.meta().uid != object.meta().uid) {
                self.call(Some(other), None);
                self.call(None, Some(&object));
            } else {
                self.call(before.as_ref(), Some(&object));
            }
        }
    }

    async fn resync(&mut self) {
        for key in self.objects.keys() {
            if let Some(object) = self.objects.get(&key) {
                self.call(Some(&object), Some(&object));
            }
            tokio::task::consume_budget().await;
        }
    }

    fn call(&self, before: Option<&Arc<K>>, now: Option<&Arc<K>>) {
        for handler in &self.handlers {
            handler(before, now);
        }
    }
}
