//! What a controller has asked for and the watch has not shown yet.
//!
//! Between the answer to a create and the arrival of the pod in the cache, the cache shows too few
//! pods. Deciding on it would create them twice. So the number of creations and the uids of the
//! deletions under way are noted here, and nothing further is decided for that controller until
//! they have been seen, or until they have not been seen for so long that something was missed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::informer::Key;

/// After this the cache is believed again, as in Kubernetes.
const EXPIRY: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Expected {
    creations: usize,
    deletions: HashSet<String>,
    since: Instant,
}

/// Expectations by controller.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    by_controller: Mutex<HashMap<Key, Expected>>,
}

impl Expectations {
    /// Notes that so many pods are about to be created, and those with these uids deleted.
    pub(crate) fn expect(&self, key: &Key, creations: usize, deletions: HashSet<String>) {
        let expected = Expected { creations, deletions, since: Instant::now() };
        self.by_controller.lock().insert(key.clone(), expected);
    }

    /// A pod of the controller was seen for the first time, or will never be.
    pub(crate) fn created(&self, key: &Key) {
        if let Some(expected) = self.by_controller.lock().get_mut(key) {
            expected.creations = expected.creations.saturating_sub(1);
        }
    }

    /// The pod was seen going, or will not go.
    pub(crate) fn deleted(&self, key: &Key, uid: &str) {
        if let Some(expected) = self.by_controller.lock().get_mut(key) {
            expected.deletions.remove(uid);
        }
    }

    /// Whether the cache can be decided on.
    pub(crate) fn satisfied(&self, key: &Key) -> bool {
        self.by_controller.lock().get(key).is_none_or(|expected| {
            (expected.creations == 0 && expected.deletions.is_empty())
                || expected.since.elapsed() > EXPIRY
        })
    }

    /// The controller is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.by_controller.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_decided_before_what_was_asked_for_is_seen() {
        let (e, key) = (Expectations::default(), Key::new("n", "rc"));
        assert!(e.satisfied(&key));
        e.expect(&key, 2, HashSet::new());
        e.created(&key);
        assert!(!e.satisfied(&key));
        e.created(&key);
        assert!(e.satisfied(&key));

        e.expect(&key, 0, ["a".to_owned(), "b".to_owned()].into());
        e.deleted(&key, "a");
        e.deleted(&key, "a");
        e.deleted(&key, "someone else");
        assert!(!e.satisfied(&key), "the same pod seen twice counts once");
        e.deleted(&key, "b");
        assert!(e.satisfied(&key));
    }

    #[tokio::test(start_paused = true)]
    async fn expectations_expire_and_can_be_forgotten() {
        let (e, key) = (Expectations::default(), Key::new("n", "rc"));
        e.expect(&key, 1, HashSet::new());
        tokio::time::advance(EXPIRY).await;
        assert!(!e.satisfied(&key));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(e.satisfied(&key));
        e.expect(&key, 1, HashSet::new());
        e.forget(&key);
        assert!(e.satisfied(&key));
    }
}
