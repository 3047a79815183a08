//! A revisioned key-value log over SQL: the journal that a Wharf cluster stands on.
//!
//! The store keeps keys with bytes, gives every change the next number of one
//! gapless sequence, and lets watchers follow the changes from any number on. It
//! knows nothing of Kubernetes: the API server puts objects into it and makes
//! `mod_revision` their `resourceVersion`.
//!
//! Two engines keep the same promises, checked by one test suite: SQLite for one
//! host (one process owns the file) and PostgreSQL for clusters (any number of
//! API servers share a database).
//!
//! # Promises
//! - A mutation that was answered `Ok` is on disk (after fsync) and survives any crash.
//! - Revisions are gapless and in commit order, across processes. A refused
//!   mutation takes none.
//! - Preconditions are checked in the transaction that writes.
//! - A watch delivers every event of its prefix after its start, in order, once.
//!   It ends with an error rather than skip one.
//! - An outcome that is not known (the database vanished while committing) is
//!   said to be [`WriteError::Unknown`], never guessed.
//!
//! # How a mutation travels
//! [`Store::create`] puts it into a bounded queue. The one writer
//! (`writer.rs`) takes all that wait, the engine (`engine/`) loads the keys
//! they touch, the pure `plan.rs` decides each one, the engine writes the outcome
//! in one transaction. Then the events go to the watchers (`hub.rs`) and the
//! callers are answered. `compactor.rs` forgets old history in the background.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use store::{Options, Revision, Store};
//!
//! let store = Store::open("sqlite:///var/lib/wharf/state.db", Options::default()).await?;
//! let revision = store.create("/pods/default/web", "{}".into()).await?;
//! let mut watch = store.watch("/pods/", Revision(0)).await?;
//! let events = watch.next().await?;
//! assert_eq!(events[0].revision, revision);
//! store.close().await;
//! # Ok(())
//! # }
//! ```

mod compactor;
mod engine;
mod error;
mod follower;
mod hub;
mod keys;
mod model;
mod options;
mod plan;
mod store;
mod watch;
mod writer;

pub use engine::postgres::without_password;
pub use error::{Error, OpenError, WatchError, WriteError};
pub use model::{Event, EventKind, KeyValue, Listing, Page, Revision};
pub use options::{Options, Retention};
pub use store::Store;
pub use watch::Watch;
