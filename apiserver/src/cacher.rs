//! The watch cache: every read is answered here, from memory.
//!
//! ```text
//!   store ──watch──▶ Feed ──▶ Cacher (pods)  ──▶ get, list (snapshots)
//!                      │  └─▶ Cacher (nodes) ──▶ watchers (bounded queues)
//!                      └────▶ Progress: "everything up to revision R has been applied"
//! ```
//!
//! One [`Feed`] follows the whole store and hands each change to the [`Cacher`] of its resource,
//! then announces how far it has come. One stream for all resources is what makes the freshness
//! proof cheap: a consistent read asks the store for its current revision and waits until the feed
//! has announced it, and a quiet resource needs no traffic of its own to know that it is current.
//!
//! Invariants:
//! - A cacher's map and window change only in the feed's task, under a write lock held for the
//!   change itself; readers hold the lock while they clone a pointer.
//! - Each version of an object is encoded once ([`encoding`]); responses and watchers share it.
//! - A watcher has a bounded queue. When it is full the watcher is closed and its client resumes
//!   from the version it has; nothing waits for it.
//! - The window holds the last changes with the object before and after, so any recent moment can
//!   be rebuilt ([`Cacher::at`]) for pages of a list and reads at an exact version.

pub(crate) mod encoding;
mod feed;
mod filter;
mod freshness;
mod object;
mod outline;
mod resource;
mod sorted;
mod watcher;

pub(crate) use encoding::EventType;
pub use feed::FeedError;
pub(crate) use feed::{Feed, FeedHandle};
pub(crate) use filter::Filter;
pub(crate) use freshness::Freshness;
pub(crate) use object::Object;
pub(crate) use resource::{Cacher, Past, Snapshot};
pub(crate) use sorted::Objects;
pub(crate) use watcher::{Delivery, Subscription};
