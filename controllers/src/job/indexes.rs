//! Sets of completion indexes, written as `1,3-5,7` in a Job's status.
//!
//! A Job has up to 100,000 indexes at once, most of them in a row: intervals keep them small.

use std::collections::BTreeSet;
use std::fmt;

/// Indexes as intervals with both ends, in order, with a gap between any two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    intervals: Vec<(i32, i32)>,
}

impl Indexes {
    /// Reads a status' list. What is no index below `completions` is left out: a Job that was made
    /// smaller forgets the rest.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let intervals = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
            (first < completions).then(|| (first, last.min(completions - 1)))
        });
        Self::of(intervals.collect())
    }

    fn of(mut intervals: Vec<(i32, i32)>) -> Self {
        intervals.sort_unstable();
        let mut joined: Vec<(i32, i32)> = Vec::new();
        for (first, last) in intervals {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Self { intervals: joined }
    }

    /// All of these as well.
    pub(super) fn with(&self, indexes: &BTreeSet<i32>) -> Self {
        let single = indexes.iter().map(|index| (*index, *index));
        Self::of(self.intervals.iter().copied().chain(single).collect())
    }

    /// What is in one or the other.
    pub(super) fn union(&self, other: &Self) -> Self {
        Self::of(self.intervals.iter().chain(&other.intervals).copied().collect())
    }

    /// How many indexes of `self` are in `other`.
    pub(super) fn shared_with(&self, other: &Self) -> i32 {
        // |a| + |b| - |a or b|
        self.total() + other.total() - self.union(other).total()
    }

    /// How many there are.
    pub(super) fn total(&self) -> i32 {
        self.intervals.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether the index is one of them.
    pub(super) fn contains(&self, index: i32) -> bool {
        let after = self.intervals.partition_point(|(_, last)| *last < index);
        self.intervals.get(after).is_some_and(|(first, _)| *first <= index)
    }

    /// The first `count` indexes below `completions` that are not among these.
    pub(super) fn missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::new();
        let mut next = 0;
        let end = [(completions, completions)];
        for (first, last) in self.intervals.iter().chain(&end) {
            missing.extend((next..*first.min(&completions)).take(count - missing.len()));
            next = next.max(last.saturating_add(1));
        }
        missing
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.intervals.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for (text, completions, written, total) in [
            ("", 5, "", 0),
            ("1,3-5,7", 10, "1,3-5,7", 5),
            ("1,2", 10, "1,2", 2),
            ("1-2,3", 10, "1-3", 3),
            ("1,3-5,7", 4, "1,3", 2),
            ("x,2,4-y", 10, "2", 1),
        ] {
            let indexes = Indexes::parse(text, completions);
            assert_eq!(indexes.to_string(), written, "{text}");
            assert_eq!(indexes.total(), total, "{text}");
        }
    }

    #[test]
    fn sets_are_joined_and_asked() {
        let some = Indexes::parse("1,4-6", 10);
        assert_eq!(some.with(&[0, 3, 5, 9].into()).to_string(), "0,1,3-6,9");
        assert_eq!(some.union(&Indexes::parse("2-3,8", 10)).to_string(), "1-6,8");
        assert_eq!(some.shared_with(&Indexes::parse("0-4,6", 10)), 3);
        let inside: Vec<i32> = (0..10).filter(|n| some.contains(*n)).collect();
        assert_eq!(inside, [1, 4, 5, 6]);
        for (count, completions, wanted) in [
            (3, 10, vec![0, 2, 3]),
            (9, 8, vec![0, 2, 3, 7]),
            (5, 5, vec![0, 2, 3]),
            (0, 5, vec![]),
        ] {
            assert_eq!(some.missing(count, completions), wanted, "{count} of {completions}");
        }
    }
}
