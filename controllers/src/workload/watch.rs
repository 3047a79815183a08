//! Which owners have to look because an object has changed that they own, owned or may adopt.

use std::sync::Arc;

use api::{owner, pod as pods};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::expectations::Expectations;
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;

/// The owner of the kind that controls the object, if it is known. A later owner of the same name is
/// another one.
pub(crate) fn owner_of<O, K>(owners: &Cache<O>, object: &K) -> Option<Key>
where
    O: Resource<DynamicType = ()> + DeserializeOwned,
    K: Resource,
{
    let reference = owner::controller_of(object.meta()).filter(|r| r.kind == O::kind(&()))?;
    let key = Key::new(object.namespace().unwrap_or_default(), reference.name.clone());
    owners.get(&key).filter(|o| o.meta().uid.as_ref() == Some(&reference.uid)).map(|_| key)
}

/// The owners concerned by a change: the one before, the one now, and for an orphan whose labels or
/// owners have changed all that select it.
pub(crate) fn concerned<O, K>(
    owners: &Cache<O>,
    before: Option<&Arc<K>>,
    now: Option<&Arc<K>>,
    selects: impl Fn(&O, &K) -> bool,
) -> Vec<Key>
where
    O: Resource<DynamicType = ()> + DeserializeOwned,
    K: Resource,
{
    let owned_before = before.and_then(|object| owner_of(owners, &**object));
    let owned_now = now.and_then(|object| owner_of(owners, &**object));
    let mut keys: Vec<Key> = owned_before.into_iter().chain(owned_now).collect();
    keys.dedup();
    if let Some(orphan) = now.filter(|object| owner::controller_of(object.meta()).is_none()) {
        let changed = before.is_none_or(|before| {
            before.meta().labels != orphan.meta().labels
                || before.meta().owner_references != orphan.meta().owner_references
        });
        if changed {
            let namespace = orphan.namespace().unwrap_or_default();
            let adopters = owners.in_namespace(&namespace);
            keys.extend(adopters.iter().filter(|o| selects(o, orphan)).map(|o| Key::of(&**o)));
        }
    }
    keys
}

/// Has the owners looked at that a change of an object [concerns](concerned).
pub(crate) fn wake<O, K>(
    objects: &mut Informer<K>,
    owners: Cache<O>,
    queue: Arc<WorkQueue<Key>>,
    selects: impl Fn(&O, &K) -> bool + Send + Sync + 'static,
) where
    O: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
{
    objects.on_change(move |before, now| {
        for key in concerned(&owners, before, now, &selects) {
            queue.add(key);
        }
    });
}

/// The objects of a namespace that select the changed one, as it was or as it is.
pub(crate) fn selecting<S, K>(
    among: &Cache<S>,
    before: Option<&Arc<K>>,
    now: Option<&Arc<K>>,
    selects: impl Fn(&S, &K) -> bool,
) -> Vec<Key>
where
    S: Resource<DynamicType = ()> + DeserializeOwned,
    K: Resource,
{
    let Some(namespace) = now.or(before).and_then(|object| object.namespace()) else {
        return Vec::new();
    };
    let states = [before, now];
    let mut selecting = among.in_namespace(&namespace);
    selecting.retain(|one| states.iter().flatten().any(|object| selects(one, object)));
    selecting.iter().map(|one| Key::of(&**one)).collect()
}

/// Tells the expectations what has been seen of a pod. Going counts as gone: a replacement need not
/// wait for the grace period.
pub(crate) fn seen<O: Resource<DynamicType = ()> + DeserializeOwned>(
    owners: &Cache<O>,
    expectations: &Expectations,
    before: Option<&Arc<Pod>>,
    now: Option<&Arc<Pod>>,
) {
    let Some(pod) = now.or(before) else { return };
    let Some(key) = owner_of(owners, &**pod) else { return };
    if before.is_none() {
        expectations.created(&key);
    }
    if now.is_none() || pods::is_terminating(pod) {
        expectations.deleted(&key, &pod.uid().unwrap_or_default());
    }
}
