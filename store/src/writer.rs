//! The one writer: gathers waiting mutations into one transaction (group commit).
//!
//! A batch is whatever has queued while the batch before it was being committed:
//! a lone writer is never delayed, and a hundred writers share one fsync. What
//! happens to a batch has a fixed order: commit durably, publish to the
//! watchers, answer the callers. Requests are taken in the order they came in.
//!
//! Those who were just answered often write again at once. Taken literally, the
//! rule above would commit the first of them alone and let all others wait for
//! two fsyncs instead of one: big and tiny batches would alternate. So after a
//! batch of many the writer gives the many a moment ([`Pace`]) to come back.
//!
//! The writer runs on a thread of its own: it may block it, and never waits
//! behind other tasks for its turn.
//!
//! The writer ends when the store is closed or its last handle is dropped, after
//! everything that was queued has been committed and answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::engine::{CommitError, Committed, Journal};
use crate::error::{Cause, WriteError};
use crate::hub::Hub;
use crate::model::Revision;
use crate::plan::{Mutation, Refusal};

/// Mutations per transaction. Above some hundred nothing is gained, and one
/// batch should not keep the callers of the next one waiting for long.
const BATCH: usize = 512;

/// Bytes of values after which a batch is closed, so that large objects do not
/// make one transaction of hundreds of megabytes.
const BATCH_BYTES: usize = 16 << 20;

/// The part of a commit's duration that gathering may add to it.
const PATIENCE: u32 = 8;

/// The most that gathering may take, however slow the disk is.
const PATIENCE_MAX: Duration = Duration::from_millis(1);

/// How long to let the callers run before looking at the queue again.
const GLANCE: Duration = Duration::from_micros(50);

/// How long a batch may take before the writer counts as stalled: no commit of a working disk or
/// server comes near it.
const STALLED: Duration = Duration::from_secs(10);

/// What callers send to the writer.
pub(crate) struct Request {
    /// What is to be done.
    pub(crate) mutation: Mutation,
    /// Who waits for the outcome.
    pub(crate) reply: oneshot::Sender<Result<Revision, WriteError>>,
}

/// Since when the writer has been at its current batch, for those who ask how it is.
#[derive(Default)]
pub(crate) struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    fn set(&self, busy_since: Option<Instant>) {
        *self.0.lock() = busy_since;
    }

    /// For how long the current batch has taken, if that is too long.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        stalled(*self.0.lock(), Instant::now())
    }
}

fn stalled(busy_since: Option<Instant>, now: Instant) -> Option<Duration> {
    busy_since.map(|since| now.saturating_duration_since(since)).filter(|took| *took > STALLED)
}

/// Commits until `closing` or until nobody can send any more.
pub(crate) async fn run<J: Journal>(
    mut journal: J,
    mut queue: mpsc::Receiver<Request>,
    hub: Arc<Hub>,
    pulse: Arc<Pulse>,
    group: bool,
    closing: CancellationToken,
) {
    let size = if group { BATCH } else { 1 };
    let mut requests = Vec::with_capacity(size);
    let mut batch = Batch::default();
    let mut pace = Pace::default();
    loop {
        let received = tokio::select! {
            // Closing first: a queue that never runs dry would put it off for ever.
            biased;
            () = closing.cancelled(), if !queue.is_closed() => {
                // What is queued already is still committed; new requests are refused.
                queue.close();
                continue;
            }
            received = queue.recv_many(&mut requests, size) => received,
        };
        if received == 0 {
            break;
        }
        pace.gather(&mut queue, &mut requests, size);
        let (gathered, start) = (requests.len(), Instant::now());
        pulse.set(Some(start));
        for Request { mutation, reply } in requests.drain(..) {
            batch.push(mutation, reply);
            if batch.bytes >= BATCH_BYTES {
                batch.commit(&mut journal, &hub).await;
                pulse.set(Some(Instant::now()));
            }
        }
        batch.commit(&mut journal, &hub).await;
        pulse.set(None);
        pace.note(gathered, start.elapsed());
        journal.after_batch();
    }
    hub.close();
}

/// What the last batch tells about the next one.
#[derive(Default)]
struct Pace {
    /// Requests in the last batch.
    size: usize,
    /// How long it took.
    took: Duration,
}

impl Pace {
    /// Waits, within bounds, for about as many requests as the last batch had.
    fn gather(
        &self,
        queue: &mut mpsc::Receiver<Request>,
        requests: &mut Vec<Request>,
        most: usize,
    ) {
        // Not for the last few stragglers.
        let enough = (self.size - self.size / 8).min(most);
        if requests.len() >= enough {
            return;
        }
        let end = Instant::now() + (self.took / PATIENCE).min(PATIENCE_MAX);
        while requests.len() < enough && Instant::now() < end && !queue.is_closed() {
            std::thread::park_timeout(GLANCE);
            while requests.len() < most
                && let Ok(request) = queue.try_recv()
            {
                requests.push(request);
            }
        }
    }

    fn note(&mut self, size: usize, took: Duration) {
        *self = Pace { size, took };
    }
}

/// Mutations of one transaction and those who wait for them.
#[derive(Default)]
struct Batch {
    mutations: Vec<Mutation>,
    waiters: Vec<oneshot::Sender<Result<Revision, WriteError>>>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, mutation: Mutation, reply: oneshot::Sender<Result<Revision, WriteError>>) {
        self.bytes += mutation.size();
        self.mutations.push(mutation);
        self.waiters.push(reply);
    }

    async fn commit<J: Journal>(&mut self, journal: &mut J, hub: &Hub) {
        if self.mutations.is_empty() {
            return;
        }
        match journal.commit(&self.mutations, hub).await {
            Ok(Committed { outcomes, events }) => {
                hub.publish(events.into());
                for (waiter, outcome) in self.waiters.drain(..).zip(outcomes) {
                    // A caller that gave up is no error: its mutation has happened all the same.
                    let _ = waiter.send(outcome.map_err(WriteError::from));
                }
            }
            Err(error) => {
                if let CommitError::Unknown(_) = error {
                    // If it did happen, the watchers learn it from the log.
                    hub.request_resync();
                }
                tracing::warn!(
                    mutations = self.mutations.len(),
                    unknown = matches!(error, CommitError::Unknown(_)),
                    error = %error.cause(),
                    "a batch of writes failed"
                );
                for (waiter, mutation) in self.waiters.drain(..).zip(&self.mutations) {
                    let _ = waiter.send(Err(error.of(&mutation.key)));
                }
            }
        }
        self.mutations.clear();
        self.bytes = 0;
    }
}

impl CommitError {
    fn cause(&self) -> Cause {
        match self {
            CommitError::Unavailable(cause) | CommitError::Unknown(cause) => cause.clone(),
        }
    }

    fn of(&self, key: &str) -> WriteError {
        let key = key.to_owned();
        match self {
            CommitError::Unavailable(source) => {
                WriteError::Unavailable { key, source: source.clone() }
            }
            CommitError::Unknown(source) => WriteError::Unknown { key, source: source.clone() },
        }
    }
}

impl From<Refusal> for WriteError {
    fn from(refusal: Refusal) -> WriteError {
        match refusal {
            Refusal::Exists(current) => WriteError::Exists { current },
            Refusal::Conflict(current) => WriteError::Conflict { current },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_batch_that_takes_too_long_is_a_stall() {
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds));
        assert_eq!(stalled(None, now), None);
        assert_eq!(stalled(ago(10), now), None);
        assert_eq!(stalled(ago(11), now), Some(Duration::from_secs(11)));
    }
}
