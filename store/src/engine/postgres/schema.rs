//! The tables, in a schema of their own, made when they are missing.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::time::timeout;

use super::CONNECT;
use crate::error::{Cause, OpenError};
use crate::model::Revision;

/// Processes that start together must not create the tables twice.
const LOCK: &str = "SELECT pg_advisory_xact_lock(6279018247)";

/// The layout of the tables this program writes.
const LAYOUT: i64 = 1;

// Keys sort by bytes on every server, whatever its locale: COLLATE "C".
// Values stay in the row, uncompressed, up to the page size: compressing every
// object would cost more than anything else a write does.
// Room in the pages of `objects` lets updates stay in their page (HOT).
const TABLES: &str = r#"
CREATE SCHEMA IF NOT EXISTS wharf;
CREATE TABLE IF NOT EXISTS wharf.objects (
    key text COLLATE "C" NOT NULL PRIMARY KEY,
    create_revision bigint NOT NULL,
    mod_revision bigint NOT NULL,
    value bytea NOT NULL
) WITH (toast_tuple_target = 8160, fillfactor = 85);
CREATE TABLE IF NOT EXISTS wharf.log (
    revision bigint NOT NULL PRIMARY KEY,
    kind smallint NOT NULL,
    key text COLLATE "C" NOT NULL,
    create_revision bigint NOT NULL,
    prev_revision bigint NOT NULL,
    value bytea,
    prev bytea
) WITH (toast_tuple_target = 8160);
ALTER TABLE wharf.objects ALTER COLUMN value SET STORAGE EXTERNAL;
ALTER TABLE wharf.log ALTER COLUMN value SET STORAGE EXTERNAL, ALTER COLUMN prev SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS wharf.counter (revision bigint NOT NULL, layout bigint NOT NULL)
    WITH (fillfactor = 10);
CREATE TABLE IF NOT EXISTS wharf.compaction (revision bigint NOT NULL);
INSERT INTO wharf.counter SELECT 0, 1 WHERE NOT EXISTS (SELECT FROM wharf.counter);
INSERT INTO wharf.compaction SELECT 0 WHERE NOT EXISTS (SELECT FROM wharf.compaction);
"#;

/// Creates or checks the tables; returns the newest revision.
pub(super) async fn prepare(
    options: &PgConnectOptions,
    subject: &str,
) -> Result<Revision, OpenError> {
    let failed = |operation, source: Cause| OpenError::Database {
        operation,
        subject: subject.to_owned(),
        source,
    };
    let mut connection = timeout(CONNECT, options.connect())
        .await
        .map_err(|elapsed| failed("connect", Arc::new(elapsed)))?
        .map_err(|error| failed("connect", Arc::new(error)))?;
    let (revision, layout) = create(&mut connection)
        .await
        .map_err(|error| failed("create the tables", Arc::new(error)))?;
    if layout > LAYOUT {
        let subject = subject.to_owned();
        return Err(OpenError::Layout { subject, found: layout, known: LAYOUT });
    }
    warn_if_lossy(&mut connection, subject).await;
    // The server notices by itself if this goodbye is lost.
    let _ = connection.close().await;
    Ok(revision)
}

async fn create(connection: &mut PgConnection) -> Result<(Revision, i64), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(LOCK).execute(&mut *transaction).await?;
    // Creating needs rights that a restricted role may lack when all is there already.
    let exists: bool = sqlx::query("SELECT to_regclass('wharf.compaction') IS NOT NULL")
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    if !exists {
        sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    }
    let row = sqlx::query("SELECT revision, layout FROM wharf.counter")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok((Revision(row.try_get(0)?), row.try_get(1)?))
}

async fn warn_if_lossy(connection: &mut PgConnection, subject: &str) {
    let fsync = sqlx::query("SELECT current_setting('fsync')").fetch_one(connection).await;
    if let Ok(Ok("off")) = fsync.as_ref().map(|row| row.try_get::<&str, _>(0)) {
        tracing::warn!(
            database = subject,
            "fsync is off: acknowledged writes can be lost in a crash"
        );
    }
}
