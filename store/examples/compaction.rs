//! What others notice while a long log is compacted: `cargo run --release -p store --example
//! compaction -- [EVENTS]` (a million by default).
//!
//! On each engine: a log of so many events of 512 bytes over 6,400 keys is made; then eight writers,
//! four readers and a watcher are timed, first for ten seconds without and then with a compaction
//! beside them. A stall is a request that took more than 100 ms; the disk has some of its own, which
//! is why both are counted.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use store::{Options, Page, Revision, Store};
use tokio_util::task::TaskTracker;

const EVENTS: i64 = 1_000_000;
const KEYS: usize = 100;
const FILLERS: usize = 64;
const WRITERS: usize = 8;
const READERS: usize = 4;
const BYTES: usize = 512;
const QUIET: Duration = Duration::from_secs(10);
const STALL: Duration = Duration::from_millis(100);

/// What is kept: about as much as watchers may lag behind.
const KEPT: i64 = 5_000;

#[tokio::main]
async fn main() -> Result<()> {
    let events = match std::env::args().nth(1) {
        Some(text) => text.parse().context("usage: compaction [EVENTS]")?,
        None => EVENTS,
    };
    let folder = tempfile::Builder::new().prefix("wharf-compaction-").tempdir()?;
    for (engine, url) in [
        ("sqlite", format!("sqlite://{}", folder.path().join("state.db").display())),
        ("postgres", tests::postgres::database()?),
    ] {
        let store = Store::open(&url, Options { retention: None, ..Options::default() }).await?;
        let start = Instant::now();
        fill(&store, events).await?;
        println!("{engine}: {events} events in {:.0} s", start.elapsed().as_secs_f64());
        let clients = Clients::start(&store).await?;
        tokio::time::sleep(QUIET).await;
        clients.report("without");
        let newest = store.revision().await?;
        let start = Instant::now();
        store.compact(Revision(newest.0 - KEPT)).await?;
        println!("  compacted in {:.1} s", start.elapsed().as_secs_f64());
        clients.report("with");
        tokio::time::sleep(QUIET).await;
        clients.report("afterwards");
        clients.stop().await?;
        store.close().await;
    }
    Ok(())
}

/// Makes a log: every key is made once and then updated.
async fn fill(store: &Store, events: i64) -> Result<()> {
    let tracker = TaskTracker::new();
    let tasks: Vec<_> = (0..FILLERS)
        .map(|filler| {
            let store = store.clone();
            let each = events / FILLERS as i64;
            tracker.spawn(async move {
                let mut keys = Vec::new();
                for number in 0..each as usize {
                    let value = Bytes::from(vec![b'x'; BYTES]);
                    let slot = number % KEYS;
                    let key = format!("/fill/{filler}/{slot}");
                    match keys.get(slot) {
                        None => keys.push(store.create(&key, value).await?),
                        Some(last) => keys[slot] = store.update(&key, value, *last).await?,
                    }
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// How long each request took, by what it was.
type Times = Arc<Mutex<Vec<Duration>>>;

struct Clients {
    stop: Arc<AtomicBool>,
    times: [(&'static str, Times); 3],
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Clients {
    async fn start(store: &Store) -> Result<Clients> {
        let stop = Arc::new(AtomicBool::new(false));
        let times = ["write", "read", "write to watch"].map(|name| (name, Times::default()));
        let tracker = TaskTracker::new();
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let (store, stop, times) = (store.clone(), stop.clone(), times[0].1.clone());
            tasks.push(tracker.spawn(async move {
                let key = format!("/write/{writer}");
                let value = || Bytes::from(vec![b'y'; BYTES]);
                let mut at = store.create(&key, value()).await?;
                while !stop.load(Ordering::Relaxed) {
                    at = timed(&times, store.update(&key, value(), at)).await?;
                }
                Ok(())
            }));
        }
        for reader in 0..READERS {
            let (store, stop, times) = (store.clone(), stop.clone(), times[1].1.clone());
            tasks.push(tracker.spawn(async move {
                let prefix = format!("/fill/{reader}/");
                while !stop.load(Ordering::Relaxed) {
                    timed(&times, store.list(&prefix, Page::default())).await?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(())
            }));
        }
        // Of its own writes: from the call to the event.
        let mut watch = store.watch("/watched", store.revision().await?).await?;
        let (store, stopped, seen) = (store.clone(), stop.clone(), times[2].1.clone());
        tasks.push(tracker.spawn(async move {
            let mut at = None;
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let value = Bytes::from_static(b"z");
                at = Some(match at {
                    None => store.create("/watched", value).await?,
                    Some(at) => store.update("/watched", value, at).await?,
                });
                watch.next().await?;
                seen.lock().push(begun.elapsed());
            }
            Ok(())
        }));
        Ok(Clients { stop, times, tasks })
    }

    /// Prints what has been measured since the last report.
    fn report(&self, phase: &str) {
        for (name, times) in &self.times {
            let mut times = std::mem::take(&mut *times.lock());
            times.sort();
            let at = |share: f64| {
                let index = (times.len() as f64 * share) as usize;
                times
                    .get(index.min(times.len().saturating_sub(1)))
                    .map_or(0.0, |time| time.as_secs_f64() * 1e3)
            };
            println!(
                "  {phase:<11} {name:<15} {:>8} requests, ms: p50 {:.1}, p99 {:.1}, max {:.1}; {} stalls",
                times.len(),
                at(0.5),
                at(0.99),
                at(1.0),
                times.iter().filter(|time| **time > STALL).count(),
            );
        }
    }

    async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}

async fn timed<T, E>(times: &Times, request: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let begun = Instant::now();
    let outcome = request.await;
    times.lock().push(begun.elapsed());
    outcome
}
