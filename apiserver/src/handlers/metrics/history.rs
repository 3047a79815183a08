//! Two answers of an agent: the use between them, and when to ask for the next. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::scrape::{Point, Scrape};

/// Below this age an answer is the present.
const FRESH: Duration = Duration::from_secs(10);
/// The shortest time between two answers over which CPU use is told. Only who asks first waits for it.
const SHORTEST: Duration = Duration::from_secs(2);
/// An answer of this age tells of another time.
pub(super) const STALE: Duration = Duration::from_secs(60);
/// How long an agent that did not answer is left alone.
const RETRY: Duration = Duration::from_secs(10);
/// What a container has used since its start is told when that is so long ago, as in Kubernetes: what it
/// used just to start says nothing.
const YOUNG: SignedDuration = SignedDuration::from_secs(10);

/// What is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Billionths of a core, on average over the window.
    pub(super) nano_cores: u64,
    /// At the end of the window.
    pub(super) memory_bytes: u64,
    /// The end of the window.
    pub(super) at: Timestamp,
    pub(super) window: SignedDuration,
}

/// What a node and its pods use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) node: Option<Usage>,
    /// Containers in order of name, by pod as `namespace/name`.
    pub(super) pods: BTreeMap<String, Vec<(String, Usage)>>,
}

/// What to do for somebody who wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is an answer as good as any.
    Serve,
    /// The agent is to be asked.
    Ask,
    /// The agent is to be asked after that time.
    Wait(Duration),
}

/// What an agent has said lately.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The last answer, and when it came.
    last: Option<(Instant, Scrape)>,
    /// The use up to then; none after a first answer.
    reading: Option<Arc<Reading>>,
    /// When it failed to answer, unless it has answered since.
    failed: Option<Instant>,
}

impl History {
    /// What to do now. Forgets what is too old to be told.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.is_stale(now) {
            (self.last, self.reading) = (None, None);
        }
        if self.failed.is_some_and(|failed| now.duration_since(failed) < RETRY) {
            return Next::Serve;
        }
        let Some((taken, _)) = &self.last else { return Next::Ask };
        let age = now.duration_since(*taken);
        match SHORTEST.checked_sub(age).filter(|rest| !rest.is_zero()) {
            _ if self.reading.is_some() && age < FRESH => Next::Serve,
            Some(rest) => Next::Wait(rest),
            None => Next::Ask,
        }
    }

    /// Whether nothing that is kept can be told any more.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.last.as_ref().is_none_or(|(taken, _)| now.duration_since(*taken) >= STALE)
    }

    /// Takes an answer.
    pub(super) fn answered(&mut self, scrape: Scrape, now: Instant) {
        self.failed = None;
        if let Some((_, earlier)) = self.last.take() {
            self.reading = Some(Arc::new(reading(&earlier, &scrape)));
        }
        self.last = Some((now, scrape));
    }

    /// Notes that there was none; whether that is news.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failed.replace(now).is_none()
    }

    /// The use, as far as it is known.
    pub(super) fn reading(&self) -> Arc<Reading> {
        self.reading.clone().unwrap_or_default()
    }
}

/// The use between two answers.
fn reading(earlier: &Scrape, last: &Scrape) -> Reading {
    let node = last.node.and_then(|point| usage(earlier.node, point));
    let pods = last.pods.iter().filter_map(|(pod, containers)| {
        let before = earlier.pods.get(pod);
        let of = |(name, point): (&String, &Point)| {
            let before = before.and_then(|before| before.get(name)).copied();
            Some((name.clone(), usage(before, *point)?))
        };
        // A pod of which one container is too young is too young.
        Some((pod.clone(), containers.iter().map(of).collect::<Option<_>>()?))
    });
    Reading { node, pods: pods.collect() }
}

/// The use up to `last`: since the point before, or since its start if it was started after that.
fn usage(earlier: Option<Point>, last: Point) -> Option<Usage> {
    let same = |before: &Point| {
        before.cpu <= last.cpu && last.started.is_none_or(|started| started <= before.at)
    };
    let (since, used) = match earlier.filter(same) {
        Some(before) => (before.at, last.cpu.checked_sub(before.cpu)?),
        None => {
            let started = last.started?;
            if last.at.duration_since(started) < YOUNG {
                return None;
            }
            (started, last.cpu)
        }
    };
    let window = last.at.duration_since(since);
    let nanos = u128::try_from(window.as_nanos()).ok()?;
    let nano_cores = (used.as_nanos() * 1_000_000_000).checked_div(nanos)?;
    let nano_cores = u64::try_from(nano_cores).ok()?;
    Some(Usage { nano_cores, memory_bytes: last.memory_bytes, at: last.at, window })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: i64, cpu_millis: u64, started: Option<i64>) -> Point {
        Point {
            at: Timestamp::from_second(at).unwrap(),
            cpu: Duration::from_millis(cpu_millis),
            memory_bytes: 7,
            started: started.map(|started| Timestamp::from_second(started).unwrap()),
        }
    }

    #[test]
    fn use_is_counted_from_the_point_before_or_from_the_start() {
        for (case, earlier, last, want) in [
            ("plain", Some(point(100, 1000, Some(5))), point(110, 6000, Some(5)), Some((500, 10))),
            ("idle", Some(point(100, 1000, Some(5))), point(110, 1000, Some(5)), Some((0, 10))),
            ("a node", Some(point(100, 1000, None)), point(104, 9000, None), Some((2000, 4))),
            (
                "restarted",
                Some(point(100, 90, Some(5))),
                point(120, 3000, Some(105)),
                Some((200, 15)),
            ),
            ("restarted just now", Some(point(100, 90, Some(5))), point(109, 100, Some(101)), None),
            ("new", None, point(120, 1000, Some(100)), Some((50, 20))),
            ("too new", None, point(109, 1000, Some(100)), None),
            ("a new node", None, point(100, 1000, None), None),
            ("a node that booted", Some(point(100, 1000, None)), point(110, 10, None), None),
            ("no time between", Some(point(100, 1, Some(5))), point(100, 1, Some(5)), None),
        ] {
            let found = usage(earlier, last);
            let found = found.map(|u| (u.nano_cores / 1_000_000, u.window.as_secs()));
            assert_eq!(found, want, "{case}");
        }
    }

    #[test]
    fn a_pod_is_told_whole_or_not_at_all() {
        let scrape = |at, cpu, names: &[(&str, i64)]| {
            let of =
                |(name, start): &(&str, i64)| ((*name).to_owned(), point(at, cpu, Some(*start)));
            let pods = [("n/p".to_owned(), names.iter().map(of).collect())].into();
            Scrape { node: None, pods }
        };
        let (old, grown) = (scrape(100, 1000, &[("a", 5)]), [("a", 5), ("b", 101)]);
        let found = reading(&old, &scrape(105, 2000, &grown));
        assert!(found.pods.is_empty(), "{found:?}");
        let found = reading(&old, &scrape(112, 2000, &grown));
        let names: Vec<_> = found.pods["n/p"].iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn agents_are_asked_when_it_is_needed() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut history = History::default();
        assert_eq!(history.next(at(0)), Next::Ask);
        history.answered(Scrape::default(), at(0));
        assert_eq!(history.next(at(1)), Next::Wait(Duration::from_secs(1)));
        assert_eq!(history.next(at(2)), Next::Ask);
        history.answered(Scrape::default(), at(2));
        assert_eq!(history.next(at(11)), Next::Serve);
        assert_eq!(history.next(at(12)), Next::Ask);
        // One that does not answer is left alone, and what it said before is told for a while.
        assert!(history.failed(at(12)));
        assert_eq!(history.next(at(21)), Next::Serve);
        assert_eq!(history.next(at(22)), Next::Ask);
        assert!(!history.failed(at(61)));
        assert!(history.reading.is_some() && !history.is_stale(at(61)));
        assert_eq!(history.next(at(62)), Next::Serve);
        assert!(history.reading.is_none() && history.is_stale(at(62)));
        assert_eq!(history.next(at(71)), Next::Ask);
        // It begins anew: what it says next is compared with nothing older.
        history.answered(Scrape::default(), at(71));
        assert!(history.reading.is_none());
        assert!(history.failed(at(73)), "it has answered in between");
    }
}
