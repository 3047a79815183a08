//! The two engines behind one [`Store`](crate::Store).
//!
//! An engine has two halves. The [`Journal`] is owned by the one writer
//! ([`crate::writer`]) and commits batches. The [`Engine`] is shared and reads.
//!
//! Both engines keep the same four tables:
//!
//! | table | holds |
//! |---|---|
//! | `objects(key, create_revision, mod_revision, value)` | what is now |
//! | `log(revision, kind, key, create_revision, prev_revision, value, prev)` | what happened |
//! | `counter(revision)` | one row: the newest revision |
//! | `compaction(revision)` | one row: history up to here is gone |
//!
//! SQLite, which writes what is now and what happened with one pair of hands,
//! leaves `objects.value` NULL as long as the row of the log that `mod_revision`
//! names has it: an object is written once, not twice. Compaction moves what is
//! still needed before it deletes the row.
//!
//! `log.prev` is the value before the change, but only where the row that
//! `prev_revision` names is more than [`REACH`](crate::plan::REACH) revisions
//! away; else that row's `value` is meant. Compaction to C therefore deletes the
//! rows up to C - REACH only, and every event after C still finds its previous value.

use futures_util::future::BoxFuture;

use crate::error::{Cause, Error};
use crate::hub::Hub;
use crate::keys::Range;
use crate::model::{Event, KeyValue, Listing, Revision};
use crate::plan::{Mutation, Refusal};

pub(crate) mod postgres;
pub(crate) mod sqlite;

/// Rows deleted by one statement of a compaction: enough to be bulk, small
/// enough that a writer who has to wait for it does not notice.
pub(crate) const SWEEP: i64 = 250;

/// What a committed batch did.
#[derive(Debug)]
pub(crate) struct Committed {
    /// One per mutation, in the batch's order.
    pub(crate) outcomes: Vec<Result<Revision, Refusal>>,
    /// In revision order, without gaps.
    pub(crate) events: Vec<Event>,
}

/// Why a batch failed as a whole.
#[derive(Debug, Clone)]
pub(crate) enum CommitError {
    /// Certainly nothing was written.
    Unavailable(Cause),
    /// The commit was on its way: it may have happened.
    Unknown(Cause),
}

/// The writing half, owned by the one writer.
pub(crate) trait Journal: Send {
    /// Applies the batch in one durable transaction.
    fn commit(
        &mut self,
        batch: &[Mutation],
        hub: &Hub,
    ) -> impl Future<Output = Result<Committed, CommitError>> + Send;

    /// What the engine likes to do once the waiters of a batch are answered.
    fn after_batch(&mut self);
}

/// A part of the log.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Matching events, in revision order.
    pub(crate) events: Vec<Event>,
    /// The history of the range is complete up to here.
    pub(crate) complete_to: Revision,
}

/// The reading half, shared by everybody.
pub(crate) trait Engine: Send + Sync {
    /// One key as it is now.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<KeyValue>, Error>>;

    /// At most `limit` keys of a range, now or as of a revision.
    fn list<'a>(
        &'a self,
        range: &'a Range,
        limit: Option<usize>,
        at: Option<Revision>,
    ) -> BoxFuture<'a, Result<Listing, Error>>;

    /// At most `limit` events of a range that came after a revision.
    fn history<'a>(
        &'a self,
        range: &'a Range,
        after: Revision,
        limit: usize,
    ) -> BoxFuture<'a, Result<History, Error>>;

    /// The newest committed revision, of all processes: never less than what anybody has been
    /// answered before the call.
    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>>;

    /// Proves that the database answers now.
    fn ping(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Forgets the history up to `up_to`, which must have been reached.
    fn compact(&self, up_to: Revision) -> BoxFuture<'_, Result<(), Error>>;

    /// Gives up connections and files; later calls fail.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Cuts a listing that was read with one item too many.
pub(crate) fn listing(
    mut items: Vec<KeyValue>,
    limit: Option<usize>,
    revision: Revision,
) -> Listing {
    let more = limit.is_some_and(|limit| items.len() > limit);
    if let Some(limit) = limit {
        items.truncate(limit);
    }
    Listing { items, revision, more }
}

/// Refuses what the history no longer, or not yet, answers.
pub(crate) fn check_bounds(
    asked: Revision,
    compacted: Revision,
    newest: Revision,
) -> Result<(), Error> {
    if asked < compacted {
        return Err(Error::Compacted { oldest: compacted });
    }
    if asked > newest {
        return Err(Error::Future { asked, current: newest });
    }
    Ok(())
}
