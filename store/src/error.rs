//! One error enum per seam: opening, reading, writing, watching.
//!
//! Display never repeats the source's text: print the chain where the error is handled.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{KeyValue, Revision};

/// What an engine's library reported, kept behind a pointer: callers print it, they do not match on it.
pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no engine that exists here.
    #[error("unknown datastore URL {url:?}: expected sqlite:///path or postgres://host/database")]
    Url {
        /// The URL, without its password.
        url: String,
    },
    /// The URL's engine exists, but its details do not parse.
    #[error("cannot read the datastore URL {url:?}")]
    Parse {
        /// The URL, without its password.
        url: String,
        /// What the engine found wrong.
        #[source]
        source: Cause,
    },
    /// Another process (or another `Store` of this one) has the SQLite file open.
    #[error("the database {path} is in use by another process")]
    InUse {
        /// The database file.
        path: String,
    },
    /// The file cannot be created or locked.
    #[error("cannot open the database file {path}")]
    File {
        /// The file or its lock.
        path: String,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The writer's thread cannot be started.
    #[error("cannot start the thread of the store's writer")]
    Thread {
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The database answered, but not as needed.
    #[error("cannot {operation} in {subject}")]
    Database {
        /// What was tried.
        operation: &'static str,
        /// On which database.
        subject: String,
        /// The engine's error.
        #[source]
        source: Cause,
    },
    /// The store was written by a newer Wharf.
    #[error("the store in {subject} has layout {found}, this program knows up to {known}")]
    Layout {
        /// Which database.
        subject: String,
        /// The layout number found.
        found: i64,
        /// The newest this program reads.
        known: i64,
    },
}

/// Why a read, a compaction or a ping failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The engine did not do it; trying again later may work.
    #[error("cannot {operation} {subject:?}: the datastore is unavailable")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// On which key, prefix or revision.
        subject: String,
        /// The engine's error.
        #[source]
        source: Cause,
    },
    /// The history before `oldest` has been dropped.
    #[error("the history up to revision {oldest} has been compacted")]
    Compacted {
        /// The oldest revision that can still be asked for.
        oldest: Revision,
    },
    /// A revision that does not exist yet.
    #[error("revision {asked} is in the future, the store is at {current}")]
    Future {
        /// The revision asked for.
        asked: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// The writer has been at one batch for too long: reads may work, writes do not get through.
    #[error("the writer has been at one batch for {since:?}: writes do not get through")]
    Stalled {
        /// For how long.
        since: Duration,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a mutation did not happen (or, in one case, may have).
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// `create` of a key that exists.
    #[error("key {:?} exists at revision {}", current.key, current.mod_revision)]
    Exists {
        /// The key as it is.
        current: KeyValue,
    },
    /// `update` or `delete` of a key that changed meanwhile or does not exist.
    #[error("the key is not at the expected revision but at {:?}", current.as_ref().map(|c| c.mod_revision.0))]
    Conflict {
        /// The key as it is; `None` when it does not exist.
        current: Option<KeyValue>,
    },
    /// Keys are non-empty text without NUL.
    #[error("not a valid key: {key:?}")]
    InvalidKey {
        /// The refused key.
        key: String,
    },
    /// Nothing was written: the datastore cannot be reached or refused the whole batch.
    #[error("cannot write key {key:?}: the datastore is unavailable")]
    Unavailable {
        /// The key.
        key: String,
        /// The engine's error.
        #[source]
        source: Cause,
    },
    /// The datastore went away while committing: the mutation may or may not have
    /// happened. Read the key to find out.
    #[error("the outcome of writing key {key:?} is unknown")]
    Unknown {
        /// The key.
        key: String,
        /// The engine's error.
        #[source]
        source: Cause,
    },
    /// The store has been closed; nothing was written.
    #[error("the store is closed")]
    Closed,
}

/// Why a watch could not start, or ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WatchError {
    /// The events after the asked revision have been dropped: list, then watch from there.
    #[error("the history up to revision {oldest} has been compacted")]
    Compacted {
        /// The oldest revision a watch can start after.
        oldest: Revision,
    },
    /// The watcher fell further behind than its buffer holds. Watch again from
    /// the last revision seen.
    #[error("the watcher fell behind by more than {buffered} events")]
    Slow {
        /// The buffer that was full, in events.
        buffered: usize,
    },
    /// The history could not be read.
    #[error("cannot read the history after revision {after}")]
    History {
        /// Where reading stopped.
        after: Revision,
        /// Why.
        #[source]
        source: Error,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}
