//! Histories with a fault each: the checker has to name it, and nothing else.

use super::*;

fn event(revision: i64, kind: Kind, key: &str, content: &str) -> Event {
    Event { revision, kind, key: key.into(), content: content.into() }
}

fn write(key: &str, wish: Wish, content: &str, outcome: Outcome) -> Write {
    Write { key: key.into(), wish, content: content.into(), outcome }
}

fn listing(revision: i64, items: &[(&str, i64)]) -> Listing {
    let items = items.iter().map(|(key, revision)| ((*key).to_owned(), *revision)).collect();
    Listing { revision, items }
}

const DONE: fn(i64) -> Outcome = |revision| Outcome::Acknowledged(Some(revision));

/// Two keys; everything that may be, and nothing that may not.
fn sound() -> History {
    use Kind::{Added, Deleted, Modified};
    let log = vec![
        event(5, Added, "a", "1"),
        event(6, Added, "b", "2"),
        event(8, Modified, "a", "3"),
        event(9, Deleted, "b", "2"),
        event(12, Modified, "a", "4"),
    ];
    let writes = vec![
        write("a", Wish::Create, "1", DONE(5)),
        write("b", Wish::Create, "2", Outcome::Unknown),
        write("b", Wish::Create, "x", Outcome::Refused),
        write("a", Wish::Update { expected: 5 }, "3", DONE(8)),
        write("b", Wish::Delete { expected: 6 }, "", Outcome::Acknowledged(None)),
        write("b", Wish::Delete { expected: 6 }, "", Outcome::Refused),
        write("a", Wish::Update { expected: 5 }, "y", Outcome::Unknown),
        write("a", Wish::Update { expected: 8 }, "4", DONE(12)),
    ];
    let watched = Watched {
        name: "w".into(),
        steps: vec![
            Step::Listed(listing(5, &[("a", 5)])),
            Step::Event(log[1].clone()),
            Step::Listed(listing(8, &[("a", 8), ("b", 6)])),
            Step::Event(log[3].clone()),
            Step::Event(log[4].clone()),
        ],
    };
    let read = Read { name: "r".into(), not_before: 6, listing: listing(7, &[("a", 5), ("b", 6)]) };
    History { log, base: BTreeMap::new(), writes, watchers: vec![watched], reads: vec![read] }
}

#[test]
fn a_sound_history_has_no_fault() {
    assert_eq!(check(&sound()), []);
}

#[test]
fn the_log_may_begin_with_something() {
    let mut history = sound();
    history.base.insert("old".into(), 3);
    for step in &mut history.watchers[0].steps {
        if let Step::Listed(listing) = step {
            listing.items.insert("old".into(), 3);
        }
    }
    history.reads[0].listing.items.insert("old".into(), 3);
    assert_eq!(check(&history), []);
}

/// What is done to the sound history, and what the checker has to say.
type Case = (&'static str, fn(&mut History), fn(&History) -> Vec<Fault>);

fn w() -> String {
    "w".to_owned()
}

const WRITES: &[Case] = &[
    (
        "an acknowledged creation is not in the log",
        |h| h.writes.push(write("c", Wish::Create, "9", DONE(7))),
        |h| vec![Fault::Lost(h.writes[8].clone())],
    ),
    (
        "an acknowledged update is in the log under another revision",
        |h| h.writes[3].outcome = DONE(7),
        |h| vec![Fault::Lost(h.writes[3].clone())],
    ),
    (
        "an acknowledged deletion has not happened",
        |h| {
            let wish = Wish::Delete { expected: 12 };
            h.writes.push(write("a", wish, "", Outcome::Acknowledged(None)));
        },
        |h| vec![Fault::Lost(h.writes[8].clone())],
    ),
    (
        "two deletions of one version are acknowledged",
        |h| h.writes[5].outcome = Outcome::Acknowledged(None),
        |h| vec![Fault::Lost(h.writes[5].clone())],
    ),
    (
        "a revision is answered twice",
        |h| {
            h.writes[1].outcome = DONE(6);
            h.log[2].revision = 6;
            h.writes[3].outcome = DONE(6);
            h.writes[7].wish = Wish::Update { expected: 6 };
            h.watchers.clear();
            h.reads.clear();
        },
        |_| {
            vec![
                Fault::LogDisorder { revision: 6 },
                Fault::Reused { revision: 6, keys: ["b".into(), "a".into()] },
            ]
        },
    ),
    (
        "a refused creation has happened",
        |h| h.writes[1].outcome = Outcome::Refused,
        |h| vec![Fault::RefusedYetDone(h.writes[1].clone())],
    ),
    (
        "a refused deletion has happened",
        |h| h.writes[4].outcome = Outcome::Refused,
        |h| vec![Fault::RefusedYetDone(h.writes[4].clone())],
    ),
    (
        "a write of unknown outcome has happened twice",
        |h| {
            h.log[4].content = "3".into();
            h.writes.remove(7);
            h.watchers.clear();
        },
        |h| {
            let write = h.writes[3].clone();
            vec![Fault::DoneTwice(write.clone()), Fault::Overwritten { write, found: Some(8) }]
        },
    ),
    (
        "something happened that nobody asked for",
        |h| drop(h.writes.remove(7)),
        |h| vec![Fault::Unasked(h.log[4].clone())],
    ),
    (
        "a deletion that nobody asked for",
        |h| drop(h.writes.drain(4..6)),
        |h| vec![Fault::Unasked(h.log[3].clone())],
    ),
    (
        "an update replaced what it had not seen",
        |h| h.writes[7].wish = Wish::Update { expected: 5 },
        |h| vec![Fault::Overwritten { write: h.writes[7].clone(), found: Some(8) }],
    ),
    (
        "the log changes a key that does not exist",
        |h| h.log[0].kind = Kind::Modified,
        |_| vec![Fault::LogNonsense { revision: 5 }],
    ),
];

const WATCHES: &[Case] = &[
    (
        "an event in between is missed",
        |h| drop(h.watchers[0].steps.remove(3)),
        |_| vec![Fault::Missed { watcher: w(), revision: 9 }],
    ),
    (
        "the last event is missed",
        |h| drop(h.watchers[0].steps.pop()),
        |_| vec![Fault::Missed { watcher: w(), revision: 12 }],
    ),
    (
        "an event comes twice",
        |h| {
            let again = h.watchers[0].steps[3].clone();
            h.watchers[0].steps.push(again);
        },
        |_| vec![Fault::Repeated { watcher: w(), revision: 9 }],
    ),
    (
        "events come in the wrong order",
        |h| h.watchers[0].steps.swap(3, 4),
        |_| {
            vec![
                Fault::Missed { watcher: w(), revision: 9 },
                Fault::Repeated { watcher: w(), revision: 9 },
            ]
        },
    ),
    (
        "an event from before the listing",
        |h| {
            let early = Step::Event(h.log[0].clone());
            h.watchers[0].steps.insert(1, early);
        },
        |_| vec![Fault::Repeated { watcher: w(), revision: 5 }],
    ),
    (
        "an event has another content than the log",
        |h| h.watchers[0].steps[4] = Step::Event(event(12, Kind::Modified, "a", "5")),
        |_| {
            let event = event(12, Kind::Modified, "a", "5");
            vec![
                Fault::Invented { watcher: w(), event },
                Fault::Missed { watcher: w(), revision: 12 },
            ]
        },
    ),
    (
        "an event has another type than the log",
        |h| h.watchers[0].steps[1] = Step::Event(event(6, Kind::Modified, "b", "2")),
        |_| vec![Fault::Invented { watcher: w(), event: event(6, Kind::Modified, "b", "2") }],
    ),
    (
        "a watcher that had to list is shown the past",
        |h| h.watchers[0].steps[2] = Step::Listed(listing(5, &[("a", 5)])),
        |_| {
            vec![
                Fault::WentBack { watcher: w(), revision: 5, seen: 6 },
                Fault::Missed { watcher: w(), revision: 6 },
                Fault::Missed { watcher: w(), revision: 8 },
            ]
        },
    ),
    (
        "a listing lacks a key",
        |h| h.watchers[0].steps[2] = Step::Listed(listing(8, &[("a", 8)])),
        |_| vec![Fault::WrongListing { name: w(), revision: 8, key: "b".into() }],
    ),
];

const READS: &[Case] = &[
    (
        "a read does not show an acknowledged write",
        |h| h.reads[0].not_before = 8,
        |_| vec![Fault::Stale { name: "r".into(), revision: 7, not_before: 8 }],
    ),
    (
        "a read shows two moments at once",
        |h| h.reads[0].listing = listing(7, &[("a", 8), ("b", 6)]),
        |_| vec![Fault::WrongListing { name: "r".into(), revision: 7, key: "a".into() }],
    ),
];

#[test]
fn every_fault_is_found_and_named() {
    for (what, spoil, faults) in WRITES.iter().chain(WATCHES).chain(READS) {
        let mut history = sound();
        spoil(&mut history);
        assert_eq!(check(&history), faults(&history), "{what}");
    }
}
