//! The one stream from the store into all caches.
//!
//! States, in order of a life:
//! - *loading*: every resource is listed, page by page, at whatever revision each page has;
//! - *catching up*: the store's events since before the first page are applied (an event older
//!   than the object it meets is skipped), until the revision at the end of loading is reached:
//!   now the maps are consistent, the windows begin, and [`Feed::start`] returns;
//! - *live*: batches are applied as they come, progress is announced after each;
//! - *resuming*: the stream broke (the store restarted, or the feed was too slow): watch again from
//!   the last revision applied; reads go on from memory meanwhile;
//! - *lost*: that revision has been compacted: every watcher is sent away and loading starts over.
//!
//! While it is live, caches come and go with the resources of definitions: [`FeedHandle::exchange`].

mod exchange;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::resources::{GroupResource, Resource};
use store::{Event, Page, Revision, Store, Watch, WatchError};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::freshness::{Freshness, LOADING};
use exchange::Command;
pub(crate) use exchange::FeedHandle;

use super::resource::Cacher;

/// Objects listed at a time while loading.
const PAGE: usize = 1000;
/// How often watchers that asked for bookmarks get one (kube-apiserver: about a minute).
const BOOKMARKS: Duration = Duration::from_secs(55);
/// Waits between attempts to resume: short, because a restart of the store is short.
const RESUME: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// Why the caches could not be filled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The store could not be listed.
    #[error("cannot list {prefix} from the store")]
    List {
        /// Of which resource.
        prefix: String,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// The store could not be watched.
    #[error("cannot watch the store after revision {after}")]
    Watch {
        /// From where.
        after: Revision,
        /// Why.
        #[source]
        source: WatchError,
    },
    /// The store did not say its revision.
    #[error("cannot read the store's revision")]
    Revision {
        /// Why.
        #[source]
        source: store::Error,
    },
}

/// Feeds the caches of all stored resources.
pub(crate) struct Feed {
    store: Store,
    /// Caches by key prefix; two where two groups show the same objects.
    caches: HashMap<String, Vec<Arc<Cacher>>>,
    applied: watch::Sender<Revision>,
}

impl Feed {
    /// Makes a cache per stored resource of the table, fills them all, and keeps them fed until
    /// `shutdown`. Returns the caches in table order, and what adds others.
    pub(crate) async fn start(
        store: Store,
        table: &[Arc<Resource>],
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<(Vec<Arc<Cacher>>, Freshness, FeedHandle), FeedError> {
        let all: Vec<_> = table
            .iter()
            .filter(|resource| resource.is_stored())
            .map(|resource| Arc::new(Cacher::new(resource.clone())))
            .collect();
        let mut caches: HashMap<String, Vec<Arc<Cacher>>> = HashMap::new();
        for cacher in &all {
            caches.entry(cacher.prefix().to_owned()).or_default().push(cacher.clone());
        }
        let (applied, receiver) = watch::channel(LOADING);
        let freshness = Freshness::new(store.clone(), receiver);
        let mut feed = Feed { store, caches, applied };
        let stream = feed.load().await?;
        let (handle, commands) = FeedHandle::new();
        tracker.spawn(feed.run(stream, commands, shutdown));
        Ok((all, freshness, handle))
    }

    /// Loads and catches up.
    async fn load(&mut self) -> Result<Watch, FeedError> {
        let begin = self.revision().await?;
        for (prefix, caches) in &self.caches {
            self.list(prefix, caches).await?;
        }
        let end = self.revision().await?;
        let watch_error = |source| FeedError::Watch { after: begin, source };
        let mut stream = self.store.watch("", begin).await.map_err(watch_error)?;
        let mut reached = begin;
        while reached < end {
            let batch = stream.next().await.map_err(watch_error)?;
            reached = self.apply(&batch).unwrap_or(reached);
        }
        for cache in self.caches.values().flatten() {
            cache.live_from(reached);
        }
        self.announce(reached);
        Ok(stream)
    }

    /// Loads what there is below a prefix, at whatever revision each page has.
    async fn list(&self, prefix: &str, caches: &[Arc<Cacher>]) -> Result<(), FeedError> {
        let mut after = None;
        loop {
            let page = Page { limit: Some(PAGE), after: after.take() };
            let listing = self
                .store
                .list(prefix, page)
                .await
                .map_err(|source| FeedError::List { prefix: prefix.to_owned(), source })?;
            after = listing.items.last().map(|item| item.key.to_string());
            for item in listing.items {
                for cache in caches {
                    cache.load(item.clone());
                }
            }
            if !listing.more {
                return Ok(());
            }
        }
    }

    async fn revision(&self) -> Result<Revision, FeedError> {
        self.store.revision().await.map_err(|source| FeedError::Revision { source })
    }

    async fn run(
        mut self,
        mut stream: Watch,
        mut commands: mpsc::Receiver<Command>,
        shutdown: CancellationToken,
    ) {
        let mut bookmarks = tokio::time::interval(BOOKMARKS);
        bookmarks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = bookmarks.tick() => {
                    for cache in self.caches.values().flatten() {
                        cache.bookmark();
                    }
                }
                Some(command) = commands.recv() => {
                    let exchanged = tokio::select! {
                        () = shutdown.cancelled() => break,
                        exchanged = self.exchange(command, &mut stream) => exchanged,
                    };
                    if let Err(error) = exchanged {
                        let resumed = tokio::select! {
                            () = shutdown.cancelled() => break,
                            resumed = self.resume(error) => resumed,
                        };
                        match resumed {
                            Some(resumed) => stream = resumed,
                            None => break,
                        }
                    }
                }
                batch = stream.next() => match batch {
                    Ok(batch) => {
                        if let Some(reached) = self.apply(&batch) {
                            self.announce(reached);
                        }
                    }
                    Err(error) => {
                        let resumed = tokio::select! {
                            () = shutdown.cancelled() => break,
                            resumed = self.resume(error) => resumed,
                        };
                        match resumed {
                            Some(resumed) => stream = resumed,
                            None => break,
                        }
                    }
                }
            }
        }
        for cache in self.caches.values().flatten() {
            cache.close_watchers();
        }
    }

    /// Gets a stream again, however long the store takes. `None`: the store has been closed.
    async fn resume(&mut self, error: WatchError) -> Option<Watch> {
        let mut error = error;
        let mut waits = RESUME.iter().chain(std::iter::repeat(&RESUME[RESUME.len() - 1]));
        tracing::warn!(%error, "the watch on the store ended; resuming");
        loop {
            let after = *self.applied.borrow();
            error = match error {
                WatchError::Closed => return None,
                WatchError::Compacted { .. } => {
                    // Readers wait from here on; they must not see half-filled caches.
                    self.applied.send_replace(LOADING);
                    for cache in self.caches.values().flatten() {
                        cache.reset();
                    }
                    match self.load().await {
                        Ok(stream) => return Some(stream),
                        Err(error) => {
                            tracing::warn!(%error, "cannot reload the watch cache yet");
                            WatchError::Compacted { oldest: after }
                        }
                    }
                }
                _ => match self.store.watch("", after).await {
                    Ok(stream) => return Some(stream),
                    Err(error) => error,
                },
            };
            tokio::time::sleep(*waits.next()?).await;
        }
    }

    /// Hands a batch to the caches it concerns. Returns its last revision.
    fn apply(&self, batch: &[Event]) -> Option<Revision> {
        let last = batch.last()?.revision;
        // A batch is usually one resource's, or a few interleaved ones: order matters only within.
        let mut by_prefix: Vec<(&str, Vec<&Event>)> = Vec::new();
        for event in batch {
            let Some(prefix) = prefix_of(&event.key) else { continue };
            match by_prefix.iter_mut().find(|(have, _)| *have == prefix) {
                Some((_, events)) => events.push(event),
                None => by_prefix.push((prefix, vec![event])),
            }
        }
        for (prefix, events) in by_prefix {
            for cache in self.caches.get(prefix).into_iter().flatten() {
                cache.apply(&events);
            }
        }
        Some(last)
    }

    fn announce(&self, reached: Revision) {
        for cache in self.caches.values().flatten() {
            cache.progress(reached);
        }
        self.applied.send_replace(reached);
    }
}

/// `core/pods/` of `core/pods/default/web`.
fn prefix_of(key: &str) -> Option<&str> {
    let (slash, _) = key.match_indices('/').nth(1)?;
    Some(&key[..=slash])
}

#[cfg(test)]
mod tests;
