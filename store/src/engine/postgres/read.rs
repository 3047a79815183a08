//! The reads and the compaction, one statement each.
//!
//! Items come with the counter from one snapshot: counter and compaction point
//! are joined to every row, and are the only columns of an empty answer.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Row, ValueRef};

use super::Failure;
use crate::engine::{History, SWEEP, check_bounds, listing};
use crate::error::Error;
use crate::keys::Range;
use crate::model::{Event, EventKind, KeyValue, Listing, Revision};
use crate::plan::REACH;

const GET: &str =
    "SELECT key, create_revision, mod_revision, value FROM wharf.objects WHERE key = $1";

const LIST: &str = "
SELECT item.*, counter.revision, compaction.revision
FROM wharf.counter, wharf.compaction LEFT JOIN LATERAL (
    SELECT key, create_revision, mod_revision, value FROM wharf.objects
    WHERE key >= $1 AND key < $2 AND key <> $3 ORDER BY key LIMIT $4
) AS item ON true";

// What has not changed since is still in `objects`; what has is what the first
// change after $5 replaced.
const LIST_AT: &str = "
SELECT item.*, counter.revision, compaction.revision
FROM wharf.counter, wharf.compaction LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT key, create_revision, mod_revision, value FROM wharf.objects
        WHERE key >= $1 AND key < $2 AND key <> $3 AND mod_revision <= $5
        UNION ALL
        SELECT first.key, first.create_revision, first.prev_revision,
               coalesce(first.prev, before.value)
        FROM (SELECT DISTINCT ON (key) * FROM wharf.log
              WHERE revision > $5 AND key >= $1 AND key < $2 AND key <> $3
              ORDER BY key, revision) AS first
        LEFT JOIN wharf.log AS before ON before.revision = first.prev_revision
        WHERE first.kind <> 0
    ) AS past ORDER BY key LIMIT $4
) AS item ON true";

const HISTORY: &str = "
SELECT event.*, counter.revision, compaction.revision
FROM wharf.counter, wharf.compaction LEFT JOIN LATERAL (
    SELECT log.revision AS at, log.kind, log.key, log.create_revision, log.value,
           coalesce(log.prev, before.value)
    FROM wharf.log LEFT JOIN wharf.log AS before
         ON before.revision = log.prev_revision AND log.prev IS NULL
    WHERE log.revision > $1 AND log.key >= $2 AND log.key < $3
    ORDER BY log.revision LIMIT $4
) AS event ON true";

const MOVE_POINT: &str = "
UPDATE wharf.compaction SET revision = $1
WHERE revision < $1 AND $1 <= (SELECT revision FROM wharf.counter)";

const FORGET: &str = "
DELETE FROM wharf.log
WHERE revision <= $1 AND revision < $2 + (SELECT min(revision) FROM wharf.log)";

/// Rows deleted by one statement; rows do not block writers here, so these may be many.
const FORGET_ROWS: i64 = 10 * SWEEP;

pub(super) async fn get(pool: PgPool, key: &str) -> Result<Option<KeyValue>, Failure> {
    let row = sqlx::query(GET).bind(key).fetch_optional(&pool).await?;
    Ok(row.map(|row| key_value(&row)).transpose()?)
}

pub(super) async fn list(
    pool: PgPool,
    range: &Range,
    limit: Option<usize>,
    at: Option<Revision>,
) -> Result<Listing, Failure> {
    // One item more than asked for tells whether more follow.
    let one_more = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1);
    let query = match at {
        None => sqlx::query(LIST),
        Some(_) => sqlx::query(LIST_AT),
    };
    let mut query = query.bind(&range.from).bind(&range.end).bind(&range.skip).bind(one_more);
    if let Some(at) = at {
        query = query.bind(at.0);
    }
    let rows = query.fetch_all(&pool).await?;
    let (newest, compacted) = bounds(&rows, 4)?;
    if let Some(at) = at {
        check_bounds(at, compacted, newest).map_err(Failure::Answer)?;
    }
    let items = rows.iter().filter(|row| !is_empty(row)).map(key_value);
    Ok(listing(items.collect::<Result<_, _>>()?, limit, at.unwrap_or(newest)))
}

pub(super) async fn history(
    pool: PgPool,
    range: &Range,
    after: Revision,
    limit: usize,
) -> Result<History, Failure> {
    let rows = sqlx::query(HISTORY)
        .bind(after.0)
        .bind(&range.from)
        .bind(&range.end)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&pool)
        .await?;
    let (newest, compacted) = bounds(&rows, 6)?;
    if after < compacted {
        return Err(Failure::Answer(Error::Compacted { oldest: compacted }));
    }
    let events: Vec<Event> =
        rows.iter().filter(|row| !is_empty(row)).map(event).collect::<Result<_, _>>()?;
    let complete_to = match events.last() {
        Some(last) if events.len() == limit => last.revision,
        _ => newest,
    };
    Ok(History { events, complete_to })
}

pub(super) async fn revision(pool: PgPool) -> Result<Revision, Failure> {
    let row = sqlx::query("SELECT revision FROM wharf.counter").fetch_one(&pool).await?;
    Ok(Revision(row.try_get(0)?))
}

/// Moves the compaction point forward; `false` when it is there already.
pub(super) async fn move_point(pool: PgPool, up_to: Revision) -> Result<bool, Failure> {
    let current = revision(pool.clone()).await?;
    if up_to > current {
        return Err(Failure::Answer(Error::Future { asked: up_to, current }));
    }
    let moved = sqlx::query(MOVE_POINT).bind(up_to.0).execute(&pool).await?;
    Ok(moved.rows_affected() > 0)
}

/// Deletes some of the oldest rows that nothing can refer to any more.
pub(super) async fn forget(pool: PgPool, up_to: Revision) -> Result<u64, Failure> {
    let deleted =
        sqlx::query(FORGET).bind(up_to.0 - REACH).bind(FORGET_ROWS).execute(&pool).await?;
    Ok(deleted.rows_affected())
}

/// Whether the row has only the bounds.
fn is_empty(row: &PgRow) -> bool {
    row.try_get_raw(0).is_ok_and(|column| column.is_null())
}

fn bounds(rows: &[PgRow], column: usize) -> Result<(Revision, Revision), sqlx::Error> {
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok((Revision(row.try_get(column)?), Revision(row.try_get(column + 1)?)))
}

pub(super) fn key_value(row: &PgRow) -> Result<KeyValue, sqlx::Error> {
    Ok(KeyValue {
        key: Arc::from(row.try_get::<&str, _>(0)?),
        create_revision: Revision(row.try_get(1)?),
        mod_revision: Revision(row.try_get(2)?),
        value: bytes(row, 3)?.unwrap_or_default(),
    })
}

fn event(row: &PgRow) -> Result<Event, sqlx::Error> {
    let prev = bytes(row, 5)?;
    let kind = match row.try_get::<i16, _>(1)? {
        0 => EventKind::Create,
        1 => EventKind::Update,
        _ => EventKind::Delete,
    };
    Ok(Event {
        revision: Revision(row.try_get(0)?),
        kind,
        key: Arc::from(row.try_get::<&str, _>(2)?),
        create_revision: Revision(row.try_get(3)?),
        value: bytes(row, 4)?.or_else(|| prev.clone()).unwrap_or_default(),
        prev,
    })
}

fn bytes(row: &PgRow, column: usize) -> Result<Option<Bytes>, sqlx::Error> {
    Ok(row.try_get::<Option<&[u8]>, _>(column)?.map(Bytes::copy_from_slice))
}
