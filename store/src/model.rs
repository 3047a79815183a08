//! The words of the store: revisions, key-values, events and pages.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A point in the store's history.
///
/// Every successful mutation takes the next number: revisions are gapless and
/// in commit order, across all processes that share a store. `Revision(0)` is
/// the empty store before the first mutation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    /// The revision that the next mutation takes.
    pub(crate) fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key as it is now (or was, at the revision of a [`Listing`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key: non-empty, no NUL.
    pub key: Arc<str>,
    /// The stored bytes, exactly as they were given.
    pub value: Bytes,
    /// The revision that created the key (after its last deletion, if any).
    pub create_revision: Revision,
    /// The revision of the last change; what `update` and `delete` expect.
    pub mod_revision: Revision,
}

/// What a mutation did to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key did not exist.
    Create,
    /// The key got a new value.
    Update,
    /// The key is gone.
    Delete,
}

/// One mutation, as watchers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The mutation's own revision: the key's new `mod_revision`.
    pub revision: Revision,
    /// What happened.
    pub kind: EventKind,
    /// To which key.
    pub key: Arc<str>,
    /// The new value; of a deletion, the last one.
    pub value: Bytes,
    /// The value before: `None` only for [`EventKind::Create`].
    pub prev: Option<Bytes>,
    /// The revision that created the key.
    pub create_revision: Revision,
}

/// Which part of a prefix [`Store::list`](crate::Store::list) returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most this many items; `None` means all.
    pub limit: Option<usize>,
    /// Only keys that sort behind this one: the last key of the page before.
    pub after: Option<String>,
}

/// Keys in byte order, all as of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The items, sorted by key.
    pub items: Vec<KeyValue>,
    /// The revision the whole store had when these were read.
    pub revision: Revision,
    /// Whether further keys follow the last item.
    pub more: bool,
}
