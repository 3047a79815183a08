//! The writing half: runs on the writer's own thread and may block it.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::MutexGuard;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use super::checkpoint::Checkpoints;
use super::{Failure, Sqlite, read};
use crate::engine::{CommitError, Committed, Journal, SWEEP, check_bounds};
use crate::hub::Hub;
use crate::model::Revision;
use crate::plan::{Change, Mutation, Plan, REACH, plan};

// The value is in the log, and stays there until that part of the log is forgotten.
const INSERT: &str = "
INSERT INTO objects (key, create_revision, mod_revision) VALUES (?1, ?2, ?3)";
const REPLACE: &str = "
UPDATE objects SET create_revision = ?2, mod_revision = ?3, value = NULL WHERE key = ?1";
const REMOVE: &str = "DELETE FROM objects WHERE key = ?1";
const LOG: &str = "
INSERT INTO log (revision, kind, key, create_revision, prev_revision, value, prev)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const COUNT: &str = "UPDATE counter SET revision = ?1";
const OLDEST: &str = "SELECT min(revision) FROM log";
// What is still an object's value moves there. Objects without a value of their own are found by the
// keys of the chunk, so that the work goes with the chunk and not with the number of objects.
const KEEP: &str = "
UPDATE objects SET value = (SELECT log.value FROM log WHERE log.revision = objects.mod_revision)
WHERE key IN (SELECT log.key FROM log WHERE log.revision <= ?1)
      AND mod_revision <= ?1 AND value IS NULL";
const FORGET: &str = "DELETE FROM log WHERE revision <= ?1";

/// How much longer than for a chunk a compaction rests after it.
const REST: u32 = 2;

/// Owns the order of commits.
pub(crate) struct SqliteJournal {
    sqlite: Arc<Sqlite>,
    checkpoints: Checkpoints,
}

impl SqliteJournal {
    pub(super) fn new(sqlite: Arc<Sqlite>) -> std::io::Result<SqliteJournal> {
        let checkpoints = Checkpoints::start(&sqlite.path)?;
        Ok(SqliteJournal { sqlite, checkpoints })
    }

    /// The newest revision when the store was opened.
    pub(crate) fn newest(&self) -> Revision {
        self.sqlite.newest.lock().unwrap_or_default()
    }

    fn commit_now(&mut self, batch: &[Mutation]) -> Result<Committed, CommitError> {
        let sqlite = self.sqlite.clone();
        let mut guard = sqlite.writer.lock();
        let connection = sqlite.connection(&mut guard).map_err(unavailable)?;
        let known = *sqlite.newest.lock();
        let written = stage(connection, batch, known);
        let (plan, newest) = match written {
            Ok(staged) => staged,
            Err(error) => {
                self.abandon(guard, &error);
                return Err(unavailable(error));
            }
        };
        let Plan { outcomes, log, .. } = plan;
        if log.is_empty() {
            // Nothing to make durable: the verdicts alone are the answer.
            if let Err(error) = execute(connection, "ROLLBACK") {
                self.abandon(guard, &error);
            }
            return Ok(Committed { outcomes, events: Vec::new() });
        }
        if let Err(error) = execute(connection, "COMMIT") {
            // Still inside the transaction means that it has not happened.
            let open = !connection.is_autocommit();
            self.abandon(guard, &error);
            let cause = error.cause();
            return Err(if open {
                CommitError::Unavailable(cause)
            } else {
                CommitError::Unknown(cause)
            });
        }
        *sqlite.newest.lock() = Some(newest);
        Ok(Committed { outcomes, events: log.into_iter().map(|row| row.event).collect() })
    }

    /// After an error: undo, and where that fails or the disk is in doubt, start
    /// over with a new connection.
    fn abandon(&mut self, mut guard: MutexGuard<'_, Option<Connection>>, error: &Failure) {
        *self.sqlite.newest.lock() = None;
        let Some(connection) = guard.as_ref() else { return };
        let undone = connection.is_autocommit() || execute(connection, "ROLLBACK").is_ok();
        let harmless = matches!(error, Failure::Sqlite(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy)));
        if !(undone && harmless) {
            *guard = None;
        }
    }
}

impl Journal for SqliteJournal {
    async fn commit(&mut self, batch: &[Mutation], _hub: &Hub) -> Result<Committed, CommitError> {
        self.commit_now(batch)
    }

    fn after_batch(&mut self) {
        self.checkpoints.consider();
    }
}

/// Decides and writes the batch; the transaction is left open.
fn stage(
    connection: &Connection,
    batch: &[Mutation],
    newest: Option<Revision>,
) -> Result<(Plan, Revision), Failure> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let newest = match newest {
        Some(newest) => newest,
        None => read::bounds(connection)?.0,
    };
    let mut current = Vec::new();
    let mut get = connection.prepare_cached(read::GET)?;
    for mutation in batch {
        let mut rows = get.query([&*mutation.key])?;
        if let Some(row) = rows.next()? {
            current.push(read::key_value(row)?);
        }
    }
    let plan = plan(batch, current, newest);
    if plan.log.is_empty() {
        return Ok((plan, newest));
    }
    let mut insert = connection.prepare_cached(INSERT)?;
    let mut replace = connection.prepare_cached(REPLACE)?;
    let mut remove = connection.prepare_cached(REMOVE)?;
    for change in &plan.changes {
        let (statement, now) = match change {
            Change::Insert(now) => (&mut insert, now),
            Change::Replace(now) => (&mut replace, now),
            Change::Remove(key) => {
                remove.execute([&**key])?;
                continue;
            }
        };
        statement.execute(params![&*now.key, now.create_revision.0, now.mod_revision.0])?;
    }
    let mut log = connection.prepare_cached(LOG)?;
    for row in &plan.log {
        log.execute(params![
            row.event.revision.0,
            row.event.kind as i64,
            &*row.event.key,
            row.event.create_revision.0,
            row.prev_revision.0,
            row.value().map(|value| &**value),
            row.carried().map(|prev| &**prev),
        ])?;
    }
    let last = plan.last(newest);
    connection.prepare_cached(COUNT)?.execute([last.0])?;
    Ok((plan, last))
}

/// Moves the compaction point, then deletes chunk by chunk. The writer gets the
/// connection between any two chunks.
pub(super) fn compact(sqlite: &Sqlite, up_to: Revision) -> Result<(), Failure> {
    {
        let mut guard = sqlite.writer.lock();
        let connection = sqlite.connection(&mut guard)?;
        let (newest, compacted) = read::bounds(connection)?;
        if up_to <= compacted {
            return Ok(());
        }
        check_bounds(up_to, compacted, newest)?;
        connection.execute("UPDATE compaction SET revision = ?1", [up_to.0])?;
        MutexGuard::unlock_fair(guard);
    }
    loop {
        let begun = Instant::now();
        if forget(sqlite, up_to)? == 0 {
            return Ok(());
        }
        // Nobody waits for the end of this. Checkpoints get time to keep up, so that the writer does
        // not have to wait for one.
        std::thread::park_timeout(REST * begun.elapsed());
    }
}

/// Deletes one chunk of what is behind the compaction point; how many rows that were.
fn forget(sqlite: &Sqlite, up_to: Revision) -> Result<usize, Failure> {
    let mut guard = sqlite.writer.lock();
    let connection = sqlite.connection(&mut guard)?;
    let deleted = forget_chunk(connection, up_to);
    MutexGuard::unlock_fair(guard);
    deleted
}

fn forget_chunk(connection: &mut Connection, up_to: Revision) -> Result<usize, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let oldest: Option<i64> =
        transaction.prepare_cached(OLDEST)?.query_row([], |row| row.get(0))?;
    let Some(oldest) = oldest else { return Ok(0) };
    let last = (up_to.0 - REACH).min(oldest + SWEEP - 1);
    if last < oldest {
        return Ok(0);
    }
    transaction.prepare_cached(KEEP)?.execute([last])?;
    let deleted = transaction.prepare_cached(FORGET)?.execute([last])?;
    transaction.commit()?;
    Ok(deleted)
}

fn execute(connection: &Connection, sql: &'static str) -> Result<(), Failure> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn unavailable(failure: Failure) -> CommitError {
    CommitError::Unavailable(failure.cause())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use rusqlite::StatementStatus;

    use super::super::{READERS, Shared};
    use super::*;
    use crate::engine::Engine as _;
    use crate::error::Error;
    use crate::plan::Verb;

    fn create(key: &str, size: usize) -> [Mutation; 1] {
        [Mutation { key: key.into(), verb: Verb::Create(vec![1; size].into()) }]
    }

    fn limit(sqlite: &Sqlite, pages: i64) {
        let guard = sqlite.writer.lock();
        let connection = guard.as_ref().expect("the connection is kept");
        let set = format!("PRAGMA max_page_count = {pages}");
        connection.query_row(&set, [], |_| Ok(())).expect("a pragma");
    }

    #[tokio::test]
    async fn the_revision_is_known_without_the_disk_unless_a_commit_failed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let (sqlite, mut journal) =
            super::super::open(path.to_str().expect("UTF-8")).await.expect("it opens");
        let engine = Shared(sqlite.clone());
        let all = u32::try_from(READERS).expect("a small number");
        let readers = sqlite.permits.acquire_many(all).await.expect("an open store");
        let ask = || engine.revision().now_or_never();
        assert!(matches!(ask(), Some(Ok(Revision(0)))));
        journal.commit_now(&create("/a", 10)).expect("there is room");
        assert!(matches!(ask(), Some(Ok(Revision(1)))));
        limit(&sqlite, 30);
        journal.commit_now(&create("/big", 1 << 20)).expect_err("there is no room");
        // In doubt the file has the word, and nobody can read it now.
        assert!(ask().is_none());
        drop(readers);
        assert_eq!(engine.revision().await.expect("an answer"), Revision(1));
        limit(&sqlite, 1 << 20);
        journal.commit_now(&create("/b", 10)).expect("there is room again");
        let readers = sqlite.permits.acquire_many(all).await.expect("an open store");
        assert!(matches!(ask(), Some(Ok(Revision(2)))));
        drop(readers);
        engine.close().await;
        assert!(matches!(engine.revision().await, Err(Error::Closed)));
    }

    #[tokio::test]
    async fn a_long_log_is_forgotten_in_chunks_between_which_others_write() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let (sqlite, mut journal) =
            super::super::open(path.to_str().expect("UTF-8")).await.expect("it opens");
        let rows = 2 * SWEEP + SWEEP / 2 + REACH;
        let batch: Vec<_> = (0..rows).flat_map(|n| create(&format!("/{n}"), 1)).collect();
        journal.commit_now(&batch).expect("there is room");
        let up_to = Revision(rows);
        let mut next = rows;
        for chunk in [SWEEP, SWEEP, SWEEP / 2, 0] {
            assert_eq!(forget(&sqlite, up_to).ok(), usize::try_from(chunk).ok());
            next += 1;
            let written = journal.commit_now(&create(&format!("/{next}"), 1)).expect("a write");
            assert_eq!(written.outcomes, [Ok(Revision(next))]);
        }
    }

    #[tokio::test]
    async fn forgetting_a_chunk_of_a_long_log_is_no_more_work_than_of_a_short_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let (sqlite, mut journal) =
            super::super::open(path.to_str().expect("UTF-8")).await.expect("it opens");
        let rows = 10 * SWEEP + REACH;
        let batch: Vec<_> = (0..rows).flat_map(|n| create(&format!("/{n}"), 1)).collect();
        journal.commit_now(&batch).expect("there is room");
        let mut steps = Vec::new();
        for _ in 0..10 {
            assert_eq!(forget(&sqlite, Revision(rows)).ok(), usize::try_from(SWEEP).ok());
            let guard = sqlite.writer.lock();
            let connection = guard.as_ref().expect("the connection is kept");
            let taken = |sql| {
                let statement = connection.prepare_cached(sql).expect("a statement");
                statement.reset_status(StatementStatus::VmStep)
            };
            steps.push(taken(OLDEST) + taken(KEEP) + taken(FORGET));
        }
        // The first chunk had the whole log behind it, the last one had nothing.
        let (first, last) = (steps[0], steps[9]);
        assert!(first < 2 * last, "steps of SQLite's machine per chunk: {steps:?}");
    }

    #[tokio::test]
    async fn a_full_disk_refuses_the_write_and_leaves_no_gap() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let (sqlite, mut journal) =
            super::super::open(path.to_str().expect("UTF-8")).await.expect("it opens");
        assert_eq!(journal.commit_now(&create("/a", 10)).expect("there is room").events.len(), 1);
        limit(&sqlite, 30); // SQLite answers as it does for ENOSPC: SQLITE_FULL
        let refused = journal.commit_now(&create("/big", 1 << 20));
        assert!(matches!(refused, Err(CommitError::Unavailable(_))), "{refused:?}");
        limit(&sqlite, 1 << 20);
        let after = journal.commit_now(&create("/big", 1 << 20)).expect("there is room again");
        assert_eq!(after.outcomes, [Ok(Revision(2))]);
    }
}
