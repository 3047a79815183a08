//! The tables, made when the file is new.

use std::sync::Arc;

use rusqlite::Connection;

use crate::engine::LAYOUT;
use crate::error::OpenError;
use crate::model::Revision;

/// Values come last in their rows: SQLite puts what does not fit a page into
/// overflow pages, and a scan for keys does not have to read those.
const TABLES: &str = "
CREATE TABLE objects (
    key TEXT NOT NULL PRIMARY KEY,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;
CREATE TABLE log (
    revision INTEGER NOT NULL PRIMARY KEY,
    kind INTEGER NOT NULL,
    key TEXT NOT NULL,
    create_revision INTEGER NOT NULL,
    prev_revision INTEGER NOT NULL,
    value BLOB,
    prev BLOB
) STRICT;
CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
CREATE TABLE compaction (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES (1, 0);
INSERT INTO compaction VALUES (1, 0);
";

/// Creates or checks the tables; returns the newest revision.
pub(super) fn prepare(connection: &mut Connection, subject: &str) -> Result<Revision, OpenError> {
    let failed = |operation| {
        move |source| OpenError::Database {
            operation,
            subject: subject.to_owned(),
            source: Arc::new(source),
        }
    };
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed("read the layout"))?;
    if found > LAYOUT {
        return Err(OpenError::Layout { subject: subject.to_owned(), found, known: LAYOUT });
    }
    if found == 0 {
        let create = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
            transaction.commit()
        };
        create(connection).map_err(failed("create the tables"))?;
    }
    connection
        .query_row("SELECT revision FROM counter", [], |row| row.get(0))
        .map(Revision)
        .map_err(failed("read the revision"))
}
