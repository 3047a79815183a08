//! What writers, watchers and readers of a cluster have recorded, judged against its log.
//!
//! A test lets many clients work while it kills servers, notes everything that each client has been
//! told ([`Write`], [`Watched`], [`Read`]), and afterwards reads the log from the datastore itself.
//! [`check`] then proves, or names the first thing that disproves:
//!
//! - no acknowledged write is lost: it is in the log, under the revision that was answered;
//! - no revision is used twice, and the log's revisions rise;
//! - a refused write has not happened; one of unknown outcome has happened at most once; nothing
//!   has happened that nobody asked for;
//! - a write replaces exactly the version that it expected, whichever server it went through;
//! - a watcher, however often it had to resume, has seen every event of the log after its
//!   beginning once, in order, and as the log has it;
//! - a read shows a moment of the log that is not before the last write acknowledged when it began.
//!
//! The checker knows nothing of HTTP or Kubernetes but three words for events.

mod reads;
mod watches;
mod writes;

use std::collections::BTreeMap;

/// What an event did to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The key did not exist.
    Added,
    /// The key got another content.
    Modified,
    /// The key is gone; the event carries its last content.
    Deleted,
}

/// One change, as the log or a watcher has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The change's own revision.
    pub revision: i64,
    /// What happened.
    pub kind: Kind,
    /// To which key.
    pub key: String,
    /// What the key holds since then.
    pub content: String,
}

/// What a writer asked for. `expected` is the revision that the key must be at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A key that does not exist.
    Create,
    /// Another content.
    Update {
        /// The version to replace.
        expected: i64,
    },
    /// No such key any more.
    Delete {
        /// The version to remove.
        expected: i64,
    },
}

/// What a writer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has happened; a deletion's answer does not say at which revision.
    Acknowledged(Option<i64>),
    /// It has not happened.
    Refused,
    /// No answer, or one that says that nobody knows.
    Unknown,
}

/// One attempt of a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// To which key.
    pub key: String,
    /// What it asked for.
    pub wish: Wish,
    /// The content it sent: no other attempt of any writer has the same. Empty for deletions.
    pub content: String,
    /// What it was told.
    pub outcome: Outcome,
}

/// What there was at one revision: keys and the revision of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The moment.
    pub revision: i64,
    /// Keys and the revision that each got its content from.
    pub items: BTreeMap<String, i64>,
}

/// What a watcher was told, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It listed: to begin, or because it had been told that its last revision is too old. From
    /// here on it has to see every event after this moment.
    Listed(Listing),
    /// An event.
    Event(Event),
}

/// All that a watcher was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Who it was.
    pub name: String,
    /// In its order; the first one is a listing.
    pub steps: Vec<Step>,
}

/// A list that asked for the newest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Who asked whom.
    pub name: String,
    /// The newest revision that any writer had been answered before the question was sent.
    pub not_before: i64,
    /// The answer.
    pub listing: Listing,
}

/// Everything of one run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The log of the datastore after `base`, by revision.
    pub log: Vec<Event>,
    /// What there was before the log begins.
    pub base: BTreeMap<String, i64>,
    /// All attempts of all writers.
    pub writes: Vec<Write>,
    /// All watchers.
    pub watchers: Vec<Watched>,
    /// All consistent reads.
    pub reads: Vec<Read>,
}

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The log's revisions do not rise.
    LogDisorder {
        /// The revision that does not follow.
        revision: i64,
    },
    /// The log adds a key that exists, or changes one that does not.
    LogNonsense {
        /// Where.
        revision: i64,
    },
    /// An acknowledged write is not in the log at the revision that was answered.
    Lost(Write),
    /// Two writes were answered with one revision.
    Reused {
        /// Which one.
        revision: i64,
        /// The keys of both.
        keys: [String; 2],
    },
    /// A refused write is in the log.
    RefusedYetDone(Write),
    /// One attempt is in the log more than once.
    DoneTwice(Write),
    /// An event in the log that no writer asked for.
    Unasked(Event),
    /// A write that replaced another version than it expected.
    Overwritten {
        /// The write.
        write: Write,
        /// The version that it replaced.
        found: Option<i64>,
    },
    /// A watcher was not told of an event.
    Missed {
        /// Who.
        watcher: String,
        /// Which event.
        revision: i64,
    },
    /// A watcher was told of an event again, or after a later one.
    Repeated {
        /// Who.
        watcher: String,
        /// Which event.
        revision: i64,
    },
    /// A watcher was told of something that is not, or not so, in the log.
    Invented {
        /// Who.
        watcher: String,
        /// What it was told.
        event: Event,
    },
    /// A watcher listed and was shown the past: older than what it had seen.
    WentBack {
        /// Who.
        watcher: String,
        /// The listing's revision.
        revision: i64,
        /// What it had seen.
        seen: i64,
    },
    /// A listing that is not what the log says of its moment.
    WrongListing {
        /// Whose.
        name: String,
        /// Its revision.
        revision: i64,
        /// The first key that is wrong.
        key: String,
    },
    /// A read that shows a moment before the last acknowledged write.
    Stale {
        /// Whose.
        name: String,
        /// The moment it shows.
        revision: i64,
        /// The oldest moment that it might have shown.
        not_before: i64,
    },
}

/// Every fault of a history, the log's own first.
pub fn check(history: &History) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_log(history, &mut faults);
    writes::check(history, &mut faults);
    watches::check(history, &mut faults);
    reads::check(history, &mut faults);
    faults
}

fn check_log(history: &History, faults: &mut Vec<Fault>) {
    let mut last = 0;
    let mut exists: BTreeMap<&str, ()> =
        history.base.keys().map(|key| (key.as_str(), ())).collect();
    for event in &history.log {
        if event.revision <= last {
            faults.push(Fault::LogDisorder { revision: event.revision });
        }
        last = event.revision;
        let existed = match event.kind {
            Kind::Deleted => exists.remove(event.key.as_str()).is_some(),
            _ => exists.insert(&event.key, ()).is_some(),
        };
        if existed == (event.kind == Kind::Added) {
            faults.push(Fault::LogNonsense { revision: event.revision });
        }
    }
}

#[cfg(test)]
mod tests;
