//! The writing half: one connection, four round trips per batch.
//!
//! 1. begin, and lock the counter row: from here on nobody else writes;
//! 2. load the touched keys (a new statement, hence a snapshot taken after the lock);
//! 3. write everything, count, ring the bell;
//! 4. commit.
//!
//! Up to and including 3 a failure means that nothing was written: the server
//! rolls back what is not committed. If it fails on a connection that had been
//! idle, it is tried again on a new one. A failure of 4 leaves the outcome unknown
//! unless the server says that it rolled back.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Row};
use tokio::time::{Instant, timeout, timeout_at};

use super::{CONNECT, is_disconnected, read};
use crate::engine::{CommitError, Committed, Journal};
use crate::hub::Hub;
use crate::model::{KeyValue, Revision};
use crate::plan::{Change, Mutation, Plan, plan};

/// What every writing connection is set to.
/// - The plans must be index lookups from the start, before any statistics exist.
/// - A process that hangs inside a transaction must not lock out the others for long.
const SETTINGS: &[(&str, &str)] = &[
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// A database may be configured to acknowledge before the disk has it; Wharf may not.
const DURABLE: &str = "
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'";

const BEGIN: &str = "
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT revision FROM wharf.counter FOR UPDATE";

const LOAD: &str = "
SELECT key, create_revision, mod_revision, value FROM wharf.objects WHERE key = ANY($1)";

const WRITE: &str = "
WITH inserted AS (
    INSERT INTO wharf.objects (key, create_revision, mod_revision, value)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[])
), replaced AS (
    UPDATE wharf.objects SET create_revision = c, mod_revision = m, value = v
    FROM unnest($5::text[], $6::bigint[], $7::bigint[], $8::bytea[]) AS now (k, c, m, v)
    WHERE key = k
), removed AS (
    DELETE FROM wharf.objects WHERE key = ANY($9::text[])
), logged AS (
    INSERT INTO wharf.log (revision, kind, key, create_revision, prev_revision, value, prev)
    SELECT * FROM unnest($10::bigint[], $11::smallint[], $12::text[], $13::bigint[],
                         $14::bigint[], $15::bytea[], $16::bytea[])
), counted AS (
    UPDATE wharf.counter SET revision = $17
)
SELECT pg_notify('wharf_store', $17::text)";

/// Owns the writing connection.
pub(crate) struct PostgresJournal {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    deadline: Duration,
}

impl PostgresJournal {
    pub(super) fn new(options: PgConnectOptions, deadline: Duration) -> PostgresJournal {
        let options = options.options(SETTINGS.iter().copied());
        PostgresJournal { options, connection: None, deadline }
    }

    async fn connect(&self) -> Result<PgConnection, CommitError> {
        let connecting = async {
            let mut connection = self.options.connect().await?;
            sqlx::raw_sql(DURABLE).execute(&mut connection).await?;
            Ok(connection)
        };
        match timeout(CONNECT, connecting).await {
            Ok(connected) => connected.map_err(unavailable),
            Err(elapsed) => Err(CommitError::Unavailable(Arc::new(elapsed))),
        }
    }

    /// One attempt. The connection is kept only if all went well.
    async fn attempt(
        &mut self,
        connection: Option<PgConnection>,
        batch: &[Mutation],
        hub: &Hub,
    ) -> Result<Committed, CommitError> {
        let mut connection = match connection {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let deadline = Instant::now() + self.deadline;
        let (plan, last) = match timeout_at(deadline, stage(&mut connection, batch)).await {
            Ok(staged) => staged.map_err(unavailable)?,
            Err(elapsed) => return Err(CommitError::Unavailable(Arc::new(elapsed))),
        };
        let end = match last {
            Some(last) => {
                hub.committing(last);
                sqlx::raw_sql("COMMIT")
            }
            // Nothing to make durable: the verdicts alone are the answer.
            None => sqlx::raw_sql("ROLLBACK"),
        };
        match timeout_at(deadline, end.execute(&mut connection)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(commit_failed(error)),
            Err(elapsed) => return Err(CommitError::Unknown(Arc::new(elapsed))),
        }
        self.connection = Some(connection);
        let events = plan.log.into_iter().map(|row| row.event).collect();
        Ok(Committed { outcomes: plan.outcomes, events })
    }
}

impl Journal for PostgresJournal {
    async fn commit(&mut self, batch: &[Mutation], hub: &Hub) -> Result<Committed, CommitError> {
        let connection = self.connection.take();
        let rested = connection.is_some();
        let mut result = self.attempt(connection, batch, hub).await;
        if rested && matches!(result, Err(CommitError::Unavailable(_))) {
            tracing::debug!("the connection to the datastore was lost, connecting again");
            result = self.attempt(None, batch, hub).await;
        }
        if result.is_err() {
            hub.committing(Revision(0));
        }
        result
    }

    fn after_batch(&mut self) {}
}

/// Decides and writes the batch; the transaction is left open. No revision means
/// that there was nothing to write.
async fn stage(
    connection: &mut PgConnection,
    batch: &[Mutation],
) -> Result<(Plan, Option<Revision>), sqlx::Error> {
    let row = sqlx::raw_sql(BEGIN).fetch_one(&mut *connection).await?;
    let newest = Revision(row.try_get(0)?);
    let keys: Vec<&str> = batch.iter().map(|mutation| &*mutation.key).collect();
    let rows = sqlx::query(LOAD).bind(keys).fetch_all(&mut *connection).await?;
    let current = rows.iter().map(read::key_value).collect::<Result<_, _>>()?;
    let plan = plan(batch, current, newest);
    if plan.log.is_empty() {
        return Ok((plan, None));
    }
    let last = plan.last(newest);
    write(connection, &plan, last).await?;
    Ok((plan, Some(last)))
}

async fn write(
    connection: &mut PgConnection,
    plan: &Plan,
    last: Revision,
) -> Result<(), sqlx::Error> {
    let (mut inserted, mut replaced) = (Columns::default(), Columns::default());
    let mut removed: Vec<&str> = Vec::new();
    for change in &plan.changes {
        match change {
            Change::Insert(now) => inserted.push(now),
            Change::Replace(now) => replaced.push(now),
            Change::Remove(key) => removed.push(key),
        }
    }
    let log = &plan.log;
    sqlx::query(WRITE)
        .bind(inserted.keys)
        .bind(inserted.created)
        .bind(inserted.modified)
        .bind(inserted.values)
        .bind(replaced.keys)
        .bind(replaced.created)
        .bind(replaced.modified)
        .bind(replaced.values)
        .bind(removed)
        .bind(log.iter().map(|row| row.event.revision.0).collect::<Vec<_>>())
        .bind(log.iter().map(|row| row.event.kind as i16).collect::<Vec<_>>())
        .bind(log.iter().map(|row| &*row.event.key).collect::<Vec<_>>())
        .bind(log.iter().map(|row| row.event.create_revision.0).collect::<Vec<_>>())
        .bind(log.iter().map(|row| row.prev_revision.0).collect::<Vec<_>>())
        .bind(log.iter().map(|row| row.value().map(|value| &**value)).collect::<Vec<_>>())
        .bind(log.iter().map(|row| row.carried().map(|prev| &**prev)).collect::<Vec<_>>())
        .bind(last.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Rows of `objects` as `unnest` takes them.
#[derive(Default)]
struct Columns<'a> {
    keys: Vec<&'a str>,
    created: Vec<i64>,
    modified: Vec<i64>,
    values: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, now: &'a KeyValue) {
        self.keys.push(&now.key);
        self.created.push(now.create_revision.0);
        self.modified.push(now.mod_revision.0);
        self.values.push(&now.value);
    }
}

fn unavailable(error: sqlx::Error) -> CommitError {
    CommitError::Unavailable(Arc::new(error))
}

/// A server that answers with an ordinary error has rolled back; one that says
/// that it is going down may have committed before.
fn commit_failed(error: sqlx::Error) -> CommitError {
    match &error {
        sqlx::Error::Database(_) if !is_disconnected(&error) => {
            CommitError::Unavailable(Arc::new(error))
        }
        _ => CommitError::Unknown(Arc::new(error)),
    }
}
