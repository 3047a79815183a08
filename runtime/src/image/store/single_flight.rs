//! The same work asked for by several at once is done once, and everybody gets its result.
//!
//! Nobody owns the work: it goes on while at least one caller waits, and stops when the last one
//! gives up. So cancelling a pull means dropping its future.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

type Work<T> = BoxFuture<'static, T>;
type Running<K, T, V> = HashMap<K, (WeakShared<Work<T>>, V)>;

/// Work in flight, by key: its result will be a `T`, and meanwhile a `V` gives a view of it.
pub(crate) struct Flights<K, T: Clone, V = ()> {
    running: Arc<Mutex<Running<K, T, V>>>,
}

impl<K, T, V> Flights<K, T, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    pub(crate) fn new() -> Self {
        Self { running: Arc::default() }
    }

    /// The running work for `key`, or what `start` begins.
    pub(crate) fn join<F>(&self, key: K, start: impl FnOnce() -> (F, V)) -> (Shared<Work<T>>, V)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut running = self.running.lock();
        if let Some((flight, view)) = running.get(&key)
            && let Some(flight) = flight.upgrade()
        {
            return (flight, view.clone());
        }
        running.retain(|_, (flight, _)| flight.upgrade().is_some());
        let (work, view) = start();
        let (all, mine) = (self.running.clone(), key.clone());
        let flight = async move {
            let result = work.await;
            // From here on the result is in the store; whoever comes now looks there.
            all.lock().remove(&mine);
            result
        }
        .boxed()
        .shared();
        if let Some(weak) = flight.downgrade() {
            running.insert(key, (weak, view.clone()));
        }
        (flight, view)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn one_run_serves_all_and_the_next_starts_anew() {
        let flights: Flights<&str, usize> = Flights::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let go = Arc::new(Notify::new());
        let start = || {
            let (runs, go) = (runs.clone(), go.clone());
            let work = async move {
                go.notified().await;
                runs.fetch_add(1, Ordering::SeqCst) + 1
            };
            flights.join("a", move || (work, ())).0
        };
        let (first, second) = (start(), start());
        go.notify_one();
        assert_eq!(tokio::join!(first, second), (1, 1));
        go.notify_one();
        assert_eq!(start().await, 2);
    }

    #[tokio::test]
    async fn the_work_outlives_the_one_who_started_it_and_ends_with_the_last() {
        let flights: Flights<&str, ()> = Flights::new();
        let alive = Arc::new(());
        let go = Arc::new(Notify::new());
        let start = || {
            let (alive, go) = (alive.clone(), go.clone());
            let work = async move {
                go.notified().await;
                drop(alive);
            };
            flights.join("a", move || (work, ())).0
        };
        let (first, second) = (start(), start());
        drop(first);
        go.notify_one();
        second.await;
        let third = start();
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(third);
        assert_eq!(Arc::strong_count(&alive), 1, "abandoned work still holds its things");
    }
}
