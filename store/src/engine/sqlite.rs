//! The SQLite engine: one file, one process, one writer thread.
//!
//! - All files are the owner's alone (mode 0600): they hold Secrets.
//! - A lock file beside the database keeps other processes out: they would
//!   commit revisions that this process's watchers never hear of. The kernel
//!   releases it when the process dies, however it dies.
//! - WAL with `synchronous=FULL`: a commit is one write and one fsync of the WAL.
//! - The writing connection belongs to the writer's own OS thread
//!   ([`journal`]); compaction borrows it between batches, a chunk at a time.
//!   Nobody ever waits in SQLite's busy handler. Checkpoints have a thread and a
//!   connection of their own ([`checkpoint`]).
//! - Reads run on a few read-only connections, each read in one transaction, so
//!   that items and revision belong together. They are short: the API server
//!   serves its clients from memory.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{Engine, History};
use crate::error::{Cause, Error, OpenError};
use crate::keys::Range;
use crate::model::{KeyValue, Listing, Revision};

mod checkpoint;
mod journal;
mod read;
mod schema;

pub(crate) use journal::SqliteJournal;

/// Reads that run at the same time; more would only queue in the page cache.
const READERS: usize = 4;

/// Page cache of the writing connection, in KiB.
const WRITER_CACHE: i64 = 16 * 1024;

/// Page cache of each reading connection, in KiB.
const READER_CACHE: i64 = 1024;

/// Statements kept prepared per connection.
const STATEMENTS: usize = 32;

/// How long to wait for somebody else's lock: only an administrator's tool has one.
const BUSY: Duration = Duration::from_secs(5);

/// The file and its connections.
pub(crate) struct Sqlite {
    path: PathBuf,
    /// `None` after an error that leaves its state in doubt, and once closed.
    writer: Mutex<Option<Connection>>,
    /// The newest revision on disk, known without asking: nobody else writes it. `None` after an
    /// error, until the next commit has read it back.
    newest: Mutex<Option<Revision>>,
    readers: Mutex<Vec<Connection>>,
    permits: Semaphore,
    lock: Mutex<Option<File>>,
}

/// Opens or creates the database at `path`.
pub(crate) async fn open(path: &str) -> Result<(Arc<Sqlite>, SqliteJournal), OpenError> {
    if path.is_empty() {
        return Err(OpenError::Url { url: format!("sqlite://{path}") });
    }
    let path = PathBuf::from(path);
    let opening = tokio::task::spawn_blocking(move || {
        let lock = lock(&path)?;
        // SQLite would create it readable for everybody; WAL and index get the database's mode.
        // Closed again before SQLite opens it: a later close would drop SQLite's own locks.
        create_private(&path)
            .map_err(|source| OpenError::File { path: path.display().to_string(), source })?;
        let subject = path.display().to_string();
        let mut connection = connect_writer(&path).map_err(|source| OpenError::Database {
            operation: "open the database",
            subject: subject.clone(),
            source: Arc::new(source),
        })?;
        let newest = schema::prepare(&mut connection, &subject)?;
        let sqlite = Arc::new(Sqlite {
            path,
            writer: Mutex::new(Some(connection)),
            newest: Mutex::new(Some(newest)),
            readers: Mutex::default(),
            permits: Semaphore::new(READERS),
            lock: Mutex::new(Some(lock)),
        });
        let journal =
            SqliteJournal::new(sqlite.clone()).map_err(|source| OpenError::Thread { source })?;
        Ok((sqlite, journal))
    });
    opening.await.expect("opening does not panic and is not aborted")
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let file_error = |source| OpenError::File { path: name.to_string_lossy().into_owned(), source };
    let file = create_private(Path::new(&name)).map_err(file_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(source)) => Err(file_error(source)),
    }
}

/// Opens a file for its owner alone, and creates it where it is missing.
fn create_private(path: &Path) -> std::io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path)
}

fn connect_writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Checkpoints are made beside the writer, not in its commits.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.wal_hook(Some(checkpoint::note));
    connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", -READER_CACHE)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

impl Sqlite {
    /// Runs one read on a connection and thread of its own.
    async fn read<T: Send + 'static>(
        self: Arc<Self>,
        operation: &'static str,
        subject: String,
        read: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.permits.acquire().await.map_err(|_| Error::Closed)?;
        let sqlite = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let pooled = sqlite.readers.lock().pop();
            let connection = match pooled {
                Some(connection) => connection,
                None => connect_reader(&sqlite.path)?,
            };
            let transaction = connection.unchecked_transaction()?;
            let result = read(&transaction);
            drop(transaction);
            let usable = !matches!(result, Err(Failure::Sqlite(_)));
            if usable && !sqlite.permits.is_closed() {
                sqlite.readers.lock().push(connection);
            }
            result
        });
        let result = work.await.unwrap_or_else(|panic| Err(Failure::Lost(Arc::new(panic))));
        result.map_err(|failure| failure.of(operation, subject))
    }

    /// The newest revision as the file says it.
    async fn ask_revision(self: Arc<Self>, operation: &'static str) -> Result<Revision, Error> {
        self.read(operation, String::new(), |db| Ok(read::bounds(db)?.0)).await
    }

    /// The writing connection, opened anew where an error made it unusable.
    fn connection<'a>(
        &self,
        guard: &'a mut MutexGuard<'_, Option<Connection>>,
    ) -> Result<&'a mut Connection, Failure> {
        if guard.is_none() {
            if self.permits.is_closed() {
                return Err(Failure::Answer(Error::Closed));
            }
            **guard = Some(connect_writer(&self.path)?);
        }
        Ok(guard.as_mut().expect("just made"))
    }
}

/// What can go wrong inside a read, before it knows its operation and subject.
enum Failure {
    Sqlite(rusqlite::Error),
    Answer(Error),
    Lost(Cause),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Answer(error)
    }
}

impl Failure {
    fn of(self, operation: &'static str, subject: String) -> Error {
        match self {
            Failure::Sqlite(error) => {
                Error::Unavailable { operation, subject, source: Arc::new(error) }
            }
            Failure::Lost(source) => Error::Unavailable { operation, subject, source },
            Failure::Answer(error) => error,
        }
    }

    fn cause(self) -> Cause {
        match self {
            Failure::Sqlite(error) => Arc::new(error),
            Failure::Lost(cause) => cause,
            Failure::Answer(error) => Arc::new(error),
        }
    }
}

/// The engine is handed around behind a pointer; reads need one of their own.
pub(crate) struct Shared(pub(crate) Arc<Sqlite>);

impl Engine for Shared {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<KeyValue>, Error>> {
        let key = key.to_owned();
        Box::pin(self.0.clone().read("read", key.clone(), move |db| read::get(db, &key)))
    }

    fn list<'a>(
        &'a self,
        range: &'a Range,
        limit: Option<usize>,
        at: Option<Revision>,
    ) -> BoxFuture<'a, Result<Listing, Error>> {
        let range = range.clone();
        Box::pin(
            self.0
                .clone()
                .read("list", range.from.clone(), move |db| read::list(db, &range, limit, at)),
        )
    }

    fn history<'a>(
        &'a self,
        range: &'a Range,
        after: Revision,
        limit: usize,
    ) -> BoxFuture<'a, Result<History, Error>> {
        let range = range.clone();
        Box::pin(self.0.clone().read("read the history of", range.from.clone(), move |db| {
            read::history(db, &range, after, limit)
        }))
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        let sqlite = self.0.clone();
        Box::pin(async move {
            if sqlite.permits.is_closed() {
                return Err(Error::Closed);
            }
            let known = *sqlite.newest.lock();
            match known {
                Some(newest) => Ok(newest),
                None => sqlite.ask_revision("read the revision of").await,
            }
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Error>> {
        let asked = self.0.clone().ask_revision("ping");
        Box::pin(async move { asked.await.map(drop) })
    }

    fn compact(&self, up_to: Revision) -> BoxFuture<'_, Result<(), Error>> {
        let sqlite = self.0.clone();
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || journal::compact(&sqlite, up_to));
            work.await
                .unwrap_or_else(|panic| Err(Failure::Lost(Arc::new(panic))))
                .map_err(|failure| failure.of("compact", up_to.to_string()))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let sqlite = self.0.clone();
        Box::pin(async move {
            sqlite.permits.close();
            // The last connection to close folds the WAL into the database.
            let work = tokio::task::spawn_blocking(move || {
                sqlite.readers.lock().clear();
                sqlite.writer.lock().take();
                sqlite.lock.lock().take();
            });
            let _ = work.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn nobody_else_may_read_the_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let opened = super::open(path.to_str().expect("UTF-8")).await.expect("it opens");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder.path()).expect("a folder") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("it exists").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        assert_eq!(names, ["state.db", "state.db-lock", "state.db-shm", "state.db-wal"]);
        drop(opened);
    }
}
