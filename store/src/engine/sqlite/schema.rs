//! The tables, made when the file is new.

use std::sync::Arc;

use rusqlite::Connection;

use crate::error::OpenError;
use crate::model::Revision;

/// The layout of the tables this program writes: 2 since `objects.value` may be NULL.
const LAYOUT: i64 = 2;

/// Values come last in their rows: SQLite puts what does not fit a page into
/// overflow pages, and a scan for keys does not have to read those.
const OBJECTS: &str = "
CREATE TABLE objects (
    key TEXT NOT NULL PRIMARY KEY,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    value BLOB
) STRICT;
";
const REST: &str = "
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

/// From layout 1, whose only difference is that `objects.value` was NOT NULL.
const PUT_ASIDE: &str = "ALTER TABLE objects RENAME TO objects_1";
const TAKE_OVER: &str = "
INSERT INTO objects SELECT key, create_revision, mod_revision, value FROM objects_1;
DROP TABLE objects_1;
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
    let change: Option<(&str, &[&str])> = match found {
        0 => Some(("create the tables", &[OBJECTS, REST])),
        1 => Some(("bring the tables to the present layout", &[PUT_ASIDE, OBJECTS, TAKE_OVER])),
        _ => None,
    };
    if let Some((operation, statements)) = change {
        let apply = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            statements.iter().try_for_each(|text| transaction.execute_batch(text))?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
            transaction.commit()
        };
        apply(connection).map_err(failed(operation))?;
    }
    connection
        .query_row("SELECT revision FROM counter", [], |row| row.get(0))
        .map(Revision)
        .map_err(failed("read the revision"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sqlite::read;

    #[test]
    fn a_file_of_the_first_layout_is_read_and_written_on() {
        let mut db = Connection::open_in_memory().expect("a database");
        let first = OBJECTS.replace("value BLOB\n", "value BLOB NOT NULL\n");
        db.execute_batch(&first).expect("a table");
        db.execute_batch(REST).expect("tables");
        db.execute_batch(
            "PRAGMA user_version = 1;
             UPDATE counter SET revision = 2;
             INSERT INTO log VALUES (1, 0, '/a', 1, 0, x'61', NULL), (2, 0, '/b', 2, 0, x'62', NULL);
             INSERT INTO objects VALUES ('/a', 1, 1, x'61'), ('/b', 2, 2, x'62');",
        )
        .expect("rows");
        for _ in 0..2 {
            assert_eq!(prepare(&mut db, "test").expect("it opens"), Revision(2));
        }
        db.execute("UPDATE objects SET value = NULL WHERE key = '/b'", []).expect("it may be NULL");
        for (key, value) in [("/a", &b"a"[..]), ("/b", &b"b"[..])] {
            let found = read::get(&db, key).unwrap_or_default().expect("it is there");
            assert_eq!(&*found.value, value);
        }
    }

    #[test]
    fn a_file_of_a_later_layout_is_refused() {
        let mut db = Connection::open_in_memory().expect("a database");
        db.pragma_update(None, "user_version", LAYOUT + 1).expect("a pragma");
        let refused = prepare(&mut db, "test");
        assert!(matches!(refused, Err(OpenError::Layout { found: 3, known: 2, .. })));
    }
}
