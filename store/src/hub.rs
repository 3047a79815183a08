//! Live events: from the writer to the watchers of this process.
//!
//! The writer publishes every committed batch before its waiters are answered:
//! once a mutation is acknowledged, its event lies in every watcher's queue.
//! Batches are delivered strictly in revision order. With several processes on
//! one Postgres a batch may come before the batches of others that precede it;
//! it is then parked, and the gap is filled from the log ([`Hub::gap`]).
//!
//! A queue is bounded in events. A watcher that lets it overflow is closed, its
//! queue dropped: it can watch again from the last revision it saw.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::model::{Event, Revision};

/// Batches that may wait for a gap to be filled; what is beyond is read back from the log.
const PARKED: usize = 64;

/// Distributes events in revision order.
pub(crate) struct Hub {
    state: Mutex<State>,
    published: watch::Sender<Revision>,
    gap: Notify,
    /// The last revision of the batch this process is committing.
    committing: AtomicI64,
    /// Whether published events may be missing although nothing is parked.
    resync: AtomicBool,
    buffer: usize,
}

struct State {
    published: Revision,
    parked: Vec<Arc<[Event]>>,
    queues: Vec<Arc<Queue>>,
    closed: bool,
}

impl Hub {
    /// A hub whose past ends at `published`.
    pub(crate) fn new(published: Revision, buffer: usize) -> Hub {
        Hub {
            state: Mutex::new(State {
                published,
                parked: Vec::new(),
                queues: Vec::new(),
                closed: false,
            }),
            published: watch::Sender::new(published),
            gap: Notify::new(),
            committing: AtomicI64::new(published.0),
            resync: AtomicBool::new(false),
            buffer,
        }
    }

    /// Delivers events in revision order; what was delivered before is ignored.
    pub(crate) fn publish(&self, events: Arc<[Event]>) {
        let Some(first) = events.first() else { return };
        let mut state = self.state.lock();
        if first.revision > state.published.next() {
            if state.parked.len() < PARKED {
                state.parked.push(events);
            }
            drop(state);
            self.request_resync();
            return;
        }
        state.deliver(&events, self.buffer);
        while let Some(ready) = state
            .parked
            .iter()
            .position(|batch| batch.first().is_none_or(|e| e.revision <= state.published.next()))
        {
            let batch = state.parked.swap_remove(ready);
            state.deliver(&batch, self.buffer);
        }
        // Still under the lock: the published revision never goes backwards.
        self.published.send_replace(state.published);
    }

    /// Announces that this process is about to commit up to `revision` itself,
    /// so that the bell for it need not be followed by a read; 0 withdraws that.
    pub(crate) fn committing(&self, revision: Revision) {
        self.committing.store(revision.0, Ordering::Release);
    }

    /// Whether a revision heard of has to be read from the log.
    pub(crate) fn is_missing(&self, revision: Revision) -> bool {
        revision > self.published() && revision.0 > self.committing.load(Ordering::Acquire)
    }

    /// Asks for the log to be read up to its end.
    pub(crate) fn request_resync(&self) {
        self.resync.store(true, Ordering::Release);
        self.gap.notify_one();
    }

    /// Ends all watches whose events can no longer be read, and goes on from `newest`.
    pub(crate) fn lose_to(&self, newest: Revision) {
        let mut state = self.state.lock();
        for queue in state.queues.drain(..) {
            queue.close(Closed::Slow);
        }
        state.parked.clear();
        state.published = state.published.max(newest);
        self.published.send_replace(state.published);
    }

    /// Waits until the log has to be read. Cancel-safe.
    pub(crate) async fn gap(&self) {
        while !self.resync.swap(false, Ordering::AcqRel) {
            self.gap.notified().await;
        }
    }

    /// The revision up to which everything lies in the watchers' queues.
    pub(crate) fn published(&self) -> Revision {
        *self.published.borrow()
    }

    /// Follows [`Hub::published`].
    pub(crate) fn follow(&self) -> watch::Receiver<Revision> {
        self.published.subscribe()
    }

    /// A queue for the events of `prefix` behind the returned revision.
    pub(crate) fn subscribe(&self, prefix: &str) -> (Arc<Queue>, Revision) {
        let queue = Arc::new(Queue::new(prefix));
        let mut state = self.state.lock();
        if state.closed {
            queue.close(Closed::Store);
        } else {
            state.queues.push(queue.clone());
        }
        (queue, state.published)
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        for queue in state.queues.drain(..) {
            queue.close(Closed::Store);
        }
    }

    /// The bound of every queue, in events.
    pub(crate) fn buffer(&self) -> usize {
        self.buffer
    }
}

impl State {
    fn deliver(&mut self, batch: &Arc<[Event]>, buffer: usize) {
        let known = batch.partition_point(|event| event.revision <= self.published);
        let fresh = &batch[known..];
        let Some(last) = fresh.last() else { return };
        self.published = last.revision;
        self.queues.retain(|queue| {
            let matching =
                fresh.iter().filter(|event| event.key.starts_with(&*queue.prefix)).count();
            match matching {
                0 => !queue.is_closed(),
                all if all == batch.len() => queue.push(batch.clone(), all, buffer),
                some => {
                    let events = fresh
                        .iter()
                        .filter(|event| event.key.starts_with(&*queue.prefix))
                        .cloned()
                        .collect();
                    queue.push(events, some, buffer)
                }
            }
        });
    }
}

/// Why a queue takes no more events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The watcher did not keep up.
    Slow,
    /// The store was closed.
    Store,
    /// The watcher is gone.
    Watcher,
}

/// The events of one watcher that it has not taken yet.
pub(crate) struct Queue {
    prefix: Box<str>,
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Arc<[Event]>>,
    events: usize,
    closed: Option<Closed>,
}

impl Queue {
    fn new(prefix: &str) -> Queue {
        Queue { prefix: prefix.into(), waiting: Mutex::default(), bell: Notify::new() }
    }

    /// Adds a batch; `false` when the queue is closed (now).
    fn push(&self, batch: Arc<[Event]>, events: usize, buffer: usize) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closed.is_some() {
            return false;
        }
        // A batch larger than the buffer is still deliverable to a watcher that kept up.
        if waiting.events > 0 && waiting.events + events > buffer {
            drop(waiting);
            self.close(Closed::Slow);
            return false;
        }
        waiting.events += events;
        waiting.batches.push_back(batch);
        drop(waiting);
        self.bell.notify_one();
        true
    }

    /// The oldest batch, if one waits.
    pub(crate) fn try_next(&self) -> Result<Option<Arc<[Event]>>, Closed> {
        let mut waiting = self.waiting.lock();
        if let Some(batch) = waiting.batches.pop_front() {
            waiting.events -= batch.len();
            return Ok(Some(batch));
        }
        waiting.closed.map_or(Ok(None), Err)
    }

    /// Waits for a batch or the end. Cancel-safe: a batch is taken last.
    pub(crate) async fn next(&self) -> Result<Arc<[Event]>, Closed> {
        loop {
            if let Some(batch) = self.try_next()? {
                return Ok(batch);
            }
            self.bell.notified().await;
        }
    }

    /// Whether the watcher has taken everything that was published for it.
    pub(crate) fn is_drained(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.batches.is_empty() && waiting.closed.is_none()
    }

    fn is_closed(&self) -> bool {
        self.waiting.lock().closed.is_some()
    }

    /// Ends the queue. What a slow or vanished watcher has not taken is dropped.
    pub(crate) fn close(&self, why: Closed) {
        let mut waiting = self.waiting.lock();
        if waiting.closed.is_none() {
            waiting.closed = Some(why);
            if why != Closed::Store {
                waiting.batches = VecDeque::new();
                waiting.events = 0;
            }
        }
        drop(waiting);
        self.bell.notify_one();
    }
}

#[cfg(test)]
#[path = "hub/tests.rs"]
mod tests;
