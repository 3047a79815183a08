//! One client watching: a filter, a bounded queue, and nothing that can hold up the feed.

use std::sync::Arc;

use store::Revision;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::encoding::EventType;
use super::filter::Filter;
use super::object::{Change, Object};

/// How many undelivered events a watcher may have before it is closed. At 100 bytes an entry this
/// is bounded memory even for a thousand stuck watchers: the objects themselves are shared.
const QUEUE: usize = 1024;

/// What a watcher is sent.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Something happened to an object.
    Event(EventType, Arc<Object>),
    /// Nothing more happened up to this revision.
    Bookmark(Revision),
}

/// The cacher's end of a watch.
pub(super) struct Watcher {
    namespace: Arc<str>,
    filter: Filter,
    bookmarks: bool,
    /// Events up to here are not for this watcher: it has asked from a later version.
    after: Revision,
    queue: mpsc::Sender<Delivery>,
}

/// The client's end of a watch.
pub(crate) struct Subscription {
    /// What to send before anything else: the objects there are, if they were asked for.
    pub(crate) initial: Vec<Arc<Object>>,
    /// The moment that `initial` shows, or from which the watch starts.
    pub(crate) revision: Revision,
    /// What has happened between the version asked for and now.
    pub(crate) replay: Vec<(EventType, Arc<Object>)>,
    /// What happens from now on. Ends when the watcher is closed.
    pub(crate) queue: mpsc::Receiver<Delivery>,
    /// Asks for a bookmark in the queue.
    pub(crate) asker: Asker,
}

/// Asks for a bookmark out of turn. Does not keep the watcher open.
#[derive(Clone)]
pub(crate) struct Asker {
    /// The client has seen what is up to here.
    pub(super) after: Revision,
    pub(super) queue: mpsc::WeakSender<Delivery>,
}

impl Asker {
    /// Says that everything up to `revision` is in the queue, if there is room to say so.
    pub(super) fn bookmark(&self, revision: Revision) {
        if revision >= self.after
            && let Some(queue) = self.queue.upgrade()
        {
            let _ = queue.try_send(Delivery::Bookmark(revision));
        }
    }
}

impl Watcher {
    pub(super) fn new(
        namespace: &str,
        filter: Filter,
        bookmarks: bool,
        after: Revision,
    ) -> (Watcher, mpsc::Receiver<Delivery>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Watcher { namespace: namespace.into(), filter, bookmarks, after, queue: sender }, receiver)
    }

    /// What its client asks for bookmarks with.
    pub(super) fn asker(&self) -> Asker {
        Asker { after: self.after, queue: self.queue.downgrade() }
    }

    /// What this watcher is told about a change, if anything.
    pub(super) fn sees(&self, change: &Change) -> Option<(EventType, Arc<Object>)> {
        if change.revision <= self.after
            || !(self.namespace.is_empty() || change.object.namespace() == &*self.namespace)
        {
            return None;
        }
        change.seen_by(|object| self.filter.matches(object))
    }

    /// Hands a change over. False when the watcher is gone or too slow, and must be dropped.
    pub(super) fn offer(&self, change: &Change) -> bool {
        match self.sees(change) {
            Some((event, object)) => self.send(Delivery::Event(event, object)),
            None => !self.queue.is_closed(),
        }
    }

    /// Whether the client has gone away.
    pub(super) fn gone(&self) -> bool {
        self.queue.is_closed()
    }

    /// Tells a watcher that wants to know that it has seen everything up to `revision`. A full
    /// queue is no reason to close here: the bookmark is dropped, the next one will say more.
    pub(super) fn bookmark(&self, revision: Revision) {
        if self.bookmarks && revision > self.after {
            let _ = self.queue.try_send(Delivery::Bookmark(revision));
        }
    }

    fn send(&self, delivery: Delivery) -> bool {
        match self.queue.try_send(delivery) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                tracing::warn!(queue = QUEUE, "closing a watcher that does not keep up");
                false
            }
        }
    }
}
