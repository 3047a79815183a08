//! The time of day.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Where the time comes from that is written into objects and compared with what is written there.
///
/// How long something takes is no matter of this clock: that is measured with tokio's `Instant`.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// From the host. The default.
    #[default]
    Host,
    /// From tokio's timers, beginning with a moment: where they run in simulated time, so does the
    /// time of day.
    Timers {
        /// The time of day when the clock was made.
        beginning: Timestamp,
        /// When the clock was made.
        made: Instant,
    },
}

impl Clock {
    /// A clock that shows `beginning` now, and goes with tokio's timers.
    #[must_use]
    pub fn timers(beginning: Timestamp) -> Self {
        Self::Timers { beginning, made: Instant::now() }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Host => Timestamp::now(),
            Self::Timers { beginning, made } => {
                let passed =
                    SignedDuration::try_from(made.elapsed()).unwrap_or(SignedDuration::MAX);
                beginning.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn timers_move_the_clock() {
        let clock = Clock::timers("2026-01-01T00:00:00Z".parse().unwrap());
        tokio::time::advance(Duration::from_millis(90_500)).await;
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30.5Z");
    }

    #[test]
    fn the_host_has_a_clock_of_its_own() {
        let before = Timestamp::now();
        assert!(Clock::default().now() >= before);
    }
}
