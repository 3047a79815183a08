//! The cache of one resource: its objects now, its last changes, and who is watching.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use api::resources::{GroupResource, Resource};
use parking_lot::{Mutex, RwLock};
use store::{Event, EventKind, KeyValue, Revision};

use super::encoding::EventType;
use super::filter::Filter;
use super::object::{Change, Object};
use super::outline::Outline;
use super::sorted::Objects;
use super::watcher::{Asker, Subscription, Watcher};

/// How many changes the window holds. A client that was away for longer lists again.
const WINDOW: usize = 4096;

/// How many bytes of objects the window holds: large objects must not make it gigabytes.
const WINDOW_BYTES: usize = 32 << 20;

/// The prefix of a resource's keys in the store: `core/pods/`, `apps/deployments/`.
pub(crate) fn key_prefix(resource: &GroupResource) -> String {
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    format!("{group}/{}/", resource.resource)
}

/// The objects of one moment.
#[derive(Clone)]
pub(crate) struct Snapshot {
    /// In key order.
    pub(crate) objects: Objects,
    /// The moment.
    pub(crate) revision: Revision,
}

/// Why a past moment cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// It is before the window, which begins here.
    Forgotten {
        /// The oldest moment that can be shown.
        oldest: Revision,
    },
}

struct State {
    objects: Objects,
    /// Oldest first.
    window: VecDeque<Arc<Change>>,
    /// Encoded size of the objects in the window.
    window_bytes: usize,
    /// Every change after this revision (and up to `revision`) is in the window.
    window_start: Revision,
    /// The last revision known to be applied; the feed's progress, not only this resource's.
    revision: Revision,
    /// While the cache is filled again: what it showed before the feed lost its place. For readers
    /// that had their freshness proven before that; nobody may see, or watch, a half-filled map.
    lost: Option<Snapshot>,
}

/// The cache of one resource.
pub(crate) struct Cacher {
    resource: Arc<Resource>,
    prefix: String,
    outline: Outline,
    state: RwLock<State>,
    /// Held by the feed over changing the map *and* telling watchers, and by a new watcher over
    /// reading the map *and* joining: so it misses nothing and sees nothing twice.
    watchers: Mutex<Vec<Watcher>>,
}

impl Cacher {
    /// An empty cache; the feed fills it.
    pub(super) fn new(resource: Arc<Resource>) -> Cacher {
        let prefix = key_prefix(&resource.stored_as);
        let state = State {
            objects: Objects::default(),
            window: VecDeque::new(),
            window_bytes: 0,
            window_start: Revision(0),
            revision: Revision(0),
            lost: None,
        };
        let outline = Outline::of(&resource);
        Cacher { resource, prefix, outline, state: RwLock::new(state), watchers: Mutex::default() }
    }

    /// The row of the table.
    pub(crate) fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// The prefix of this resource's keys in the store.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// One object as it is now.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Object>> {
        let state = self.state.read();
        state.lost.as_ref().map_or(&state.objects, |lost| &lost.objects).get(key).cloned()
    }

    /// Everything as it is now.
    pub(crate) fn now(&self) -> Snapshot {
        self.state.read().snapshot()
    }

    /// Everything as it was at `revision`, rebuilt by undoing what has happened since.
    pub(crate) fn at(&self, revision: Revision) -> Result<Snapshot, Past> {
        let (mut objects, undo) = {
            let state = self.state.read();
            state.remembers(revision)?;
            let since = state.window.partition_point(|change| change.revision <= revision);
            let undo: Vec<_> = state.window.range(since..).rev().cloned().collect();
            (state.objects.clone(), undo)
        };
        for change in undo {
            match &change.previous {
                Some(previous) => drop(objects.insert(previous.clone())),
                None => drop(objects.remove(change.object.key())),
            }
        }
        Ok(Snapshot { objects, revision })
    }

    /// Starts a watch with the objects there are now.
    pub(crate) fn watch_from_now(
        &self,
        namespace: &str,
        filter: &Filter,
        bookmarks: bool,
        send_initial: bool,
    ) -> Subscription {
        let mut watchers = self.watchers.lock();
        let (now, live) = {
            let state = self.state.read();
            (state.snapshot(), state.lost.is_none())
        };
        let (watcher, queue) = Watcher::new(namespace, filter.clone(), bookmarks, now.revision);
        let asker = watcher.asker();
        if live {
            watchers.push(watcher);
        }
        drop(watchers);
        let initial = if send_initial {
            select(&now.objects, namespace, filter).cloned().collect()
        } else {
            Vec::new()
        };
        Subscription { initial, revision: now.revision, replay: Vec::new(), queue, asker }
    }

    /// Starts a watch with what has happened after `after`.
    pub(crate) fn watch_after(
        &self,
        after: Revision,
        namespace: &str,
        filter: &Filter,
        bookmarks: bool,
    ) -> Result<Subscription, Past> {
        let mut watchers = self.watchers.lock();
        let (changes, revision) = {
            let state = self.state.read();
            state.remembers(after)?;
            let since = state.window.partition_point(|change| change.revision <= after);
            let changes: Vec<_> = state.window.range(since..).cloned().collect();
            (changes, state.revision)
        };
        let (watcher, queue) = Watcher::new(namespace, filter.clone(), bookmarks, after);
        let replay = changes.iter().filter_map(|change| watcher.sees(change)).collect();
        let asker = watcher.asker();
        watchers.push(watcher);
        let (initial, revision) = (Vec::new(), revision.max(after));
        Ok(Subscription { initial, revision, replay, queue, asker })
    }

    /// Puts an object that the store has listed. Only before the feed goes live.
    pub(super) fn load(&self, item: KeyValue) {
        let object = self.read(item.key, EventType::Added, &item.value, item.mod_revision);
        self.state.write().objects.insert(Arc::new(object));
    }

    /// Begins anew and sends all watchers away: the feed has lost its place. Until
    /// [`Cacher::live_from`] readers see what there was, and nobody can watch.
    pub(super) fn reset(&self) {
        let mut watchers = self.watchers.lock();
        let mut state = self.state.write();
        // The second attempt to load must not take the first one's half for what there was.
        state.lost = Some(state.snapshot());
        state.objects = Objects::default();
        state.forget_window();
        watchers.clear();
    }

    /// Says that the map is complete at `revision`, from where the window now begins.
    pub(super) fn live_from(&self, revision: Revision) {
        let mut state = self.state.write();
        state.forget_window();
        state.window_start = revision;
        state.revision = revision;
        state.lost = None;
    }

    /// [`Cacher::live_from`], with what `old`, a cache of the same objects in the version that is
    /// stored, remembers: who has watched there goes on here, and misses nothing.
    pub(super) fn live_after(&self, old: &Cacher, revision: Revision) {
        self.live_from(revision);
        let (remembered, start) = {
            let state = old.state.read();
            if state.lost.is_some() {
                return;
            }
            (state.window.clone(), state.window_start)
        };
        let mut latest: HashMap<String, Arc<Object>> = HashMap::new();
        let mut window = VecDeque::with_capacity(remembered.len());
        for change in remembered {
            let previous = change.previous.as_ref().map(|previous| {
                let reread = || Arc::new(self.reread(previous, EventType::Modified));
                latest.remove(previous.key()).unwrap_or_else(reread)
            });
            let object = Arc::new(self.reread(&change.object, change.event));
            if change.event != EventType::Deleted {
                latest.insert(object.key().to_owned(), object.clone());
            }
            window.push_back(Arc::new(Change::new(change.event, object, previous)));
        }
        let mut state = self.state.write();
        state.window_bytes = window.iter().map(|change| change.size()).sum();
        state.window = window;
        state.window_start = start;
        // The same versions need not be held twice.
        for object in latest.into_values() {
            if state.objects.get(object.key()).is_some_and(|o| o.revision() == object.revision()) {
                state.objects.insert(object);
            }
        }
    }

    fn reread(&self, object: &Object, event: EventType) -> Object {
        object.reread(&self.resource, &self.outline, event)
    }

    /// Applies this resource's events of a batch, in order, and tells the watchers.
    pub(super) fn apply(&self, events: &[&Event]) {
        // Parsing is the expensive part and needs no lock.
        let read: Vec<_> = events.iter().map(|event| self.read_event(event)).collect();
        let mut watchers = self.watchers.lock();
        let mut changes = Vec::with_capacity(read.len());
        {
            let mut state = self.state.write();
            for object in read {
                if let Some(change) = state.record(object) {
                    changes.push(change);
                }
            }
        }
        watchers.retain(|watcher| changes.iter().all(|change| watcher.offer(change)));
    }

    /// Notes the feed's progress, so that a snapshot of a quiet resource has a current version.
    pub(super) fn progress(&self, revision: Revision) {
        self.state.write().revision = revision;
    }

    /// Sends a bookmark to every watcher that wants them.
    pub(super) fn bookmark(&self) {
        let mut watchers = self.watchers.lock();
        let revision = self.state.read().revision;
        watchers.retain(|watcher| !watcher.gone());
        for watcher in watchers.iter() {
            watcher.bookmark(revision);
        }
    }

    /// Sends a bookmark to one watcher now.
    pub(crate) fn bookmark_for(&self, asker: &Asker) {
        // What is up to the revision must be in the queue already, so no change may be between.
        let _watchers = self.watchers.lock();
        asker.bookmark(self.state.read().revision);
    }

    /// Ends every watch.
    pub(super) fn close_watchers(&self) {
        self.watchers.lock().clear();
    }

    fn read_event(&self, event: &Event) -> (EventType, Arc<Object>) {
        let kind = match event.kind {
            EventKind::Create => EventType::Added,
            EventKind::Update => EventType::Modified,
            EventKind::Delete => EventType::Deleted,
        };
        (kind, Arc::new(self.read(event.key.clone(), kind, &event.value, event.revision)))
    }

    fn read(&self, key: Arc<str>, event: EventType, value: &[u8], revision: Revision) -> Object {
        Object::read(&self.resource, &self.outline, &self.prefix, key, event, value, revision)
    }
}

impl State {
    /// What readers see.
    fn snapshot(&self) -> Snapshot {
        let now = || Snapshot { objects: self.objects.clone(), revision: self.revision };
        self.lost.clone().unwrap_or_else(now)
    }

    /// Whether what has happened after `revision` is known.
    fn remembers(&self, revision: Revision) -> Result<(), Past> {
        match &self.lost {
            Some(lost) => Err(Past::Forgotten { oldest: lost.revision }),
            None if revision < self.window_start => {
                Err(Past::Forgotten { oldest: self.window_start })
            }
            None => Ok(()),
        }
    }

    fn forget_window(&mut self) {
        self.window.clear();
        self.window_bytes = 0;
    }

    /// Changes the map and remembers it in the window. Nothing happens for an event that the
    /// object in the map already includes, as while loading.
    fn record(&mut self, (event, object): (EventType, Arc<Object>)) -> Option<Arc<Change>> {
        let revision = object.revision();
        if self.objects.get(object.key()).is_some_and(|have| have.revision() >= revision) {
            return None;
        }
        let previous = match event {
            EventType::Deleted => Some(self.objects.remove(object.key())?),
            _ => self.objects.insert(object.clone()),
        };
        self.revision = self.revision.max(revision);
        let change = Arc::new(Change::new(event, object, previous));
        self.window_bytes += change.size();
        self.window.push_back(change.clone());
        while (self.window.len() > WINDOW || self.window_bytes > WINDOW_BYTES)
            && let Some(oldest) = self.window.pop_front()
        {
            self.window_bytes -= oldest.size();
            self.window_start = oldest.revision;
        }
        Some(change)
    }
}

/// The objects of a namespace ("" for all) that a filter selects, in key order.
fn select<'a>(
    objects: &'a Objects,
    namespace: &str,
    filter: &'a Filter,
) -> impl Iterator<Item = &'a Arc<Object>> {
    let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    objects
        .from(&prefix)
        .take_while(move |object| object.key().starts_with(&prefix))
        .filter(move |object| filter.matches(object))
}
