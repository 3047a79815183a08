//! Exponential back-off as the kubelet counts it: the first retry is immediate, the second waits 10 s
//! after the failure, each further one twice as long up to 5 min; 10 min without a retry forgets it all.
//!
//! Source: `client-go/util/flowcontrol.Backoff` as used by `kuberuntime.doBackOff` and the image puller.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Delay after the first retry.
pub(crate) const INITIAL: Duration = Duration::from_secs(10);
/// Longest delay.
pub(crate) const MAXIMUM: Duration = Duration::from_secs(300);
/// An entry not touched for this long is forgotten (twice the maximum).
const FORGET: SignedDuration = SignedDuration::from_secs(600);

/// The back-off of one key (a container's crashes, an image's pull failures).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    entry: Option<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    delay: Duration,
    updated: Timestamp,
}

impl Backoff {
    /// When something that failed at `failed_at` may be tried again; `None` means at once.
    pub(crate) fn retry_at(&self, failed_at: Timestamp) -> Option<Timestamp> {
        let entry = self.live(failed_at)?;
        let delay = SignedDuration::try_from(entry.delay).ok()?;
        failed_at.checked_add(delay).ok()
    }

    /// The delay in force for a failure at `failed_at`.
    pub(crate) fn delay(&self, failed_at: Timestamp) -> Duration {
        self.live(failed_at).map_or(Duration::ZERO, |entry| entry.delay)
    }

    /// Records that it is being tried again now, after a failure at `failed_at`.
    pub(crate) fn retried(&mut self, failed_at: Timestamp, now: Timestamp) {
        let delay = match self.live(failed_at) {
            Some(entry) => (entry.delay * 2).min(MAXIMUM),
            None => INITIAL,
        };
        self.entry = Some(Entry { delay, updated: now });
    }

    fn live(&self, failed_at: Timestamp) -> Option<Entry> {
        self.entry.filter(|entry| failed_at.duration_since(entry.updated) <= FORGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn doubles_from_ten_seconds_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut failed = at(0);
        assert_eq!(backoff.retry_at(failed), None, "the first retry is immediate");
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            backoff.retried(failed, failed);
            failed += SignedDuration::from_secs(1);
            assert_eq!(backoff.delay(failed).as_secs(), expected);
            assert_eq!(
                backoff.retry_at(failed),
                Some(failed + SignedDuration::from_secs(expected as i64))
            );
            failed += SignedDuration::from_secs(expected as i64);
        }
    }

    #[test]
    fn ten_minutes_of_running_forget() {
        let mut backoff = Backoff::default();
        backoff.retried(at(0), at(0));
        backoff.retried(at(1), at(11));
        assert_eq!(backoff.delay(at(611)).as_secs(), 20, "exactly ten minutes still count");
        assert_eq!(backoff.retry_at(at(612)), None);
        backoff.retried(at(612), at(612));
        assert_eq!(backoff.delay(at(613)).as_secs(), 10, "and counting starts anew");
    }
}
