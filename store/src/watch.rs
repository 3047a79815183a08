//! A watch: history from the log, then live, without gap or duplicate.
//!
//! States of a watch:
//! - `Past`: reads pages of the log until it meets the present. Nothing is
//!   buffered meanwhile, however long that takes. Compaction may overtake it:
//!   the watch ends with `Compacted`.
//! - `Live`: takes batches from its queue in the [`Hub`]. If the hub had
//!   published more than the log pages covered when the queue was made, the rest
//!   is one more page. Revisions already returned are dropped.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, WatchError};
use crate::hub::{Closed, Hub, Queue};
use crate::keys::Range;
use crate::model::{Event, Revision};

/// Events per page of history.
const PAGE: usize = 500;

/// The events of a prefix from a revision on; made by [`Store::watch`](crate::Store::watch).
pub struct Watch {
    engine: Arc<dyn Engine>,
    hub: Arc<Hub>,
    prefix: String,
    /// Everything up to here has been returned.
    seen: Revision,
    state: State,
}

enum State {
    Past,
    /// `catch_up`: how far the log has to be read before the queue is looked at.
    Live {
        queue: Arc<Queue>,
        catch_up: Revision,
    },
}

impl Watch {
    /// Starts; fails at once when `after` has been compacted.
    pub(crate) async fn start(
        engine: Arc<dyn Engine>,
        hub: Arc<Hub>,
        prefix: &str,
        after: Revision,
    ) -> Result<Watch, WatchError> {
        let mut watch =
            Watch { engine, hub, prefix: prefix.to_owned(), seen: after, state: State::Past };
        if after >= watch.hub.published() {
            // The present needs no log: the queue begins where the caller ended.
            watch.go_live();
        } else {
            // Only for its verdict; the page itself is read when it is wanted.
            watch.read_log(0).await?;
        }
        Ok(watch)
    }

    /// The next events, oldest first, never empty. Cancel-safe.
    pub async fn next(&mut self) -> Result<Arc<[Event]>, WatchError> {
        loop {
            let (queue, catch_up) = match &self.state {
                State::Past => (None, self.hub.published()),
                State::Live { queue, catch_up } => (Some(queue.clone()), *catch_up),
            };
            if self.seen < catch_up {
                let events = self.read_log(PAGE).await?;
                if !events.is_empty() {
                    return Ok(events.into());
                }
                continue;
            }
            let Some(queue) = queue else {
                self.go_live();
                continue;
            };
            let batch = queue.next().await.map_err(|why| match why {
                Closed::Slow => WatchError::Slow { buffered: self.hub.buffer() },
                Closed::Store | Closed::Watcher => WatchError::Closed,
            })?;
            if let Some(batch) = self.unseen(batch) {
                return Ok(batch);
            }
        }
    }

    /// The revision up to which [`Watch::next`] has returned every event of the prefix.
    ///
    /// It also moves on when other prefixes change: together with
    /// [`Store::published`](crate::Store::published) a cache can prove itself fresh.
    pub fn progress(&mut self) -> Revision {
        if let State::Live { queue, catch_up } = &self.state {
            // Read before looking at the queue: what is published by now lies in it.
            let published = self.hub.published();
            if *catch_up <= self.seen && queue.is_drained() {
                self.seen = self.seen.max(published);
            }
        }
        self.seen
    }

    /// Reads one page and moves `seen` on. `limit` 0 only checks the bounds.
    async fn read_log(&mut self, limit: usize) -> Result<Vec<Event>, WatchError> {
        let range = Range::prefix(&self.prefix);
        match self.engine.history(&range, self.seen, limit).await {
            Ok(history) => {
                if limit > 0 {
                    self.seen = self.seen.max(history.complete_to);
                }
                Ok(history.events)
            }
            Err(Error::Compacted { oldest }) => Err(WatchError::Compacted { oldest }),
            Err(Error::Closed) => Err(WatchError::Closed),
            Err(source) => Err(WatchError::History { after: self.seen, source }),
        }
    }

    fn go_live(&mut self) {
        let (queue, published) = self.hub.subscribe(&self.prefix);
        self.state = State::Live { queue, catch_up: published };
    }

    /// The part of a batch that has not been returned yet.
    fn unseen(&mut self, batch: Arc<[Event]>) -> Option<Arc<[Event]>> {
        let known = batch.partition_point(|event| event.revision <= self.seen);
        self.seen = self.seen.max(batch.last()?.revision);
        match known {
            0 => Some(batch),
            known if known == batch.len() => None,
            known => Some(batch[known..].into()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let State::Live { queue, .. } = &self.state {
            queue.close(Closed::Watcher);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("prefix", &self.prefix).field("seen", &self.seen).finish()
    }
}
