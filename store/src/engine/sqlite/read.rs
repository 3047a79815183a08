//! The reads, each inside the transaction of its caller.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Failure;
use crate::engine::{History, check_bounds, listing};
use crate::error::Error;
use crate::keys::Range;
use crate::model::{Event, EventKind, KeyValue, Listing, Revision};

pub(super) const GET: &str = "
SELECT objects.key, objects.create_revision, mod_revision, coalesce(objects.value, log.value)
FROM objects LEFT JOIN log ON log.revision = mod_revision AND objects.value IS NULL
WHERE objects.key = ?1";

const LIST: &str = "
SELECT objects.key, objects.create_revision, mod_revision, coalesce(objects.value, log.value)
FROM objects LEFT JOIN log ON log.revision = mod_revision AND objects.value IS NULL
WHERE objects.key >= ?1 AND objects.key < ?2 AND objects.key <> ?3
ORDER BY objects.key LIMIT ?4";

// What has not changed since is still in `objects`; what has is what the first
// change after ?5 replaced. (With min(), SQLite takes the other columns from
// the row that has the minimum: https://sqlite.org/lang_select.html#bareagg.)
const LIST_AT: &str = "
SELECT key, create_revision, mod_revision, value FROM (
    SELECT objects.key, objects.create_revision, mod_revision,
           coalesce(objects.value, log.value) AS value
    FROM objects LEFT JOIN log ON log.revision = mod_revision AND objects.value IS NULL
    WHERE objects.key >= ?1 AND objects.key < ?2 AND mod_revision <= ?5
    UNION ALL
    SELECT first.key, first.create_revision, first.prev_revision,
           coalesce(first.prev, before.value)
    FROM (SELECT key, kind, create_revision, prev_revision, prev, min(revision) FROM log
          WHERE revision > ?5 AND key >= ?1 AND key < ?2 GROUP BY key) AS first
    LEFT JOIN log AS before ON before.revision = first.prev_revision
    WHERE first.kind <> 0
) WHERE key <> ?3 ORDER BY key LIMIT ?4";

const HISTORY: &str = "
SELECT log.revision, log.kind, log.key, log.create_revision, log.value,
       coalesce(log.prev, before.value)
FROM log LEFT JOIN log AS before
     ON before.revision = log.prev_revision AND log.prev IS NULL
WHERE log.revision > ?1 AND log.key >= ?2 AND log.key < ?3
ORDER BY log.revision LIMIT ?4";

const BOUNDS: &str = "SELECT counter.revision, compaction.revision FROM counter, compaction";

/// The newest and the compacted revision.
pub(super) fn bounds(db: &Connection) -> Result<(Revision, Revision), Failure> {
    let mut statement = db.prepare_cached(BOUNDS)?;
    Ok(statement.query_row([], |row| Ok((Revision(row.get(0)?), Revision(row.get(1)?))))?)
}

pub(super) fn get(db: &Connection, key: &str) -> Result<Option<KeyValue>, Failure> {
    Ok(db.prepare_cached(GET)?.query_row([key], key_value).optional()?)
}

pub(super) fn list(
    db: &Connection,
    range: &Range,
    limit: Option<usize>,
    at: Option<Revision>,
) -> Result<Listing, Failure> {
    let (newest, compacted) = bounds(db)?;
    // One item more than asked for tells whether more follow; -1 is no limit.
    let one_more = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1);
    let (from, end, skip) = (&range.from, &range.end, &range.skip);
    let items = match at {
        Some(at) if at != newest => {
            check_bounds(at, compacted, newest)?;
            db.prepare_cached(LIST_AT)?
                .query_map(params![from, end, skip, one_more, at.0], key_value)?
                .collect::<Result<_, _>>()?
        }
        _ => db
            .prepare_cached(LIST)?
            .query_map(params![from, end, skip, one_more], key_value)?
            .collect::<Result<_, _>>()?,
    };
    Ok(listing(items, limit, at.unwrap_or(newest)))
}

pub(super) fn history(
    db: &Connection,
    range: &Range,
    after: Revision,
    limit: usize,
) -> Result<History, Failure> {
    let (newest, compacted) = bounds(db)?;
    if after < compacted {
        return Err(Error::Compacted { oldest: compacted }.into());
    }
    let rows = i64::try_from(limit).unwrap_or(i64::MAX);
    let events: Vec<Event> = db
        .prepare_cached(HISTORY)?
        .query_map(params![after.0, range.from, range.end, rows], event)?
        .collect::<Result<_, _>>()?;
    let complete_to = match events.last() {
        Some(last) if events.len() == limit => last.revision,
        _ => newest,
    };
    Ok(History { events, complete_to })
}

pub(super) fn key_value(row: &Row<'_>) -> rusqlite::Result<KeyValue> {
    Ok(KeyValue {
        key: row.get(0)?,
        create_revision: Revision(row.get(1)?),
        mod_revision: Revision(row.get(2)?),
        value: bytes(row, 3)?.unwrap_or_default(),
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let prev = bytes(row, 5)?;
    let kind = match row.get::<_, i64>(1)? {
        0 => EventKind::Create,
        1 => EventKind::Update,
        _ => EventKind::Delete,
    };
    Ok(Event {
        revision: Revision(row.get(0)?),
        kind,
        key: row.get(2)?,
        create_revision: Revision(row.get(3)?),
        value: bytes(row, 4)?.or_else(|| prev.clone()).unwrap_or_default(),
        prev,
    })
}

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Bytes>> {
    Ok(row.get_ref(column)?.as_blob_or_null()?.map(Bytes::copy_from_slice))
}
