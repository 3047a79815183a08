//! Durable writes per second, and what grouping is worth: `cargo xtask bench store`.
//!
//! Each round measures, on each engine, one-row transactions (the same tables, one writer, one mutation
//! per transaction) and then 1, 16 and 64 writers with grouping. Every write is answered after its
//! fsync. Rounds are interleaved and medians are shown, because a shared disk is never quiet; the ratio is
//! the median of each round's own ratio. Exits with 1 when 64 writers reach less than 8 times the
//! one-row rate on either engine.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use store::{Options, Store};
use tokio_util::task::TaskTracker;

/// What grouping has to be worth at 64 writers.
const BAR: f64 = 8.0;
/// Rounds; odd, so that the median is a measured value.
const ROUNDS: usize = 5;
/// How long each measurement takes.
const TIME: Duration = Duration::from_secs(1);
/// Size of a value: a small pod.
const BYTES: usize = 1024;
/// What a round measures: grouping, and writers.
const CASES: [(bool, usize); 4] = [(false, 1), (true, 1), (true, 16), (true, 64)];

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("wharf-store-bench-").tempdir()?;
    let engines = [
        ("sqlite", format!("sqlite://{}", folder.path().join("bench.db").display())),
        ("postgres", tests::postgres::database()?),
    ];
    println!(
        "durable creates of {BYTES} bytes, median of {ROUNDS} rounds of {} s, every answer after its fsync",
        TIME.as_secs()
    );
    let mut rates = vec![[const { Vec::new() }; CASES.len()]; engines.len()];
    for round in 0..ROUNDS {
        for (engine, (_, url)) in engines.iter().enumerate() {
            for (case, (group, writers)) in CASES.into_iter().enumerate() {
                let store = Store::open(url, Options { group, ..Options::default() }).await?;
                let prefix = format!("/bench/{round}/{case}");
                rates[engine][case].push(measure(&store, &prefix, writers).await?);
                store.close().await;
            }
        }
    }
    println!(
        "{:<10} {:<22} {:>10} {:>10} {:>8}",
        "engine", "writers", "writes/s", "mean ms", "ratio"
    );
    let mut enough = true;
    for ((name, _), rates) in engines.iter().zip(&rates) {
        for ((group, writers), of_case) in CASES.iter().zip(rates) {
            let label =
                if *group { format!("{writers} grouped") } else { "1, one-row commits".to_owned() };
            let rate = median(of_case.iter().copied());
            let ratio = median(of_case.iter().zip(&rates[0]).map(|(rate, single)| rate / single));
            println!(
                "{name:<10} {label:<22} {rate:>10.0} {:>10.2} {ratio:>7.1}x",
                *writers as f64 * 1e3 / rate
            );
            enough &= *writers < 64 || ratio >= BAR;
        }
    }
    ensure!(enough, "grouping is worth less than {BAR} times at 64 writers");
    Ok(())
}

/// Writes per second.
async fn measure(store: &Store, prefix: &str, writers: usize) -> Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let value = Bytes::from(vec![b'x'; BYTES]);
    let tracker = TaskTracker::new();
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, value, done) = (store.clone(), value.clone(), done.clone());
            let prefix = format!("{prefix}/{writer}");
            tracker.spawn(async move {
                let mut number = 0u64;
                while start.elapsed() < TIME {
                    number += 1;
                    store.create(&format!("{prefix}/{number}"), value.clone()).await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), store::WriteError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await?.context("a write failed")?;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
