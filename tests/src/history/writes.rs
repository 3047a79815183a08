//! What writers were told, against the log.

use std::collections::{BTreeMap, HashMap};

use super::{Event, Fault, History, Kind, Outcome, Wish, Write};

/// An event and the version that it replaced.
struct Done<'a> {
    event: &'a Event,
    replaced: Option<i64>,
}

pub(super) fn check(history: &History, faults: &mut Vec<Fault>) {
    let done = done(history);
    let mut by_content: HashMap<(&str, &str), Vec<&Done<'_>>> = HashMap::new();
    let mut deletions: HashMap<(&str, i64), &Done<'_>> = HashMap::new();
    for done in &done {
        match (done.event.kind, done.replaced) {
            (Kind::Deleted, Some(replaced)) => {
                deletions.insert((&done.event.key, replaced), done);
            }
            (Kind::Deleted, None) => {}
            _ => by_content.entry((&done.event.key, &done.event.content)).or_default().push(done),
        }
    }
    // Attempts to delete one version of a key are not told apart: one of them did it.
    let mut deleters: HashMap<(&str, i64), Vec<&Write>> = HashMap::new();
    for write in &history.writes {
        if let Wish::Delete { expected } = write.wish {
            deleters.entry((&write.key, expected)).or_default().push(write);
            continue;
        }
        let happened = by_content.remove(&(write.key.as_str(), write.content.as_str()));
        judge(write, happened.as_deref().unwrap_or_default(), faults);
    }
    for ((key, expected), writes) in deleters {
        let happened = deletions.remove(&(key, expected)).is_some();
        judge_deletions(&writes, happened, faults);
    }
    let unasked = by_content.into_values().flatten().chain(deletions.into_values());
    let mut unasked: Vec<_> = unasked.map(|done| done.event.clone()).collect();
    unasked.sort_by_key(|event| event.revision);
    faults.extend(unasked.into_iter().map(Fault::Unasked));
    reused(&history.writes, faults);
}

fn done(history: &History) -> Vec<Done<'_>> {
    let mut at: BTreeMap<&str, i64> =
        history.base.iter().map(|(key, revision)| (key.as_str(), *revision)).collect();
    let mut all = Vec::with_capacity(history.log.len());
    for event in &history.log {
        let replaced = match event.kind {
            Kind::Deleted => at.remove(event.key.as_str()),
            _ => at.insert(&event.key, event.revision),
        };
        all.push(Done { event, replaced });
    }
    all
}

/// A creation or an update: its content tells it from all others.
fn judge(write: &Write, happened: &[&Done<'_>], faults: &mut Vec<Fault>) {
    if happened.len() > 1 {
        faults.push(Fault::DoneTwice(write.clone()));
    }
    let found = |revision: Option<i64>| {
        happened.iter().any(|done| revision.is_none_or(|asked| asked == done.event.revision))
    };
    match write.outcome {
        Outcome::Acknowledged(revision) if !found(revision) => {
            faults.push(Fault::Lost(write.clone()));
        }
        Outcome::Refused if !happened.is_empty() => {
            faults.push(Fault::RefusedYetDone(write.clone()));
        }
        _ => {}
    }
    let expected = match write.wish {
        Wish::Update { expected } => Some(expected),
        _ => None,
    };
    if let Some(done) = happened.iter().find(|done| done.replaced != expected) {
        faults.push(Fault::Overwritten { write: write.clone(), found: done.replaced });
    }
}

/// All attempts to delete one version of a key.
fn judge_deletions(writes: &[&Write], happened: bool, faults: &mut Vec<Fault>) {
    let mut done = Vec::new();
    for write in writes {
        if let Outcome::Acknowledged(_) = write.outcome {
            done.push(*write);
        }
    }
    match &done[..] {
        [] if happened && writes.iter().all(|write| write.outcome == Outcome::Refused) => {
            faults.extend(writes.first().map(|write| Fault::RefusedYetDone((*write).clone())));
        }
        [write] if !happened => faults.push(Fault::Lost((*write).clone())),
        [_, second, ..] => faults.push(Fault::Lost((*second).clone())),
        _ => {}
    }
}

fn reused(writes: &[Write], faults: &mut Vec<Fault>) {
    let mut answered: HashMap<i64, &str> = HashMap::new();
    for write in writes {
        let Outcome::Acknowledged(Some(revision)) = write.outcome else { continue };
        if let Some(first) = answered.insert(revision, &write.key) {
            faults.push(Fault::Reused { revision, keys: [first.to_owned(), write.key.clone()] });
        }
    }
}
