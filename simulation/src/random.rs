//! Numbers that a seed fixes.

use std::time::Duration;

/// A sequence of numbers (SplitMix64). Every user has a sequence of its own, so that one who asks
/// more often does not change what the others get.
///
/// Source: <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The sequence of somebody with this name.
    pub(crate) fn of(&self, name: &str) -> Self {
        // FNV-1a.
        let mut hash = self.0 ^ 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut named = Self(hash);
        named.next();
        named
    }

    /// Sixty-four bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// Whether something happens that happens so often in a thousand times.
    pub(crate) fn happens(&mut self, permille: u64) -> bool {
        // Nothing is drawn for what never happens: the sequence is the same without it.
        permille > 0 && self.below(1000) < permille
    }

    /// A time of at least `from` and less than `to` milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to.saturating_sub(from)))
    }

    /// One of several; there must be one.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len() as u64);
        &of[usize::try_from(at).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_fixes_the_sequence_and_names_have_sequences_of_their_own() {
        let take = |mut random: Random| [random.next(), random.next(), random.next()];
        assert_eq!(take(Random::new(7)), take(Random::new(7)));
        assert_ne!(take(Random::new(7)), take(Random::new(8)));
        let seed = Random::new(7);
        assert_eq!(take(seed.of("a")), take(seed.of("a")));
        assert_ne!(take(seed.of("a")), take(seed.of("b")));
        let mut random = Random::new(1);
        let held = (0..1000).filter(|_| random.happens(250)).count();
        assert!((150..350).contains(&held), "{held} of 1000");
        assert!((0..100).all(|_| random.millis(5, 9).as_millis() < 9));
    }
}
