//! The decision: what a batch of mutations does to the keys it touches.
//!
//! Pure: the engine loads the touched keys inside its transaction, [`plan`]
//! decides as if the mutations ran one after the other, the engine writes the
//! result. Both engines therefore agree by construction, and refused mutations
//! take no revision.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Event, EventKind, KeyValue, Revision};

/// How many revisions back an update may refer to its key's previous value by
/// revision instead of carrying a copy of it.
///
/// Keys that change often (Leases, a starting pod's status) are logged once per
/// change, not twice; a key that rested for longer is logged with its previous
/// value. Compaction keeps this many rows behind its point, so that what is
/// referred to is always there (see [`crate::engine`]).
pub(crate) const REACH: i64 = 4096;

/// One wish of a caller.
#[derive(Debug, Clone)]
pub(crate) struct Mutation {
    pub(crate) key: Arc<str>,
    pub(crate) verb: Verb,
}

impl Mutation {
    /// Bytes it carries.
    pub(crate) fn size(&self) -> usize {
        match &self.verb {
            Verb::Create(value) | Verb::Update { value, .. } => value.len() + self.key.len(),
            Verb::Delete { .. } => self.key.len(),
        }
    }
}

/// What is wished.
#[derive(Debug, Clone)]
pub(crate) enum Verb {
    Create(Bytes),
    Update { value: Bytes, expected: Revision },
    Delete { expected: Revision },
}

/// Why a mutation is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Exists(KeyValue),
    Conflict(Option<KeyValue>),
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) event: Event,
    /// The key's revision before this one; 0 for a creation.
    pub(crate) prev_revision: Revision,
}

impl LogRow {
    /// The previous value, where the row has to carry it.
    pub(crate) fn carried(&self) -> Option<&Bytes> {
        let reachable = self.event.revision.0 - self.prev_revision.0 <= REACH;
        self.event.prev.as_ref().filter(|_| !reachable)
    }

    /// The new value; a deletion has none.
    pub(crate) fn value(&self) -> Option<&Bytes> {
        (self.event.kind != EventKind::Delete).then_some(&self.event.value)
    }
}

/// What has become of a touched key when the batch is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It did not exist before.
    Insert(KeyValue),
    /// It did.
    Replace(KeyValue),
    /// It did, and no longer does.
    Remove(Arc<str>),
}

/// What the engine has to write, and what to answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// One per mutation, in the batch's order.
    pub(crate) outcomes: Vec<Result<Revision, Refusal>>,
    /// One per successful mutation, in revision order.
    pub(crate) log: Vec<LogRow>,
    /// The net effect, at most one per key.
    pub(crate) changes: Vec<Change>,
}

impl Plan {
    /// The counter after the batch.
    pub(crate) fn last(&self, before: Revision) -> Revision {
        self.log.last().map_or(before, |row| row.event.revision)
    }
}

/// Decides a batch, given the newest revision and the keys it touches as they are.
pub(crate) fn plan(batch: &[Mutation], current: Vec<KeyValue>, newest: Revision) -> Plan {
    let mut keys: HashMap<Arc<str>, KeyValue> =
        current.into_iter().map(|found| (found.key.clone(), found)).collect();
    // What a key was before the batch, for those that change.
    let mut touched: Vec<(Arc<str>, bool)> = Vec::with_capacity(batch.len());
    let mut seen: HashMap<Arc<str>, ()> = HashMap::with_capacity(batch.len());
    let mut result = Plan {
        outcomes: Vec::with_capacity(batch.len()),
        log: Vec::with_capacity(batch.len()),
        changes: Vec::with_capacity(batch.len()),
    };
    let mut revision = newest;
    for mutation in batch {
        let slot = keys.entry(mutation.key.clone());
        let existed = matches!(slot, Slot::Occupied(_));
        match step(mutation, slot, revision.next()) {
            Ok(row) => {
                revision = row.event.revision;
                result.log.push(row);
                result.outcomes.push(Ok(revision));
                if seen.insert(mutation.key.clone(), ()).is_none() {
                    touched.push((mutation.key.clone(), existed));
                }
            }
            Err(refusal) => result.outcomes.push(Err(refusal)),
        }
    }
    for (key, existed) in touched {
        match keys.remove(&key) {
            Some(now) if existed => result.changes.push(Change::Replace(now)),
            Some(now) => result.changes.push(Change::Insert(now)),
            None if existed => result.changes.push(Change::Remove(key)),
            None => {} // came and went within the batch
        }
    }
    result
}

/// One mutation against its key.
fn step(
    mutation: &Mutation,
    slot: Slot<'_, Arc<str>, KeyValue>,
    revision: Revision,
) -> Result<LogRow, Refusal> {
    match (&mutation.verb, slot) {
        (Verb::Create(value), Slot::Vacant(slot)) => {
            slot.insert(KeyValue {
                key: mutation.key.clone(),
                value: value.clone(),
                create_revision: revision,
                mod_revision: revision,
            });
            Ok(LogRow {
                event: Event {
                    revision,
                    kind: EventKind::Create,
                    key: mutation.key.clone(),
                    value: value.clone(),
                    prev: None,
                    create_revision: revision,
                },
                prev_revision: Revision(0),
            })
        }
        (Verb::Create(_), Slot::Occupied(slot)) => Err(Refusal::Exists(slot.get().clone())),
        (Verb::Update { value, expected }, Slot::Occupied(mut slot))
            if slot.get().mod_revision == *expected =>
        {
            let now = slot.get_mut();
            let prev = std::mem::replace(&mut now.value, value.clone());
            let prev_revision = std::mem::replace(&mut now.mod_revision, revision);
            Ok(LogRow {
                event: Event {
                    revision,
                    kind: EventKind::Update,
                    key: mutation.key.clone(),
                    value: value.clone(),
                    prev: Some(prev),
                    create_revision: now.create_revision,
                },
                prev_revision,
            })
        }
        (Verb::Delete { expected }, Slot::Occupied(slot))
            if slot.get().mod_revision == *expected =>
        {
            let last = slot.remove();
            Ok(LogRow {
                event: Event {
                    revision,
                    kind: EventKind::Delete,
                    key: mutation.key.clone(),
                    value: last.value.clone(),
                    prev: Some(last.value),
                    create_revision: last.create_revision,
                },
                prev_revision: last.mod_revision,
            })
        }
        (Verb::Update { .. } | Verb::Delete { .. }, Slot::Occupied(slot)) => {
            Err(Refusal::Conflict(Some(slot.get().clone())))
        }
        (Verb::Update { .. } | Verb::Delete { .. }, Slot::Vacant(_)) => {
            Err(Refusal::Conflict(None))
        }
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
