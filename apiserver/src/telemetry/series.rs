//! Counters by labels, found without locks and without allocations: a table of slots that are filled once
//! and never moved. It has room for a bounded number of series; what comes then is not counted.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// How many series there may be about (a power of two). A cluster with every built-in kind in use, and
/// a hundred custom ones, has a quarter of that.
const SLOTS: usize = 4096;
/// How many slots are looked at for a series.
const PROBES: usize = 64;

/// Upper bounds of the buckets, in seconds: those of kube-apiserver.
pub(super) const BOUNDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];

/// The codes that are told apart; any other counts as the last one.
pub(super) const CODES: [u16; 27] = [
    101, 200, 201, 202, 204, 301, 302, 304, 307, 400, 401, 403, 404, 405, 406, 408, 409, 410, 413,
    415, 422, 429, 501, 502, 503, 504, 500,
];

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Labels<'a> {
    /// `GET`, `LIST`, `WATCH`, `POST`, `PUT`, `PATCH`, `APPLY`, `DELETE`, `DELETECOLLECTION`, `CONNECT`.
    pub(crate) verb: &'static str,
    /// `dryRun=All`.
    pub(crate) dry_run: bool,
    /// API group.
    pub(crate) group: &'a str,
    /// API version.
    pub(crate) version: &'a str,
    /// Plural name, "" for a path that is no resource.
    pub(crate) resource: &'a str,
    /// Subresource, or the path.
    pub(crate) subresource: &'a str,
    /// `resource`, `namespace`, `cluster`; "" for a path.
    pub(crate) scope: &'static str,
}

/// The counters of one set of labels.
pub(super) struct Series {
    verb: &'static str,
    dry_run: bool,
    /// Group, version, resource, subresource.
    names: [Box<str>; 4],
    scope: &'static str,
    /// By [`CODES`].
    pub(super) codes: [AtomicU64; CODES.len()],
    /// By [`BOUNDS`], not cumulated; the last one is for what takes longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
    /// Streams that are open.
    pub(super) open: AtomicI64,
    /// Events of watches.
    pub(super) events: AtomicU64,
}

impl Series {
    fn new(labels: &Labels<'_>) -> Series {
        let names = [labels.group, labels.version, labels.resource, labels.subresource];
        Series {
            verb: labels.verb,
            dry_run: labels.dry_run,
            names: names.map(Box::from),
            scope: labels.scope,
            codes: Default::default(),
            buckets: Default::default(),
            nanoseconds: AtomicU64::default(),
            open: AtomicI64::default(),
            events: AtomicU64::default(),
        }
    }

    fn key(&self) -> Labels<'_> {
        let [group, version, resource, subresource] = self.names.each_ref().map(|name| &**name);
        let (verb, dry_run, scope) = (self.verb, self.dry_run, self.scope);
        Labels { verb, dry_run, group, version, resource, subresource, scope }
    }

    /// Counts a request that is over.
    pub(super) fn observe(&self, code: u16, took: Duration) {
        let code = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1);
        self.codes[code].fetch_add(1, Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Requests by bucket, and the seconds they took together.
    pub(super) fn durations(&self) -> ([u64; BOUNDS.len() + 1], f64) {
        let counts = self.buckets.each_ref().map(|count| count.load(Ordering::Relaxed));
        (counts, Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64())
    }

    /// All labels but the code.
    pub(super) fn labels(&self) -> [(&'static str, &str); 8] {
        let key = self.key();
        [
            ("verb", key.verb),
            ("dry_run", if key.dry_run { "All" } else { "" }),
            ("group", key.group),
            ("version", key.version),
            ("resource", key.resource),
            ("subresource", key.subresource),
            ("scope", key.scope),
            ("component", "apiserver"),
        ]
    }

    /// The labels of the resource.
    pub(super) fn resource(&self) -> [(&'static str, &str); 3] {
        let key = self.key();
        [("group", key.group), ("version", key.version), ("resource", key.resource)]
    }
}

/// All series.
pub(super) struct Table {
    slots: Box<[OnceLock<Box<Series>>]>,
}

impl Default for Table {
    fn default() -> Table {
        Table { slots: std::iter::repeat_with(OnceLock::new).take(SLOTS).collect() }
    }
}

impl Table {
    /// Where the series of these labels is; `None` if there is no room for it.
    pub(super) fn slot(&self, labels: &Labels<'_>) -> Option<usize> {
        let mut hasher = DefaultHasher::new();
        labels.hash(&mut hasher);
        let first = usize::try_from(hasher.finish() % SLOTS as u64).unwrap_or_default();
        (0..PROBES).map(|step| (first + step) % SLOTS).find(|slot| {
            let series = self.slots[*slot].get_or_init(|| Box::new(Series::new(labels)));
            series.key() == *labels
        })
    }

    /// The series of a slot that [`Table::slot`] has given.
    pub(super) fn at(&self, slot: usize) -> &Series {
        self.slots[slot].get().expect("a slot is given out when it is filled")
    }

    /// All series, by their labels.
    pub(super) fn sorted(&self) -> Vec<&Series> {
        let mut all: Vec<_> =
            self.slots.iter().filter_map(OnceLock::get).map(|series| &**series).collect();
        all.sort_by(|a, b| a.labels().cmp(&b.labels()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(resource: &str) -> Labels<'_> {
        Labels {
            verb: "GET",
            dry_run: false,
            group: "",
            version: "v1",
            resource,
            subresource: "",
            scope: "resource",
        }
    }

    #[test]
    fn the_same_labels_are_the_same_series() {
        let table = Table::default();
        let pods = table.slot(&labels("pods")).expect("room");
        assert_eq!(table.slot(&labels(&String::from("pods"))), Some(pods));
        let nodes = table.slot(&labels("nodes")).expect("room");
        assert_ne!(nodes, pods);
        let dry = table.slot(&Labels { dry_run: true, ..labels("pods") });
        assert_ne!(dry, Some(pods));
        let shown: Vec<_> = table.sorted().iter().map(|series| series.key()).collect();
        let dry = Labels { dry_run: true, ..labels("pods") };
        assert_eq!(shown, [labels("nodes"), labels("pods"), dry]);
    }

    #[test]
    fn a_full_table_turns_series_away_and_keeps_those_it_has() {
        let table = Table::default();
        let names: Vec<_> = (0..2 * SLOTS).map(|n| n.to_string()).collect();
        let slots: Vec<_> = names.iter().map(|name| table.slot(&labels(name))).collect();
        assert!(slots.iter().flatten().count() <= SLOTS);
        assert!(slots.contains(&None));
        for (name, slot) in names.iter().zip(slots) {
            assert_eq!(table.slot(&labels(name)), slot);
        }
    }

    #[test]
    fn durations_fall_into_buckets() {
        let series = Series::new(&labels("pods"));
        for milliseconds in [0, 5, 6, 1000, 60_000, 60_001] {
            series.observe(200, Duration::from_millis(milliseconds));
        }
        series.observe(418, Duration::ZERO);
        let (counts, seconds) = series.durations();
        assert_eq!((counts[0], counts[1], counts[8], counts[22], counts[23]), (3, 1, 1, 1, 1));
        assert_eq!(counts.iter().sum::<u64>(), 7);
        assert!((seconds - 121.012).abs() < 1e-6, "{seconds}");
        // What nobody answers with is an error of the server.
        assert_eq!(series.codes[CODES.len() - 1].load(Ordering::Relaxed), 1);
        assert_eq!(CODES.last(), Some(&500));
    }
}
