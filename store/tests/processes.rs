//! Real processes: killed in mid-write, and two of them on one Postgres.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use store::{EventKind, Options, Page, Revision, Store};

/// Keeps a broken test from hanging; no assertion about speed.
const LIMIT: Duration = Duration::from_secs(120);

/// A `store-writer`, killed when the test ends.
struct Writer {
    child: Child,
    lines: Receiver<String>,
}

impl Writer {
    fn start(arguments: &[&str]) -> Writer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_store-writer"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("store-writer starts");
        let out = child.stdout.take().expect("it is piped");
        let (sender, lines) = sync_channel(1 << 20);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Writer { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("store-writer goes on")
    }

    /// kill -9, then everything that was acknowledged before.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        let mut rest = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            rest.push(line);
        }
        rest
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three times: write, kill -9 in mid-write, reopen, compare.
async fn every_acknowledged_write_survives(url: &str) {
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..3 {
        let writer = Writer::start(&["write", url, &format!("round{round}")]);
        for _ in 0..200 {
            acknowledged.push(writer.line());
        }
        acknowledged.extend(writer.kill());
        let store = Store::open(url, Options::default()).await.expect("the store opens again");
        check(&store, &acknowledged).await;
        store.close().await;
    }
}

async fn check(store: &Store, acknowledged: &[String]) {
    for line in acknowledged {
        let words: Vec<&str> = line.split(' ').collect();
        let ["ack", key, revision] = words[..] else { panic!("{line}") };
        let found = store.get(key).await.unwrap().unwrap_or_else(|| panic!("{key} is lost"));
        assert_eq!(found.mod_revision.to_string(), revision);
        assert_eq!(found.value, key.as_bytes());
    }
    // What was written without being acknowledged is whole as well: log, objects
    // and counter agree, and there is no gap.
    let listing = store.list("", Page::default()).await.unwrap();
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    let mut next = 1;
    while next <= listing.revision.0 {
        let batch = tokio::time::timeout(LIMIT, watch.next()).await.expect("an event").unwrap();
        for event in batch.iter() {
            assert_eq!((event.revision.0, event.kind), (next, EventKind::Create));
            next += 1;
        }
    }
    assert_eq!(listing.items.len() as i64, listing.revision.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9_on_sqlite() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    every_acknowledged_write_survives(&format!("sqlite://{}/state.db", folder.path().display()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9_on_postgres() {
    every_acknowledged_write_survives(&tests::postgres::database().expect("a database")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_file_belongs_to_one_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/state.db", folder.path().display());
    let writer = Writer::start(&["write", &url, "other"]);
    writer.line();
    let refused = Store::open(&url, Options::default()).await;
    assert!(matches!(refused, Err(store::OpenError::InUse { .. })), "{refused:?}");
    writer.kill();
    Store::open(&url, Options::default()).await.expect("free again").close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_see_each_others_events_in_the_same_order() {
    const COUNT: usize = 1000;
    let url = tests::postgres::database().expect("a database");
    let total = (2 * COUNT).to_string();
    let mut both: Vec<Writer> = ["left", "right"]
        .iter()
        .map(|name| Writer::start(&["share", &url, name, &COUNT.to_string(), &total]))
        .collect();
    for writer in &both {
        assert_eq!(writer.line(), "ready");
    }
    for writer in &mut both {
        writer.child.stdin.as_mut().expect("it is piped").write_all(b"go\n").expect("it reads");
    }
    let [left, right] = [0, 1].map(|n| (0..2 * COUNT).map(|_| both[n].line()).collect::<Vec<_>>());
    for (index, (left, right)) in left.iter().zip(&right).enumerate() {
        assert_eq!(left, right);
        assert!(left.starts_with(&format!("event {} /", index + 1)), "{left}");
    }
    // They did write at the same time.
    let switches =
        left.windows(2).filter(|two| two[0].contains("/left/") != two[1].contains("/left/"));
    assert!(switches.count() > 2, "the processes took turns");
    for writer in &mut both {
        assert!(writer.child.wait().expect("it ends").success());
    }
}
