//! The PostgreSQL engine: any number of processes share one database.
//!
//! - The writer of each process has a connection of its own ([`journal`]). Writers
//!   of all processes serialise on the one row of `wharf.counter`, locked at the
//!   start of a batch: while a batch is decided nobody else changes a key, and
//!   revisions are in commit order. A batch costs four round trips, however large.
//! - One NOTIFY per batch is a bell that carries the newest revision
//!   ([`listen`]). The other processes then read the log. A slow poll covers for
//!   a bell that was not heard.
//! - Reads use a small pool. A read is one statement, hence one snapshot.
//!
//! When the server goes away, writes answer `Unavailable` (or `Unknown`, if the
//! commit was on its way) and every later batch tries to connect again. Reads answer
//! `Unavailable` as soon as a connection is refused: whoever has a memory to answer from
//! should not have to wait.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _};
use tokio::time::timeout;

use super::{Engine, History};
use crate::error::{Cause, Error, OpenError};
use crate::keys::Range;
use crate::model::{KeyValue, Listing, Revision};
use crate::options::Options;

mod journal;
mod listen;
mod read;
mod schema;

pub(crate) use journal::PostgresJournal;
pub(crate) use listen::listen;

/// Connections for reads. Reads are rare: the API server answers from memory.
const READERS: u32 = 4;

/// How long connecting may take: longer than a busy server needs, short enough
/// that callers learn of an outage soon.
const CONNECT: Duration = Duration::from_secs(5);

/// The shared, reading half.
pub(crate) struct Postgres {
    pool: PgPool,
    options: PgConnectOptions,
    deadline: Duration,
    /// A connection was lost since the server last took one.
    lost: AtomicBool,
}

/// Connects and creates the tables where they are missing. Returns the newest revision too.
pub(crate) async fn open(
    url: &str,
    options: &Options,
) -> Result<(Arc<Postgres>, PostgresJournal, Revision), OpenError> {
    let subject = without_password(url);
    let connect = PgConnectOptions::from_str(url)
        .map_err(|source| OpenError::Parse { url: subject.clone(), source: Arc::new(source) })?
        .application_name("wharf-store")
        .disable_statement_logging();
    let newest = schema::prepare(&connect, &subject).await?;
    let pool = PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(CONNECT)
        .idle_timeout(Duration::from_secs(60))
        .test_before_acquire(false)
        .connect_lazy_with(connect.clone());
    let journal = PostgresJournal::new(connect.clone(), options.deadline);
    let (deadline, lost) = (options.deadline, AtomicBool::new(false));
    let postgres = Postgres { pool, options: connect, deadline, lost };
    Ok((Arc::new(postgres), journal, newest))
}

/// A datastore URL as it may be shown: without the password, whichever way it is given. Of a URL
/// that is malformed it rather shows too little.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let shown = match rest.rsplit_once('@') {
        Some((login, place)) => {
            format!("{}@{place}", login.split(':').next().unwrap_or_default())
        }
        None => rest.to_owned(),
    };
    let (place, query) = shown.split_once('?').unwrap_or((&shown, ""));
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.to_ascii_lowercase().starts_with("password="))
        .collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{scheme}://{place}{mark}{}", kept.join("&"))
}

impl Postgres {
    /// Runs a read. After the server was restarted the pool is full of dead
    /// connections, each found out once: that many more attempts are worth it.
    async fn read<T, F>(
        &self,
        operation: &'static str,
        subject: &str,
        read: impl Fn(PgPool) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let attempts = async {
            if self.lost.load(Ordering::Acquire) {
                self.knock().await?;
            }
            let mut left = READERS;
            loop {
                match read(self.pool.clone()).await {
                    Err(Failure::Sql(error)) if left > 0 && is_disconnected(&error) => left -= 1,
                    result => return result,
                }
                self.knock().await?;
            }
        };
        let unavailable =
            |source: Cause| Error::Unavailable { operation, subject: subject.to_owned(), source };
        match timeout(self.deadline, attempts).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(Failure::Answer(error))) => Err(error),
            Ok(Err(Failure::Sql(sqlx::Error::PoolClosed))) => Err(Error::Closed),
            Ok(Err(Failure::Sql(error))) => Err(unavailable(Arc::new(error))),
            Err(elapsed) => Err(unavailable(Arc::new(elapsed))),
        }
    }

    /// Finds out whether the server takes connections. The pool does not say: it takes one that
    /// refuses them for one that is starting, and waits.
    async fn knock(&self) -> Result<(), Failure> {
        if self.pool.is_closed() {
            return Err(sqlx::Error::PoolClosed.into());
        }
        self.lost.store(true, Ordering::Release);
        let connection = self.options.connect().await?;
        self.lost.store(false, Ordering::Release);
        // The answer counts, not how the server takes the farewell.
        let _ = connection.close().await;
        Ok(())
    }
}

/// Whether this is about the connection, not about the statement.
fn is_disconnected(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        // 57P01..: the server shuts down, crashed, or starts up; 08: connection exceptions.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
        }
        _ => false,
    }
}

/// What can go wrong inside a read, before it knows its operation and subject.
enum Failure {
    Sql(sqlx::Error),
    Answer(Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        Failure::Sql(error)
    }
}

impl Engine for Postgres {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<KeyValue>, Error>> {
        Box::pin(self.read("read", key, move |pool| read::get(pool, key)))
    }

    fn list<'a>(
        &'a self,
        range: &'a Range,
        limit: Option<usize>,
        at: Option<Revision>,
    ) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(self.read("list", &range.from, move |pool| read::list(pool, range, limit, at)))
    }

    fn history<'a>(
        &'a self,
        range: &'a Range,
        after: Revision,
        limit: usize,
    ) -> BoxFuture<'a, Result<History, Error>> {
        Box::pin(self.read("read the history of", &range.from, move |pool| {
            read::history(pool, range, after, limit)
        }))
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(self.read("read the revision of", "", read::revision))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.read("ping", "", read::revision).await.map(drop) })
    }

    fn compact(&self, up_to: Revision) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let subject = up_to.to_string();
            if !self.read("compact", &subject, |pool| read::move_point(pool, up_to)).await? {
                return Ok(());
            }
            while self.read("compact", &subject, |pool| read::forget(pool, up_to)).await? > 0 {}
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn shown_urls_have_no_password() {
        for (url, shown) in [
            (
                "postgres://wharf:s3c@ret@db:5432/x?sslmode=require",
                "postgres://wharf@db:5432/x?sslmode=require",
            ),
            ("postgres://db/x", "postgres://db/x"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            ("postgres://db/x?user=u&password=s3cret", "postgres://db/x?user=u"),
            ("postgres://db/x?PASSWORD=s3cret", "postgres://db/x"),
            ("postgres://u:with/slash@db/x", "postgres://u@db/x"),
            ("sqlite:///x/y.db", "sqlite:///x/y.db"),
            ("mysql://a:b@c/d", "mysql://a@c/d"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
