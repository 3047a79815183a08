//! The handle that everybody holds.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::engine::{Engine, Journal, postgres, sqlite};
use crate::error::{Error, OpenError, WatchError, WriteError};
use crate::hub::Hub;
use crate::keys::{self, Range};
use crate::model::{KeyValue, Listing, Page, Revision};
use crate::options::Options;
use crate::plan::{Mutation, Verb};
use crate::watch::Watch;
use crate::writer::{Pulse, Request};
use crate::{compactor, follower, writer};

/// A revisioned key-value store; clones share it.
///
/// Dropping the last clone ends the background work as well, but only
/// [`Store::close`] waits for it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    queue: mpsc::Sender<Request>,
    engine: Arc<dyn Engine>,
    hub: Arc<Hub>,
    pulse: Arc<Pulse>,
    closing: CancellationToken,
    tracker: TaskTracker,
}

impl Store {
    /// Opens, and creates where it does not exist, the store at `url`:
    /// `sqlite:///absolute/path.db` or `postgres://user@host/database`.
    ///
    /// An SQLite file is locked: one process, one `Store`. On Postgres any number
    /// of processes may share a database. Must be called on a tokio runtime.
    pub async fn open(url: &str, options: Options) -> Result<Store, OpenError> {
        let (queue, requests) = mpsc::channel(options.queue.max(1));
        let closing = CancellationToken::new();
        let tracker = TaskTracker::new();
        let pulse = Arc::new(Pulse::default());
        let writing = (requests, pulse.clone(), options.group, closing.clone(), tracker.token());
        let (engine, hub): (Arc<dyn Engine>, Arc<Hub>) = match url.split_once("://") {
            Some(("sqlite", path)) => {
                let (engine, journal) = sqlite::open(path).await?;
                let hub = Arc::new(Hub::new(journal.newest(), options.watch_buffer));
                start_writer(journal, hub.clone(), writing)?;
                (Arc::new(sqlite::Shared(engine)), hub)
            }
            Some(("postgres" | "postgresql", _)) => {
                let (engine, journal, newest) = postgres::open(url, &options).await?;
                let hub = Arc::new(Hub::new(newest, options.watch_buffer));
                start_writer(journal, hub.clone(), writing)?;
                tracker.spawn(postgres::listen(engine.clone(), hub.clone(), closing.clone()));
                (engine, hub)
            }
            _ => return Err(OpenError::Url { url: postgres::without_password(url) }),
        };
        let work = follower::run(engine.clone(), hub.clone());
        tracker.spawn(closing.clone().run_until_cancelled_owned(work));
        if let Some(retention) = options.retention {
            let work = compactor::run(engine.clone(), hub.follow(), retention);
            tracker.spawn(closing.clone().run_until_cancelled_owned(work));
        }
        tracker.close();
        Ok(Store { inner: Arc::new(Inner { queue, engine, hub, pulse, closing, tracker }) })
    }

    /// The key as it is now.
    pub async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        if !keys::is_valid(key) {
            return Ok(None);
        }
        self.inner.engine.get(key).await
    }

    /// The keys that start with `prefix`, in byte order, all as of one revision.
    pub async fn list(&self, prefix: &str, page: Page) -> Result<Listing, Error> {
        self.list_range(prefix, page, None).await
    }

    /// The keys as they were at `at`. [`Error::Compacted`] when that is too long
    /// ago, [`Error::Future`] when it has not been reached. `Listing::revision`
    /// is then `at`.
    pub async fn list_at(&self, prefix: &str, page: Page, at: Revision) -> Result<Listing, Error> {
        self.list_range(prefix, page, Some(at)).await
    }

    async fn list_range(
        &self,
        prefix: &str,
        page: Page,
        at: Option<Revision>,
    ) -> Result<Listing, Error> {
        let mut range = Range::prefix(prefix);
        if let Some(after) = &page.after {
            range = range.after(after);
        }
        self.inner.engine.list(&range, page.limit, at).await
    }

    /// Stores a key that must not exist.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<Revision, WriteError> {
        self.write(key, Verb::Create(value)).await
    }

    /// Replaces the value of a key that must still be at `expected`.
    pub async fn update(
        &self,
        key: &str,
        value: Bytes,
        expected: Revision,
    ) -> Result<Revision, WriteError> {
        self.write(key, Verb::Update { value, expected }).await
    }

    /// Removes a key that must still be at `expected`; returns the deletion's own revision.
    pub async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, WriteError> {
        self.write(key, Verb::Delete { expected }).await
    }

    /// Queues a mutation and waits for its outcome.
    ///
    /// Not cancel-safe in the strict sense: a caller that stops waiting does not
    /// learn the outcome, the mutation may still happen.
    async fn write(&self, key: &str, verb: Verb) -> Result<Revision, WriteError> {
        if !keys::is_valid(key) {
            return Err(WriteError::InvalidKey { key: key.to_owned() });
        }
        let (reply, outcome) = oneshot::channel();
        let request = Request { mutation: Mutation { key: key.into(), verb }, reply };
        self.inner.queue.send(request).await.map_err(|_| WriteError::Closed)?;
        // The writer answers whatever it has taken; if it died instead, nobody knows how far it got.
        let died = |source| WriteError::Unknown { key: key.to_owned(), source: Arc::new(source) };
        outcome.await.map_err(died)?
    }

    /// Every event of `prefix` after `after`: first what has been, then what
    /// comes, without gap or duplicate.
    pub async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, WatchError> {
        Watch::start(self.inner.engine.clone(), self.inner.hub.clone(), prefix, after).await
    }

    /// The newest committed revision, of all processes: never less than what anybody has been
    /// answered before this call. SQLite has one process, which knows; Postgres is asked.
    pub async fn revision(&self) -> Result<Revision, Error> {
        self.inner.engine.revision().await
    }

    /// The revision up to which all events lie in the queues of this process's
    /// watches. Every mutation this process has been acknowledged is included as
    /// soon as it is acknowledged, unless other processes write too.
    pub fn published(&self) -> watch::Receiver<Revision> {
        self.inner.hub.follow()
    }

    /// Forgets the history up to `up_to`: watches must start at or after it.
    pub async fn compact(&self, up_to: Revision) -> Result<(), Error> {
        self.inner.engine.compact(up_to).await
    }

    /// Proves that the database answers and that the writer is alive and not stuck in a batch.
    /// One small read: it waits behind no mutation, and a full queue does not fail it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Stalled`] or [`Error::Closed`].
    pub async fn ping(&self) -> Result<(), Error> {
        if self.inner.queue.is_closed() {
            return Err(Error::Closed);
        }
        if let Some(since) = self.inner.pulse.stalled() {
            return Err(Error::Stalled { since });
        }
        self.inner.engine.ping().await
    }

    /// Commits what is queued, refuses what comes later, ends all watches, and
    /// returns when files and connections are closed.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.tracker.wait().await;
        self.inner.engine.close().await;
    }
}

type Writing = (mpsc::Receiver<Request>, Arc<Pulse>, bool, CancellationToken, TaskTrackerToken);

/// Starts the writer on a thread and a runtime of its own. The token keeps
/// [`Store::close`] waiting for its end.
fn start_writer<J: Journal + 'static>(
    journal: J,
    hub: Arc<Hub>,
    (requests, pulse, group, closing, token): Writing,
) -> Result<(), OpenError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| OpenError::Thread { source })?;
    let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || {
        runtime.block_on(writer::run(journal, requests, hub, pulse, group, closing));
        drop(token);
    });
    thread.map(|_| ()).map_err(|source| OpenError::Thread { source })
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("published", &self.inner.hub.published()).finish()
    }
}
