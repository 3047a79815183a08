//! Checkpoints: moving pages from the WAL into the database, beside the writer.
//!
//! A passive checkpoint waits for nobody and lets commits go on meanwhile. But
//! the WAL only starts over when a checkpoint has caught up with the writer, and
//! under constant load it never does. So there are two bounds: above [`DUE`] the
//! thread here checkpoints in the background; above [`OVERDUE`] the writer waits
//! for it once, between two batches, when there is little left to move.

use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::connect_writer;

/// WAL pages (of 4 KiB) after which a checkpoint is worth its two fsyncs.
const DUE: i32 = 1000;

/// WAL pages after which the WAL has to start over.
const OVERDUE: i32 = 12_000;

thread_local! {
    /// WAL pages after the last commit on this thread.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

/// SQLite tells the size of the WAL at each commit.
pub(super) fn note(_wal: &Wal, pages: i32) -> rusqlite::Result<()> {
    PAGES.set(pages);
    Ok(())
}

/// The writer's view of the checkpoint thread.
pub(super) struct Checkpoints {
    /// Answered when done; holds one request, the one being worked on aside.
    requests: Option<SyncSender<SyncSender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path) -> std::io::Result<Checkpoints> {
        let path = path.to_owned();
        let (sender, requests) = sync_channel::<SyncSender<()>>(1);
        let work = move || {
            let mut connection = None;
            for done in requests {
                connection = match connection.take() {
                    Some(connection) => Some(connection),
                    None => connect_writer(&path).map_err(|error| complain(&error)).ok(),
                };
                if let Some(Err(error)) = connection.as_ref().map(checkpoint) {
                    complain(&error);
                    connection = None;
                }
                // The writer may not wait for this one.
                let _ = done.try_send(());
            }
        };
        let thread = std::thread::Builder::new().name("store-checkpoint".into()).spawn(work)?;
        Ok(Checkpoints { requests: Some(sender), thread: Some(thread) })
    }

    /// Called by the writer between two batches.
    pub(super) fn consider(&mut self) {
        let pages = PAGES.get();
        let Some(requests) = self.requests.as_ref().filter(|_| pages >= DUE) else { return };
        let (done, finished) = sync_channel(1);
        if pages < OVERDUE {
            // If one is under way and one is waiting, that is enough.
            let _ = requests.try_send(done);
        } else if requests.send(done).is_ok() {
            let _ = finished.recv();
        }
        // Not again for the same pages.
        PAGES.set(0);
    }
}

impl Drop for Checkpoints {
    /// The file is unlocked after this: no connection may be left.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

fn complain(error: &rusqlite::Error) {
    tracing::warn!(error = %error, "cannot checkpoint the database");
}
