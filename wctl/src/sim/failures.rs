//! When hollow nodes fall silent: a pure function of a seed, so that a run can be repeated.
//!
//! In every minute of the run each node fails with the same probability, at a moment of that minute,
//! and is silent for two to six times the grace period: long enough to count as gone.

use std::time::Duration;

const MINUTE: u64 = 60;
/// The longest silence, in grace periods.
const LONGEST: u32 = 6;

/// The failures of all nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures {
    /// Chance that a node fails in a minute, 0 to 1.
    pub(super) chance: f64,
    /// What the moments depend on.
    pub(super) seed: u64,
    /// How long a node may be silent before it counts as gone.
    pub(super) grace: Duration,
}

impl Failures {
    /// Until when `node` is silent at `at`; both since the beginning of the run. None: it is not.
    pub(super) fn silent_until(&self, node: u32, at: Duration) -> Option<Duration> {
        if self.chance <= 0.0 {
            return None;
        }
        let now = at.as_secs() / MINUTE;
        let reach = (self.grace * LONGEST).as_secs() / MINUTE + 1;
        let begun = now.saturating_sub(reach)..=now;
        let silences = begun.filter_map(|minute| self.silence(node, minute));
        let current = silences.filter(|(from, until)| *from <= at && at < *until);
        current.map(|(_, until)| until).max()
    }

    /// From when until when a failure of this minute of the run keeps `node` silent.
    fn silence(&self, node: u32, minute: u64) -> Option<(Duration, Duration)> {
        let seed = Random(self.seed).bits();
        let mut random = Random(seed ^ (u64::from(node) << 32) ^ minute);
        if random.share() >= self.chance {
            return None;
        }
        let from = Duration::from_secs(minute * MINUTE)
            + Duration::from_secs(MINUTE).mul_f64(random.share());
        Some((from, from + self.grace.mul_f64(2.0 + f64::from(LONGEST - 2) * random.share())))
    }
}

/// SplitMix64: every seed, however similar to others, gives numbers of its own.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to 1, 1 excluded.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what a f64 holds exactly")]
    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(chance: f64, seed: u64) -> Failures {
        Failures { chance, seed, grace: Duration::from_secs(40) }
    }

    /// The seconds of the first hour in which a node is silent.
    fn silent(failures: &Failures, node: u32) -> Vec<u64> {
        let is = |at: &u64| failures.silent_until(node, Duration::from_secs(*at)).is_some();
        (0..3600).filter(is).collect()
    }

    #[test]
    fn without_a_chance_nobody_fails() {
        assert!((0..100).all(|node| silent(&failures(0.0, 1), node).is_empty()));
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let all =
            |seed| (0..20).map(|node| silent(&failures(0.05, seed), node)).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }

    #[test]
    fn about_as_many_fail_as_wanted_and_each_is_noticed() {
        let failures = failures(0.02, 7);
        let mut begun = 0;
        for node in 0..500 {
            let silences: Vec<_> =
                (0..60).filter_map(|minute| failures.silence(node, minute)).collect();
            begun += silences.len();
            for (from, until) in silences {
                let long = until - from;
                assert!((failures.grace * 2..=failures.grace * LONGEST).contains(&long));
                assert!(failures.silent_until(node, from) >= Some(until), "node {node}");
                let before_end = until - Duration::from_millis(1);
                assert!(failures.silent_until(node, before_end).is_some(), "node {node}");
            }
        }
        // 500 nodes, 60 minutes, 2 of 100.
        assert!((500..700).contains(&begun), "{begun}");
    }
}
