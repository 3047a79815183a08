//! The cases, each given a [`Place`] where a store can be opened, closed and reopened.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store::{Event, Options, Store, Watch};
use tempfile::TempDir;

pub(crate) mod compaction;
pub(crate) mod model;
pub(crate) mod reads;
pub(crate) mod watches;
pub(crate) mod writes;

/// Keeps a broken test from hanging; no assertion about speed.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Where one test's store lives.
pub(crate) struct Place {
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/state.db", folder.path().display());
        Place { url, _folder: Some(folder) }
    }

    pub(crate) fn postgres() -> Place {
        let url = tests::postgres::database().expect("a Postgres database");
        Place { url, _folder: None }
    }

    /// Opens with the history kept.
    pub(crate) async fn open(&self) -> Store {
        self.open_with(Options { retention: None, ..Options::default() }).await
    }

    pub(crate) async fn open_with(&self, options: Options) -> Store {
        Store::open(&self.url, options).await.expect("the store opens")
    }
}

pub(crate) fn value(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

/// The next batch, or a panic when none comes.
pub(crate) async fn next(watch: &mut Watch) -> Arc<[Event]> {
    match tokio::time::timeout(LIMIT, watch.next()).await {
        Ok(batch) => batch.expect("the watch goes on"),
        Err(_) => panic!("no event within {LIMIT:?}; {watch:?}"),
    }
}

/// The next `count` events (more, if the last batch has more).
pub(crate) async fn take(watch: &mut Watch, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(next(watch).await.iter().cloned());
    }
    events
}

/// Waits until `done`; panics with what it saw last.
pub(crate) async fn eventually<T, F: Future<Output = Result<T, String>>>(
    what: &str,
    probe: impl Fn() -> F,
) -> T {
    let end = tokio::time::Instant::now() + LIMIT;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(last) => {
                assert!(tokio::time::Instant::now() < end, "{what}: last seen: {last}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
