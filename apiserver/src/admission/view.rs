//! What admission knows of the objects of one resource, made ready to be asked.
//!
//! A view is made anew when an object has changed since the last question; otherwise a question
//! costs a look at two pointers. Only for resources of which there are few: a view that is kept
//! holds the objects it was made of.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::cacher::{Cacher, Objects};

/// The objects of a resource as `T`.
pub(crate) struct View<T> {
    cache: Arc<Cacher>,
    read: fn(&[Value]) -> T,
    last: Mutex<Option<(Objects, Arc<T>)>>,
}

impl<T> View<T> {
    /// The view that `read` makes of all objects, in key order. `caches` are those of the built-in
    /// rows, which the resource is one of.
    pub(crate) fn new(
        caches: &[Arc<Cacher>],
        (group, plural): (&str, &str),
        read: fn(&[Value]) -> T,
    ) -> View<T> {
        let cache = caches.iter().find(|cache| {
            let row = cache.resource();
            row.group == group && row.plural == plural
        });
        let cache = cache.expect("views are of stored rows of the built-in table").clone();
        View { cache, read, last: Mutex::new(None) }
    }

    /// What the objects are now.
    pub(crate) fn now(&self) -> Arc<T> {
        let objects = self.cache.now().objects;
        let mut last = self.last.lock();
        if let Some((had, view)) = &*last
            && had.is(&objects)
        {
            return view.clone();
        }
        let parsed: Vec<Value> = objects.iter().map(|object| object.encoded().parse()).collect();
        let view = Arc::new((self.read)(&parsed));
        *last = Some((objects, view.clone()));
        view
    }
}
