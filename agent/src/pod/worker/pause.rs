//! How long a pod waits after a step of it has failed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::pod::apply::PodStep;

/// Pause after the first failure; doubled with each that follows.
const FIRST: Duration = Duration::from_millis(500);
/// Longest pause after failures.
const LONGEST: Duration = Duration::from_secs(122);
/// Longest pause of a pod that waits for what others are making.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The pauses between attempts, which grow.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
}

impl Pauses {
    /// Nothing has failed yet, or what failed does not count any more.
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// When the step that failed is tried again; `None`: at once. `waits`: it is the cluster's turn.
    /// A pod that is `ending` does not wait because of what was to be made for it.
    pub(super) fn after(
        &mut self,
        step: PodStep,
        waits: bool,
        ending: bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if ending && matches!(step, PodStep::Create | PodStep::Replace | PodStep::Resize) {
            *self = Self::new();
            return None;
        }
        let longest = if waits { LONGEST_WAIT } else { LONGEST };
        let pause = self.next.min(longest);
        self.next = (self.next * 2).min(longest);
        now.checked_add(SignedDuration::try_from(pause).unwrap_or(SignedDuration::ZERO)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(attempts: &[(PodStep, bool, bool)]) -> Vec<Option<i64>> {
        let (mut pauses, now) = (Pauses::new(), Timestamp::UNIX_EPOCH);
        let mut after = |(step, waits, ending)| pauses.after(step, waits, ending, now);
        attempts.iter().map(|attempt| after(*attempt).map(Timestamp::as_millisecond)).collect()
    }

    #[test]
    fn pauses_grow_and_are_not_for_pods_that_end() {
        let create = (PodStep::Create, false, false);
        let all = pauses(&[create; 10]);
        let grown = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 122_000, 122_000];
        assert_eq!(all, grown.map(Some));
        let waits = pauses(&[(PodStep::Create, true, false); 6]);
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 5_000, 5_000].map(Some));
        for step in [PodStep::Create, PodStep::Replace, PodStep::Resize] {
            let ending = [create, create, (step, false, true), (PodStep::CleanUp, false, true)];
            assert_eq!(pauses(&ending), [Some(500), Some(1_000), None, Some(500)], "{step:?}");
        }
    }
}
