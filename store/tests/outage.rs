//! Postgres goes away in mid-write: single connections, then the whole server.
//!
//! A binary of its own, because it crashes the server that its tests share.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection, Row};
use store::{Error, Event, Options, Page, Revision, Store, Watch, WriteError};
use tokio::task::JoinSet;

/// Keeps a broken test from hanging; no assertion about speed.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Seen {
    acknowledged: Vec<(String, Revision)>,
    unknown: usize,
    unavailable: usize,
}

/// Writers that go on through failures until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    writers: JoinSet<Seen>,
}

impl Load {
    fn start(store: &Store) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            let (store, stop, done) = (store.clone(), stop.clone(), done.clone());
            writers.spawn(async move {
                let mut seen = Seen::default();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = format!("/{writer}/{number}");
                    match store.create(&key, key.clone().into()).await {
                        Ok(revision) => {
                            done.fetch_add(1, Ordering::Relaxed);
                            seen.acknowledged.push((key, revision));
                        }
                        Err(WriteError::Unknown { .. }) => seen.unknown += 1,
                        Err(WriteError::Unavailable { .. }) => {
                            seen.unavailable += 1;
                            // A refused connection answers at once; do not spin.
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
                seen
            });
        }
        Load { stop, done, writers }
    }

    /// Waits for `more` further acknowledged writes.
    async fn progress(&self, more: usize) {
        let goal = self.done.load(Ordering::Relaxed) + more;
        let end = tokio::time::Instant::now() + LIMIT;
        while self.done.load(Ordering::Relaxed) < goal {
            assert!(tokio::time::Instant::now() < end, "the writes do not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for seen in self.writers.join_all().await {
            all.acknowledged.extend(seen.acknowledged);
            all.unknown += seen.unknown;
            all.unavailable += seen.unavailable;
        }
        all
    }
}

/// A statement on a new connection, tried again while the server recovers.
async fn administrate(url: &str, sql: &'static str) -> Vec<i32> {
    let end = tokio::time::Instant::now() + LIMIT;
    loop {
        let attempt = async {
            let mut connection = PgConnection::connect(url).await?;
            sqlx::query(sql).fetch_all(&mut connection).await
        };
        match attempt.await {
            Ok(rows) => return rows.iter().map(|row| row.get(0)).collect(),
            Err(error) => {
                assert!(tokio::time::Instant::now() < end, "the server does not answer: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn up_to(watch: &mut Watch, last: Revision) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    while events.last().is_none_or(|event| event.revision < last) {
        let batch = tokio::time::timeout(LIMIT, watch.next()).await;
        events.extend(batch.expect("the watch goes on").expect("the watch lives").iter().cloned());
    }
    events
}

/// Every acknowledged write is there, the watch saw each revision once.
async fn check(store: &Store, watch: &mut Watch, seen: &Seen) {
    let listing = store.list("", Page::default()).await.unwrap();
    let found: BTreeMap<&str, Revision> =
        listing.items.iter().map(|item| (&*item.key, item.mod_revision)).collect();
    for (key, revision) in &seen.acknowledged {
        assert_eq!(found.get(&**key), Some(revision), "{key} was acknowledged");
    }
    let extra = listing.items.len() - seen.acknowledged.len();
    assert!(extra <= seen.unknown, "{extra} writes happened although refused");
    let events = up_to(watch, listing.revision).await;
    let revisions: Vec<i64> = events.iter().map(|event| event.revision.0).collect();
    assert_eq!(revisions, (1..=listing.revision.0).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_lost_connections_and_a_server_crash() {
    let url = tests::postgres::database().expect("a database");
    let store = Store::open(&url, Options { retention: None, ..Options::default() }).await.unwrap();
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    let load = Load::start(&store);
    for _ in 0..10 {
        load.progress(50).await;
        let killed = administrate(
            &url,
            "SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity
             WHERE application_name = 'wharf-store'",
        )
        .await;
        assert!(!killed.is_empty());
    }
    load.progress(50).await;
    for _ in 0..2 {
        // SIGKILL of one backend makes the server drop all connections and recover from its WAL.
        let backends = administrate(
            &url,
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'wharf-store'",
        )
        .await;
        let victim = *backends.first().expect("the store is connected");
        kill(Pid::from_raw(victim), Signal::SIGKILL).expect("the backend runs");
        load.progress(200).await;
    }
    let seen = load.finish().await;
    // Ends only when a lost listener, a lost pool and a lost writer have all come back.
    check(&store, &mut watch, &seen).await;
    store.ping().await.unwrap();
    eprintln!(
        "{} acknowledged, {} unknown, {} unavailable",
        seen.acknowledged.len(),
        seen.unknown,
        seen.unavailable
    );
    store.close().await;
}

/// That the server refused the connection, not that somebody waited in vain.
fn is_refused(error: &Error) -> bool {
    let Error::Unavailable { source, .. } = error else { return false };
    let mut cause: Option<&dyn std::error::Error> = Some(&**source);
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_stopped_server_are_refused_at_once_and_come_back_by_themselves() {
    let mut server = tests::postgres::Instance::start().expect("a server");
    let url = server.database().expect("a database");
    let store = Store::open(&url, Options { retention: None, ..Options::default() }).await.unwrap();
    store.create("/a", "1".into()).await.unwrap();
    // With connections in the pool, and then without.
    store.get("/a").await.unwrap();
    server.stop().expect("it stops");
    for attempt in 0..6 {
        let refused = store.get("/a").await.expect_err("nobody is there");
        assert!(is_refused(&refused), "attempt {attempt}: {refused:?}");
    }
    let refused = store.create("/b", "2".into()).await.expect_err("nobody is there");
    assert!(matches!(refused, WriteError::Unavailable { .. }), "{refused:?}");
    server.launch().expect("it starts");
    let end = tokio::time::Instant::now() + LIMIT;
    while let Err(error) = store.get("/a").await {
        assert!(tokio::time::Instant::now() < end, "still {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.get("/b").await.unwrap(), None);
    assert_eq!(store.create("/b", "2".into()).await.unwrap(), Revision(2));
    store.close().await;
}
