//! Writers, watchers and readers at once, and the judgement on what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tests::cluster::PATIENCE;
use tests::history::{self, Event, History, Read, Step, Watched, Write};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Dice;
use super::client::{Door, MAPS, revision};
use super::readers::Reader;
use super::watchers::Watcher;
use super::writers::{Writer, config_map};

/// What all clients of a run have in common.
#[derive(Default)]
pub(crate) struct Shared {
    stopping: AtomicBool,
    acknowledged: AtomicUsize,
    newest: AtomicI64,
    /// The last event of the run; 0 while there may be more.
    last: AtomicI64,
}

impl Shared {
    /// Whether writers and readers should end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Counts an acknowledged write.
    pub(crate) fn acknowledge(&self, revision: Option<i64>) {
        self.acknowledged.fetch_add(1, Ordering::AcqRel);
        self.newest.fetch_max(revision.unwrap_or(0), Ordering::AcqRel);
    }

    /// The newest revision that anybody has been answered.
    pub(crate) fn newest(&self) -> i64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Whether nothing comes after this revision.
    pub(crate) fn is_last(&self, revision: i64) -> bool {
        let last = self.last.load(Ordering::Acquire);
        last > 0 && revision >= last
    }
}

/// How many clients of each sort.
pub(crate) struct Mix {
    pub(crate) writers: usize,
    pub(crate) watchers: usize,
    pub(crate) readers: usize,
}

/// A crowd.
pub(crate) const CROWD: Mix = Mix { writers: 32, watchers: 4, readers: 1 };

/// Clients at work.
pub(crate) struct Load {
    doors: Vec<Door>,
    shared: Arc<Shared>,
    writers: JoinSet<Vec<Write>>,
    watchers: JoinSet<Watched>,
    readers: JoinSet<Vec<Read>>,
}

impl Load {
    /// Puts clients to work on the servers behind these doors.
    pub(crate) fn start(doors: &[Door], mix: &Mix, dice: &mut Dice) -> Self {
        let shared = Arc::new(Shared::default());
        let mut load = Self {
            doors: doors.to_vec(),
            shared: shared.clone(),
            writers: JoinSet::new(),
            watchers: JoinSet::new(),
            readers: JoinSet::new(),
        };
        for number in 0..mix.watchers {
            let watcher = Watcher {
                name: format!("watcher {number}"),
                doors: doors.to_vec(),
                door: number,
                dice: dice.split(),
                shared: shared.clone(),
            };
            load.watchers.spawn(watcher.run());
        }
        for number in 0..mix.readers {
            let name = format!("reader {number}");
            let (doors, dice, shared) = (doors.to_vec(), dice.split(), shared.clone());
            load.readers.spawn(Reader { name, doors, dice, shared }.run());
        }
        for number in 0..mix.writers {
            let (doors, dice, shared) = (doors.to_vec(), dice.split(), shared.clone());
            load.writers.spawn(Writer { number, doors, dice, shared }.run());
        }
        load
    }

    /// Waits for so many further acknowledged writes.
    pub(crate) async fn progress(&mut self, more: u64) {
        let acknowledged = || self.shared.acknowledged.load(Ordering::Acquire);
        let goal = acknowledged() + more as usize;
        let end = Instant::now() + PATIENCE;
        while acknowledged() < goal {
            assert!(Instant::now() < end, "writes do not get through");
            // Nobody ends by itself but by a panic, which must not look like slowness.
            if let Some(ended) = self.writers.try_join_next() {
                panic!("a writer ended: {ended:?}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops the writing, waits until the watchers have seen all of it, and returns what everybody
    /// was told. Servers must be up.
    pub(crate) async fn finish(mut self) -> History {
        self.shared.stopping.store(true, Ordering::Release);
        let patiently = "clients end when they are told to";
        let writes = timeout(PATIENCE, self.writers.join_all()).await.expect(patiently);
        let reads = timeout(PATIENCE, self.readers.join_all()).await.expect(patiently);
        // Some of the writers' last requests may still be on their way; this comes after them, or
        // the log shows that they came later and watchers missed nothing before this.
        let last = config_map("last", "the last event", None);
        let last = self.doors[0].post(MAPS, &last).await.expect("an answer").expect(201);
        self.shared.last.store(revision(&last), Ordering::Release);
        let mut watchers = Vec::new();
        while let Some(watched) =
            timeout(PATIENCE, self.watchers.join_next()).await.expect("watchers see everything")
        {
            watchers.push(watched.expect("no watcher fails"));
        }
        let mut writes: Vec<Write> = writes.into_iter().flatten().collect();
        writes.push(Write {
            key: "last".into(),
            wish: history::Wish::Create,
            content: "the last event".into(),
            outcome: history::Outcome::Acknowledged(Some(revision(&last))),
        });
        History {
            writes,
            watchers,
            reads: reads.into_iter().flatten().collect(),
            ..History::default()
        }
    }
}

/// Holds what clients were told against the log. Fails with the first faults.
pub(crate) fn judge(name: &str, mut history: History, log: Vec<Event>) {
    // What came after the last event that watchers had to wait for is nobody's fault.
    let last = history.writes.last().and_then(|write| match write.outcome {
        history::Outcome::Acknowledged(revision) => revision,
        _ => None,
    });
    history.log = log;
    history.log.retain(|event| last.is_none_or(|last| event.revision <= last));
    let count = |wanted: fn(&Write) -> bool| history.writes.iter().filter(|w| wanted(w)).count();
    let lists = history.watchers.iter().flat_map(|watched| &watched.steps);
    let lists = lists.filter(|step| matches!(step, Step::Listed(_))).count();
    eprintln!(
        "{name}: {} events, {} writes acknowledged, {} refused, {} unknown, {} reads, \
         {} watchers that had to list again {} times",
        history.log.len(),
        count(|write| matches!(write.outcome, history::Outcome::Acknowledged(_))),
        count(|write| write.outcome == history::Outcome::Refused),
        count(|write| write.outcome == history::Outcome::Unknown),
        history.reads.len(),
        history.watchers.len(),
        lists - history.watchers.len(),
    );
    let faults = history::check(&history);
    let first: Vec<_> = faults.iter().take(5).collect();
    assert!(faults.is_empty(), "{} faults, first {first:#?}", faults.len());
}
