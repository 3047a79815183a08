//! Which events are written, and as what. Pure.
//!
//! - The same again is the first one with a higher count.
//! - Events that differ in nothing but their message are combined into one from the [`SIMILAR`]th message
//!   within [`INTERVAL`] on; its message is that of the last.
//! - Of one controller about one object, only so many come through: [`BURST`], and one more every
//!   [`REFILL`].
//!
//! Source: the `EventCorrelator` of k8s.io/client-go/tools/record, with its defaults.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;

use super::Occurrence;

/// How many messages of one reason make a combined event.
const SIMILAR: usize = 10;
/// Messages that are further apart do not belong together.
const INTERVAL: Duration = Duration::from_secs(600);
/// How many events of a controller about an object may come at once.
const BURST: f64 = 25.0;
/// How long it takes until one more may.
const REFILL: Duration = Duration::from_secs(300);
/// How much is remembered of each, the longest unused forgotten first.
const REMEMBERED: usize = 4096;

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Correlated {
    /// With the message to write.
    pub(super) occurrence: Occurrence,
    /// When it happened first.
    pub(super) first: Timestamp,
    /// How often it has happened. More than once: the event of that first time is to be changed.
    pub(super) count: i32,
}

/// See the module. Keys are hashes: what two of thousands of events would share by accident is a count.
#[derive(Debug, Default)]
pub(super) struct Correlator {
    buckets: Recent<Bucket>,
    similar: Recent<Similar>,
    counts: Recent<Count>,
}

/// How many events may still come.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Timestamp,
}

/// Events of one reason.
#[derive(Debug, Default)]
struct Similar {
    messages: BTreeSet<u64>,
    last: Timestamp,
}

#[derive(Debug)]
struct Count {
    first: Timestamp,
    count: i32,
}

impl Correlator {
    /// What to write of something that has happened `now`. None: nothing.
    pub(super) fn correlate(
        &mut self,
        mut occurrence: Occurrence,
        now: Timestamp,
    ) -> Option<Correlated> {
        let source = key(&(occurrence.component, &occurrence.subject));
        let reason = key(&(source, occurrence.warning, occurrence.reason));
        let message = key(&(reason, &occurrence.message));
        let combined = self.similar.entry(reason, Similar::default).combines(message, now);
        if combined {
            occurrence.message = format!("(combined from similar events): {}", occurrence.message);
        }
        let counted = if combined { reason } else { message };
        let counted = self.counts.entry(counted, || Count { first: now, count: 0 });
        counted.count = counted.count.saturating_add(1);
        let (first, count) = (counted.first, counted.count);
        let bucket = self.buckets.entry(source, || Bucket { tokens: BURST, filled: now });
        bucket.take(now).then_some(Correlated { occurrence, first, count })
    }
}

impl Similar {
    /// Whether this message makes too many.
    fn combines(&mut self, message: u64, now: Timestamp) -> bool {
        if since(self.last, now) > INTERVAL {
            self.messages.clear();
        }
        self.last = now;
        if self.messages.len() + 1 < SIMILAR {
            self.messages.insert(message);
        }
        !self.messages.contains(&message)
    }
}

impl Bucket {
    fn take(&mut self, now: Timestamp) -> bool {
        let more = since(self.filled, now).as_secs_f64() / REFILL.as_secs_f64();
        self.tokens = (self.tokens + more).min(BURST);
        self.filled = self.filled.max(now);
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }
}

fn since(before: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(before)).unwrap_or_default()
}

fn key(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The values used last.
#[derive(Debug)]
struct Recent<V> {
    values: HashMap<u64, (V, u64)>,
    /// Keys by when they were used.
    order: BTreeMap<u64, u64>,
    uses: u64,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: BTreeMap::new(), uses: 0 }
    }
}

impl<V> Recent<V> {
    /// The value of a key, made if there is none.
    fn entry(&mut self, key: u64, make: impl FnOnce() -> V) -> &mut V {
        self.uses += 1;
        let (_, used) = self.values.entry(key).or_insert_with(|| (make(), 0));
        self.order.remove(used);
        *used = self.uses;
        self.order.insert(self.uses, key);
        if self.order.len() > REMEMBERED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.values.remove(&oldest);
        }
        &mut self.values.get_mut(&key).expect("it is the one used last").0
    }
}

#[cfg(test)]
mod tests {
    use super::super::Subject;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn said(name: &str, reason: &'static str, message: &str) -> Occurrence {
        let subject = Subject {
            api_version: "apps/v1".to_owned(),
            kind: "ReplicaSet".to_owned(),
            namespace: "n".to_owned(),
            name: name.to_owned(),
            uid: name.to_owned(),
        };
        let message = message.to_owned();
        Occurrence { component: "replicaset-controller", subject, warning: false, reason, message }
    }

    #[test]
    fn the_same_again_is_counted() {
        let mut correlator = Correlator::default();
        for (second, reason, message, first, count) in [
            (0, "Failed", "no room", 0, 1),
            (5, "Failed", "no room", 0, 2),
            (6, "Failed", "no quota", 6, 1),
            (7, "Other", "no room", 7, 1),
            (9, "Failed", "no room", 0, 3),
        ] {
            let it = correlator.correlate(said("a", reason, message), at(second)).unwrap();
            assert_eq!((it.first, it.count), (at(first), count), "{reason} {message} at {second}");
            assert_eq!(it.occurrence.message, message);
        }
        let other = correlator.correlate(said("b", "Failed", "no room"), at(9)).unwrap();
        assert_eq!(other.count, 1);
    }

    #[test]
    fn many_of_a_kind_are_combined() {
        let mut correlator = Correlator::default();
        let mut say = |number: i64, second: i64| {
            let it = said("a", "Created", &format!("Created pod: a-{number}"));
            let it = correlator.correlate(it, at(second)).unwrap();
            (it.occurrence.message, it.count, it.first)
        };
        for number in 1..10 {
            let message = format!("Created pod: a-{number}");
            assert_eq!(say(number, number), (message, 1, at(number)));
        }
        let combined =
            |number: i64| format!("(combined from similar events): Created pod: a-{number}");
        assert_eq!(say(10, 10), (combined(10), 1, at(10)));
        assert_eq!(say(11, 300), (combined(11), 2, at(10)));
        assert_eq!(say(3, 400), ("Created pod: a-3".to_owned(), 2, at(3)), "it has its own");
        assert_eq!(say(12, 1000), (combined(12), 3, at(10)), "600 s after the last");
        assert_eq!(say(13, 1601), ("Created pod: a-13".to_owned(), 1, at(1601)), "601 s after");
    }

    #[test]
    fn a_babbler_is_silenced() {
        let mut correlator = Correlator::default();
        let mut say = |name: &str, second: i64| {
            correlator.correlate(said(name, "Failed", "no room"), at(second)).map(|it| it.count)
        };
        for number in 1..=25 {
            assert_eq!(say("a", 0), Some(number));
        }
        assert_eq!(say("a", 0), None);
        assert_eq!(say("b", 0), Some(1), "another object");
        assert_eq!(say("a", 299), None);
        assert_eq!(say("a", 300), Some(28), "what was not written is counted all the same");
        assert_eq!(say("a", 300), None);
        assert_eq!(say("a", -500), None, "a clock that was set back");
        assert_eq!(say("a", 600), Some(31));
    }

    #[test]
    fn what_was_not_used_for_long_is_forgotten() {
        let mut correlator = Correlator::default();
        correlator.correlate(said("first", "Failed", "m"), at(0));
        for number in 1..REMEMBERED {
            correlator.correlate(said(&number.to_string(), "Failed", "m"), at(0));
        }
        let again = correlator.correlate(said("first", "Failed", "m"), at(0)).unwrap();
        assert_eq!(again.count, 2, "among the last {REMEMBERED}");
        correlator.correlate(said("one more", "Failed", "m"), at(0));
        let (first, second) = ("first", "1");
        let mut count =
            |name| correlator.correlate(said(name, "Failed", "m"), at(0)).unwrap().count;
        assert_eq!((count(first), count(second)), (3, 1));
        assert_eq!(correlator.counts.values.len(), REMEMBERED);
        assert_eq!(correlator.counts.order.len(), REMEMBERED);
    }
}
