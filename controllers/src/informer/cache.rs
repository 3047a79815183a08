//! The objects of a kind: every one as bytes, those in use parsed.
//!
//! A typed object takes several times the memory of its text, and most objects of a large cluster are
//! not looked at for hours. So what is kept of each is what the API server sent, within one process
//! the very bytes of its own cache; a typed object is made when somebody asks for it, and kept and
//! shared while it is among the last [`RECENT`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use client::Raw;
use kube::api::Resource;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::warn;

use super::Key;

/// How many typed objects of a kind are kept although nobody holds them.
const RECENT: usize = 1024;

/// Reads an object; what cannot be read is reported and left out.
pub(super) fn parse<K: Resource<DynamicType = ()> + DeserializeOwned>(raw: &Raw) -> Option<Arc<K>> {
    match raw.parse() {
        Ok(object) => Some(Arc::new(object)),
        Err(error) => {
            warn!(kind = %K::kind(&()), %error, "ignoring an object that cannot be read");
            None
        }
    }
}

/// What an informer writes and its readers read.
pub(super) struct Objects<K> {
    state: Mutex<State<K>>,
}

struct State<K> {
    entries: BTreeMap<Key, Entry<K>>,
    recent: VecDeque<(Key, Arc<K>)>,
    indexes: Vec<Values<K>>,
}

struct Entry<K> {
    raw: Raw,
    typed: Weak<K>,
}

/// Keys by value of one index.
struct Values<K> {
    read: fn(&K) -> Vec<String>,
    keys: BTreeMap<String, BTreeSet<Key>>,
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Objects<K> {
    pub(super) fn new() -> Self {
        let state =
            State { entries: BTreeMap::new(), recent: VecDeque::new(), indexes: Vec::new() };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn index(self: &Arc<Self>, read: fn(&K) -> Vec<String>) -> Index<K> {
        let mut state = self.state.lock();
        state.indexes.push(Values { read, keys: BTreeMap::new() });
        Index { objects: self.clone(), number: state.indexes.len() - 1 }
    }

    /// Puts `object`, of which `raw` is the text. Returns what was there.
    pub(super) fn put(&self, key: Key, raw: Raw, object: &Arc<K>) -> Option<Arc<K>> {
        let mut state = self.state.lock();
        let typed = Arc::downgrade(object);
        let before = state.entries.insert(key.clone(), Entry { raw, typed });
        let before = before.and_then(|entry| entry.typed());
        state.reindex(&key, before.as_deref(), Some(object));
        state.keep(key, object.clone());
        before
    }

    /// Takes an object out.
    pub(super) fn remove(&self, key: &Key) -> Option<Arc<K>> {
        let mut state = self.state.lock();
        let before = state.entries.remove(key)?.typed();
        state.reindex(key, before.as_deref(), None);
        before
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.state.lock().entries.keys().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.state.lock().entries.contains_key(key)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<K>> {
        let raw = {
            let state = self.state.lock();
            let entry = state.entries.get(key)?;
            if let Some(typed) = entry.typed.upgrade() {
                return Some(typed);
            }
            entry.raw.clone()
        };
        // Reading takes time that others need not wait for.
        let object = parse::<K>(&raw)?;
        let mut state = self.state.lock();
        if let Some(entry) = state.entries.get_mut(key).filter(|entry| entry.raw == raw) {
            entry.typed = Arc::downgrade(&object);
        }
        state.keep(key.clone(), object.clone());
        Some(object)
    }

    fn in_namespace(&self, namespace: &str) -> Vec<Key> {
        let state = self.state.lock();
        let all = state.entries.range(Key::new(namespace, "")..);
        all.map(|(key, _)| key).take_while(|key| key.namespace == namespace).cloned().collect()
    }
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Entry<K> {
    fn typed(&self) -> Option<Arc<K>> {
        self.typed.upgrade().or_else(|| parse(&self.raw))
    }
}

impl<K> State<K> {
    fn keep(&mut self, key: Key, object: Arc<K>) {
        if self.recent.len() == RECENT
            && let Some((key, oldest)) = self.recent.pop_front()
            && let Some(entry) = self.entries.get_mut(&key)
            && std::ptr::eq(entry.typed.as_ptr(), Arc::as_ptr(&oldest))
        {
            // Even a weak reference keeps the allocation, and most of a typed object is in it.
            entry.typed = Weak::new();
        }
        self.recent.push_back((key, object));
    }

    fn reindex(&mut self, key: &Key, before: Option<&K>, now: Option<&K>) {
        for index in &mut self.indexes {
            let read = |object: Option<&K>| object.map(index.read).unwrap_or_default();
            let (had, has) = (read(before), read(now));
            if had == has {
                continue;
            }
            for value in had {
                if let Some(keys) = index.keys.get_mut(&value) {
                    keys.remove(key);
                    if keys.is_empty() {
                        index.keys.remove(&value);
                    }
                }
            }
            for value in has {
                index.keys.entry(value).or_default().insert(key.clone());
            }
        }
    }
}

/// The reading side of an informer.
pub(crate) struct Cache<K> {
    objects: Arc<Objects<K>>,
    listed: watch::Receiver<bool>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone(), listed: self.listed.clone() }
    }
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Cache<K> {
    pub(super) fn new(objects: Arc<Objects<K>>, listed: watch::Receiver<bool>) -> Self {
        Self { objects, listed }
    }

    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.objects.get(key)
    }

    /// Whether there is such an object; it is not parsed for that.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.objects.has(key)
    }

    /// All objects of a namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.objects.in_namespace(namespace).iter().filter_map(|key| self.get(key)).collect()
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// The names of all objects, which costs far less than the objects.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.objects.keys()
    }

    /// All objects, each parsed when it is reached: for kinds of which there are few. Of pods, ask
    /// an [`Index`].
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.objects.keys().iter().filter_map(|key| self.get(key)).collect()
    }

    /// Waits for the first complete list.
    pub(crate) async fn listed(&mut self) {
        // Fails only when the informer has ended, and everybody ends with it.
        self.listed.wait_for(|listed| *listed).await.ok();
    }
}

/// Finds objects by a value read from them.
pub(crate) struct Index<K> {
    objects: Arc<Objects<K>>,
    number: usize,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone(), number: self.number }
    }
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Index<K> {
    /// The objects that have the value, in the order of their keys.
    pub(crate) fn get(&self, value: &str) -> Vec<Arc<K>> {
        let keys = self.keys(value);
        keys.iter().filter_map(|key| self.objects.get(key)).collect()
    }

    /// The keys of the objects that have the value.
    pub(crate) fn keys(&self, value: &str) -> Vec<Key> {
        let state = self.objects.state.lock();
        let keys = state.indexes[self.number].keys.get(value);
        keys.into_iter().flatten().cloned().collect()
    }

    /// How many objects have the value.
    pub(crate) fn count(&self, value: &str) -> usize {
        let state = self.objects.state.lock();
        state.indexes[self.number].keys.get(value).map_or(0, BTreeSet::len)
    }

    /// All values that objects have.
    pub(crate) fn values(&self) -> Vec<String> {
        self.objects.state.lock().indexes[self.number].keys.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn put(objects: &Objects<Pod>, name: &str, node: &str) -> Option<Arc<Pod>> {
        let pod = json!({"metadata": {"namespace": "n", "name": name},
            "spec": {"nodeName": node, "containers": []}});
        let raw = Raw::new(pod.to_string().into());
        let object: Arc<Pod> = parse(&raw).unwrap();
        objects.put(Key::new("n", name), raw, &object)
    }

    fn node(pod: &Pod) -> Vec<String> {
        pod.spec.iter().filter_map(|spec| spec.node_name.clone()).collect()
    }

    #[test]
    fn objects_are_found_by_key_namespace_and_value() {
        let objects = Arc::new(Objects::new());
        let nodes = objects.index(node);
        assert!(put(&objects, "a", "x").is_none() && put(&objects, "b", "x").is_none());
        let names = |value: &str| {
            let keys = nodes.keys(value);
            keys.into_iter().map(|key| key.name).collect::<Vec<_>>()
        };
        assert_eq!(names("x"), ["a", "b"]);
        let before = put(&objects, "a", "y").unwrap();
        assert_eq!(node(&before), ["x"]);
        assert_eq!((names("x"), names("y")), (vec!["b".to_owned()], vec!["a".to_owned()]));
        assert_eq!(nodes.values(), ["x", "y"]);
        assert_eq!(objects.in_namespace("n").len(), 2);
        assert!(objects.in_namespace("m").is_empty());
        assert!(objects.has(&Key::new("n", "a")) && !objects.has(&Key::new("m", "a")));
        assert!(objects.remove(&Key::new("n", "a")).is_some());
        assert!(objects.remove(&Key::new("n", "a")).is_none() && !objects.has(&Key::new("n", "a")));
        assert_eq!((nodes.count("y"), nodes.get("x").len()), (0, 1));
    }

    #[test]
    fn a_typed_object_is_shared_and_made_again_when_it_was_dropped() {
        let objects = Arc::new(Objects::new());
        put(&objects, "first", "x");
        let key = Key::new("n", "first");
        let held = objects.get(&key).unwrap();
        assert!(Arc::ptr_eq(&held, &objects.get(&key).unwrap()));
        let before = Arc::downgrade(&held);
        drop(held);
        for number in 0..RECENT {
            put(&objects, &format!("p{number}"), "x");
        }
        assert!(before.upgrade().is_none(), "more than {RECENT} typed objects are kept");
        assert_eq!(node(&objects.get(&key).unwrap()), ["x"]);
    }
}
