//! Random operations against a model that a reader can check by eye: a map of
//! what is, and a list of what happened.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use store::{Error, Event, EventKind, KeyValue, Options, Page, Revision, Store, WriteError};

use super::{Place, take, value};

/// How many sequences, of how many steps.
const SEQUENCES: usize = 24;
const STEPS: usize = 40;

#[derive(Debug, Clone)]
enum Write {
    Create(usize),
    Update { key: usize, stale: i64 },
    Delete { key: usize, stale: i64 },
}

#[derive(Debug, Clone)]
enum Step {
    /// Queued at once, in this order: they share transactions.
    Burst(Vec<Write>),
    Reopen,
    /// To this share of the history.
    Compact(f64),
    /// List the prefix as of this share of the history.
    Past(f64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..6usize;
    // Mostly the right revision; sometimes one that is off.
    let stale = prop_oneof![5 => Just(0i64), 1 => 1..3i64];
    let write = prop_oneof![
        3 => key.clone().prop_map(Write::Create),
        3 => (key.clone(), stale.clone()).prop_map(|(key, stale)| Write::Update { key, stale }),
        2 => (key, stale).prop_map(|(key, stale)| Write::Delete { key, stale }),
    ];
    prop_oneof![
        12 => prop::collection::vec(write, 1..8).prop_map(Step::Burst),
        1 => Just(Step::Reopen),
        1 => (0.0..1.0f64).prop_map(Step::Compact),
        3 => (0.0..1.0f64, 1..4usize).prop_map(|(share, limit)| Step::Past(share, limit)),
    ]
}

#[derive(Default)]
struct Model {
    now: BTreeMap<String, KeyValue>,
    log: Vec<Event>,
    compacted: i64,
    values: usize,
}

type Outcome = Result<i64, Option<KeyValue>>;

impl Model {
    fn apply(&mut self, write: &Write, fresh: &str, expected: i64) -> Outcome {
        let key = write.key();
        let revision = Revision(self.log.len() as i64 + 1);
        let current = self.now.get(&key).cloned();
        let allowed = match write {
            Write::Create(_) => current.is_none(),
            _ => current.as_ref().is_some_and(|current| current.mod_revision.0 == expected),
        };
        if !allowed {
            return Err(current);
        }
        let create_revision = current.as_ref().map_or(revision, |current| current.create_revision);
        let prev = current.as_ref().map(|current| current.value.clone());
        let (kind, new) = match write {
            Write::Create(_) => (EventKind::Create, value(fresh)),
            Write::Update { .. } => (EventKind::Update, value(fresh)),
            Write::Delete { .. } => (EventKind::Delete, prev.clone().expect("it existed")),
        };
        if kind == EventKind::Delete {
            self.now.remove(&key);
        } else {
            let key: std::sync::Arc<str> = key.as_str().into();
            let now = KeyValue {
                key: key.clone(),
                value: new.clone(),
                create_revision,
                mod_revision: revision,
            };
            self.now.insert(key.to_string(), now);
        }
        let key = key.as_str().into();
        self.log.push(Event { revision, kind, key, value: new, prev, create_revision });
        Ok(revision.0)
    }

    /// The keys as of a revision, by replaying the log.
    fn at(&self, revision: i64) -> BTreeMap<String, KeyValue> {
        let mut past = BTreeMap::new();
        for event in &self.log[..revision as usize] {
            if event.kind == EventKind::Delete {
                past.remove(&*event.key);
                continue;
            }
            let now = KeyValue {
                key: event.key.clone(),
                value: event.value.clone(),
                create_revision: event.create_revision,
                mod_revision: event.revision,
            };
            past.insert(event.key.to_string(), now);
        }
        past
    }

    fn share(&self, share: f64) -> i64 {
        (self.log.len() as f64 * share).round() as i64
    }
}

impl Write {
    fn key(&self) -> String {
        let (Write::Create(key) | Write::Update { key, .. } | Write::Delete { key, .. }) = self;
        format!("/m/{key}")
    }

    fn stale(&self) -> i64 {
        match self {
            Write::Create(_) => 0,
            Write::Update { stale, .. } | Write::Delete { stale, .. } => *stale,
        }
    }
}

pub(crate) async fn random_operations_match_the_model(place: &Place) {
    // A fixed seed: a failure repeats, and names the sequence.
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec(step(), STEPS);
    for number in 0..SEQUENCES {
        let sequence = steps.new_tree(&mut runner).expect("a sequence").current();
        let store = open(place).await;
        let base = store.revision().await.unwrap().0;
        assert_eq!(base, 0, "sequence {number} starts empty");
        let store = run(place, store, &sequence).await;
        store.close().await;
        wipe(place).await;
    }
}

async fn open(place: &Place) -> Store {
    place.open_with(Options { retention: None, ..Options::default() }).await
}

/// An empty store for the next sequence.
async fn wipe(place: &Place) {
    if let Some(path) = place.url.strip_prefix("sqlite://") {
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{path}{ending}"));
        }
    } else {
        let mut connection =
            <sqlx::PgConnection as sqlx::Connection>::connect(&place.url).await.unwrap();
        sqlx::raw_sql("DROP SCHEMA wharf CASCADE").execute(&mut connection).await.unwrap();
    }
}

async fn run(place: &Place, mut store: Store, sequence: &[Step]) -> Store {
    let mut model = Model::default();
    let mut watch = store.watch("/m/", Revision(0)).await.unwrap();
    let mut watched = 0;
    for step in sequence {
        match step {
            Step::Burst(writes) => burst(&store, &mut model, writes).await,
            Step::Reopen => {
                store.close().await;
                store = open(place).await;
                watched = model.log.len();
                watch = store.watch("/m/", Revision(watched as i64)).await.unwrap();
            }
            Step::Compact(share) => {
                let point = model.share(*share);
                store.compact(Revision(point)).await.unwrap();
                model.compacted = model.compacted.max(point);
            }
            Step::Past(share, limit) => past(&store, &model, model.share(*share), *limit).await,
        }
        let fresh = model.log.len() - watched;
        assert_eq!(take(&mut watch, fresh).await, model.log[watched..], "live events");
        watched = model.log.len();
        let listing = store.list("/m/", Page::default()).await.unwrap();
        assert_eq!(listing.revision.0, model.log.len() as i64);
        assert_eq!(listing.items, model.now.values().cloned().collect::<Vec<_>>());
    }
    let mut history = store.watch("/m/", Revision(model.compacted)).await.unwrap();
    let kept = &model.log[model.compacted as usize..];
    assert_eq!(take(&mut history, kept.len()).await, kept, "the log");
    store
}

async fn burst(store: &Store, model: &mut Model, writes: &[Write]) {
    let mut prepared = Vec::new();
    for write in writes {
        model.values += 1;
        let fresh = format!("value {}", model.values);
        let key = write.key();
        let right = model.now.get(&key).map_or(0, |current| current.mod_revision.0);
        let expected = (right - write.stale()).max(0);
        let outcome = model.apply(write, &fresh, expected);
        prepared.push((write, key, fresh, expected, outcome));
    }
    // join_all polls them in order, so they queue in order.
    let answers = join_all(prepared.iter().map(|(write, key, fresh, expected, _)| async move {
        match write {
            Write::Create(_) => store.create(key, value(fresh)).await,
            Write::Update { .. } => store.update(key, value(fresh), Revision(*expected)).await,
            Write::Delete { .. } => store.delete(key, Revision(*expected)).await,
        }
    }))
    .await;
    for ((write, _, _, _, wanted), answer) in prepared.iter().zip(answers) {
        let answer: Outcome = match answer {
            Ok(revision) => Ok(revision.0),
            Err(WriteError::Exists { current }) => Err(Some(current)),
            Err(WriteError::Conflict { current }) => Err(current),
            Err(other) => panic!("{write:?}: {other:?}"),
        };
        assert_eq!(answer, *wanted, "{write:?}");
    }
}

async fn past(store: &Store, model: &Model, at: i64, limit: usize) {
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = Page { limit: Some(limit), after: after.clone() };
        match store.list_at("/m/", page, Revision(at)).await {
            Ok(listing) => {
                assert_eq!(listing.revision.0, at);
                after = listing.items.last().map(|item| item.key.to_string());
                seen.extend(listing.items);
                if !listing.more {
                    break;
                }
            }
            Err(Error::Compacted { oldest }) => {
                assert!(at < model.compacted && oldest.0 == model.compacted, "{at} {oldest}");
                return;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(at >= model.compacted);
    assert_eq!(seen, model.at(at).into_values().collect::<Vec<_>>(), "as of {at}");
}
