//! How soon a pod that has failed on a node is replaced: after one second, and twice as long each
//! time it fails again, up to a quarter of an hour. A node that refuses a pod would otherwise be
//! asked all the time.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::informer::Key;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(900);

/// The last replacement of a failed pod on a node, and how long the next has to wait after it.
#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Instant,
    length: Duration,
}

/// Waits by DaemonSet and node.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    waits: Mutex<HashMap<(Key, String), Wait>>,
}

impl Backoff {
    /// Asks to replace a failed pod. `Ok`: now, and the next one has to wait longer. `Err`: not for
    /// this long.
    pub(super) fn ask(&self, set: &Key, node: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut waits = self.waits.lock();
        let key = (set.clone(), node.to_owned());
        let length = match waits.get(&key) {
            Some(wait) => {
                let passed = now.duration_since(wait.since);
                if passed < wait.length {
                    return Err(wait.length.saturating_sub(passed));
                }
                // A pod that has run for long was not refused: its failure is a new story.
                if passed > LONGEST * 2 { FIRST } else { (wait.length * 2).min(LONGEST) }
            }
            None => FIRST,
        };
        waits.insert(key, Wait { since: now, length });
        Ok(())
    }

    /// The DaemonSet is gone.
    pub(super) fn forget(&self, set: &Key) {
        self.waits.lock().retain(|(of, _), _| of != set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_per_node_and_start_anew_after_long_peace() {
        let (backoff, key) = (Backoff::default(), Key::new("n", "ds"));
        assert_eq!(backoff.ask(&key, "n1"), Ok(()));
        assert_eq!(backoff.ask(&key, "n1"), Err(FIRST));
        assert_eq!(backoff.ask(&key, "n2"), Ok(()), "another node");
        for length in [FIRST, FIRST * 2, FIRST * 4] {
            tokio::time::advance(length).await;
            assert_eq!(backoff.ask(&key, "n1"), Ok(()));
        }
        assert_eq!(backoff.ask(&key, "n1"), Err(FIRST * 8));
        tokio::time::advance(LONGEST * 3).await;
        assert_eq!(backoff.ask(&key, "n1"), Ok(()));
        assert_eq!(backoff.ask(&key, "n1"), Err(FIRST));
        backoff.forget(&key);
        assert_eq!(backoff.ask(&key, "n1"), Ok(()));
    }
}
