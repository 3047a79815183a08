//! A process that uses a store, for the tests that kill it or run two of them.
//!
//! `store-writer write URL NAME`: eight writers create keys under `/NAME/` until
//! the process is killed; after each acknowledgement a line `ack KEY REVISION`.
//!
//! `store-writer share URL NAME COUNT TOTAL`: watches everything, waits for a line
//! on standard input, writes COUNT keys under `/NAME/`, and prints `event REVISION
//! KEY` for the first TOTAL events it sees.
#![allow(clippy::print_stdout, reason = "its output is what the tests read")]

use std::io::Write;

use store::{Options, Revision, Store};
use tokio_util::task::TaskTracker;

const WRITERS: usize = 8;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", url, name] => write(url, name).await,
        ["share", url, name, count, total] => {
            share(url, name, count.parse()?, total.parse()?).await
        }
        _ => Err("usage: store-writer write URL NAME | share URL NAME COUNT TOTAL".into()),
    }
}

async fn write(url: &str, name: &str) -> Result<(), Failure> {
    let store = Store::open(url, Options { retention: None, ..Options::default() }).await?;
    let tracker = TaskTracker::new();
    for writer in 0..WRITERS {
        let (store, name) = (store.clone(), name.to_owned());
        tracker.spawn(async move {
            for number in 0.. {
                let key = format!("/{name}/{writer}/{number}");
                match store.create(&key, key.clone().into()).await {
                    Ok(revision) => say(&format!("ack {key} {revision}")),
                    Err(error) => say(&format!("failed {key} {error}")),
                }
            }
        });
    }
    tracker.close();
    tracker.wait().await;
    Ok(())
}

async fn share(url: &str, name: &str, count: usize, total: usize) -> Result<(), Failure> {
    let store = Store::open(url, Options { retention: None, ..Options::default() }).await?;
    let mut watch = store.watch("", Revision(0)).await?;
    say("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    let tracker = TaskTracker::new();
    for writer in 0..WRITERS {
        let (store, name) = (store.clone(), name.to_owned());
        tracker.spawn(async move {
            for number in (writer..count).step_by(WRITERS) {
                let key = format!("/{name}/{number}");
                if let Err(error) = store.create(&key, key.clone().into()).await {
                    say(&format!("failed {key} {error}"));
                }
            }
        });
    }
    tracker.close();
    let mut seen = 0;
    while seen < total {
        for event in watch.next().await?.iter() {
            say(&format!("event {} {}", event.revision, event.key));
            seen += 1;
        }
    }
    tracker.wait().await;
    store.close().await;
    Ok(())
}

/// One whole line at once, not kept in a buffer that a kill would lose.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the test is over.
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}
