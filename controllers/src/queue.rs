//! The work queue between "something changed" and "look at it".
//!
//! Holds keys, not changes: a key added ten times before a worker is free is worked on once, and
//! a key never has two workers at once; one added while it is being worked on is worked on again
//! afterwards. A key whose reconcile failed comes back after a delay that doubles with each failure
//! (5 ms up to 1 minute, give or take a fifth, so that many failing keys do not return together).
//!
//! This is client-go's work queue in its guarantees. Its size is bounded by the number of objects.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

const FIRST_RETRY: Duration = Duration::from_millis(5);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// A work queue; see the module. `K` names an object.
#[derive(Debug)]
pub(crate) struct WorkQueue<K> {
    state: Mutex<State<K>>,
    added: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    queued: HashSet<K>,
    working: HashSet<K>,
    /// Added while being worked on.
    again: HashSet<K>,
    delayed: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                queued: HashSet::new(),
                working: HashSet::new(),
                again: HashSet::new(),
                delayed: BTreeSet::new(),
                due: HashMap::new(),
                failures: HashMap::new(),
            }),
            added: Notify::new(),
        }
    }

    /// Wants `key` worked on, soon.
    pub(crate) fn add(&self, key: K) {
        self.state.lock().add(key);
        self.added.notify_one();
    }

    /// Wants `key` worked on after `delay`, or earlier if something else asks for it earlier.
    pub(crate) fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let due = Instant::now() + delay;
        let mut state = self.state.lock();
        match state.due.get(&key).copied() {
            Some(earlier) if earlier <= due => return,
            Some(later) => {
                state.delayed.remove(&(later, key.clone()));
            }
            None => {}
        }
        state.delayed.insert((due, key.clone()));
        state.due.insert(key, due);
        drop(state);
        // A sleeping worker has to look at the new deadline.
        self.added.notify_one();
    }

    /// Takes the next key, waiting for one. Must be given back with [`WorkQueue::done`].
    pub(crate) async fn next(&self) -> K {
        loop {
            let wake_at = {
                let mut state = self.state.lock();
                state.move_due(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.queued.remove(&key);
                    state.working.insert(key.clone());
                    if !state.ready.is_empty() {
                        // notify_one stores a single permit: pass the baton.
                        self.added.notify_one();
                    }
                    return key;
                }
                state.delayed.first().map(|(due, _)| *due)
            };
            tokio::select! {
                biased;
                () = self.added.notified() => {}
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            }
        }
    }

    /// The work on `key` has ended well: its failures are forgotten.
    pub(crate) fn done(&self, key: &K) {
        self.state.lock().failures.remove(key);
        self.finish(key);
    }

    /// The work on `key` has failed: it comes back after the back-off, which is returned.
    pub(crate) fn failed(&self, key: &K) -> Duration {
        let failures = {
            let mut state = self.state.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures += 1;
            *failures
        };
        let delay = jitter(backoff(failures), key, failures);
        self.finish(key);
        self.add_after(key.clone(), delay);
        delay
    }

    fn finish(&self, key: &K) {
        let mut state = self.state.lock();
        state.working.remove(key);
        if state.again.remove(key) {
            state.add(key.clone());
            drop(state);
            self.added.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn add(&mut self, key: K) {
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn move_due(&mut self, now: Instant) {
        while let Some((due, key)) = self.delayed.first().cloned()
            && due <= now
        {
            self.delayed.remove(&(due, key.clone()));
            self.due.remove(&key);
            self.add(key);
        }
    }
}

fn backoff(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST_RETRY)
}

/// Give or take a fifth, another one for every key and failure.
fn jitter<K: Hash>(delay: Duration, key: &K, failures: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (key, failures).hash(&mut hasher);
    let permille = u32::try_from(hasher.finish() % 400).unwrap_or(200);
    delay * (800 + permille) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::time::timeout;

    async fn none(queue: &WorkQueue<u32>, within: Duration) -> bool {
        timeout(within, queue.next()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_once_however_often_it_is_added() {
        let queue = WorkQueue::new();
        for key in [1, 2, 1, 1] {
            queue.add(key);
        }
        assert_eq!(queue.next().await, 1);
        assert_eq!(queue.next().await, 2);
        assert!(none(&queue, Duration::from_secs(3600)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_never_has_two_workers_and_comes_back_if_added_meanwhile() {
        let queue = WorkQueue::new();
        queue.add(1);
        let key = queue.next().await;
        queue.add(1);
        queue.add(1);
        assert!(none(&queue, Duration::from_secs(1)).await);
        queue.done(&key);
        assert_eq!(queue.next().await, 1);
        queue.done(&1);
        assert!(none(&queue, Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_double_the_delay_and_success_forgets_them() {
        let queue = WorkQueue::new();
        queue.add(7);
        let mut last = Duration::ZERO;
        for _ in 0..6 {
            let key = queue.next().await;
            let delay = queue.failed(&key);
            assert!(delay > last, "{delay:?} after {last:?}");
            last = delay;
        }
        let key = queue.next().await;
        queue.done(&key);
        queue.add(7);
        let key = queue.next().await;
        assert!(queue.failed(&key) <= FIRST_RETRY * 2);
        assert_eq!(backoff(30), LONGEST_RETRY);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_delays_counts() {
        let queue = WorkQueue::new();
        queue.add_after(1, Duration::from_secs(60));
        queue.add_after(1, Duration::from_secs(5));
        queue.add_after(1, Duration::from_secs(30));
        let begun = Instant::now();
        assert_eq!(queue.next().await, 1);
        assert_eq!(begun.elapsed().as_secs(), 5);
        queue.done(&1);
        assert!(none(&queue, Duration::from_secs(3600)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn all_workers_wake_for_a_burst() {
        let queue = Arc::new(WorkQueue::new());
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let queue = queue.clone();
            workers.spawn(async move { queue.next().await });
        }
        tokio::task::yield_now().await;
        for key in 0..4 {
            queue.add(key);
        }
        let mut seen: Vec<u32> = timeout(Duration::from_secs(1), workers.join_all()).await.unwrap();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
    }
}
