//! Which range a node gets. Pure.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::NodeRanges;

/// What is given, and what is next.
#[derive(Debug)]
pub(super) struct Ranges {
    from: NodeRanges,
    /// By node; also ranges from elsewhere, which nodes have brought along.
    given: BTreeMap<String, Ipv4Net>,
    /// Where the search goes on: a range that was freed is given again as late as possible, because
    /// others may still have routes to it.
    next: u32,
}

impl Ranges {
    pub(super) fn new(from: NodeRanges) -> Self {
        Self { from, given: BTreeMap::new(), next: 0 }
    }

    /// The node has this range.
    pub(super) fn keep(&mut self, node: &str, range: Ipv4Net) {
        self.given.insert(node.to_owned(), range);
    }

    /// The node is gone.
    pub(super) fn forget(&mut self, node: &str) {
        self.given.remove(node);
    }

    /// A range for the node: the one it was given, or the next free one. None: all are taken.
    pub(super) fn give(&mut self, node: &str) -> Option<Ipv4Net> {
        if let Some(range) = self.given.get(node) {
            return Some(*range);
        }
        let count = self.count();
        for step in 0..count {
            let number = (self.next + step) % count;
            let range = self.range(number)?;
            let taken = |other: &Ipv4Net| other.contains(&range) || range.contains(other);
            if !self.given.values().any(taken) {
                self.next = (number + 1) % count;
                self.given.insert(node.to_owned(), range);
                return Some(range);
            }
        }
        None
    }

    fn count(&self) -> u32 {
        let bits = self.from.node_prefix.saturating_sub(self.from.cluster.prefix_len());
        1_u32.checked_shl(bits.into()).unwrap_or(u32::MAX)
    }

    fn range(&self, number: u32) -> Option<Ipv4Net> {
        let size = 1_u32.checked_shl(32 - u32::from(self.from.node_prefix))?;
        let first =
            u32::from(self.from.cluster.network()).checked_add(number.checked_mul(size)?)?;
        Ipv4Net::new(first.into(), self.from.node_prefix).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(cluster: &str, node_prefix: u8) -> Ranges {
        Ranges::new(NodeRanges { cluster: cluster.parse().unwrap(), node_prefix })
    }

    fn give(ranges: &mut Ranges, node: &str) -> String {
        ranges.give(node).map_or_else(|| "none".to_owned(), |range| range.to_string())
    }

    #[test]
    fn every_node_has_a_range_of_its_own() {
        let mut ranges = ranges("10.42.0.0/22", 24);
        assert_eq!(give(&mut ranges, "a"), "10.42.0.0/24");
        assert_eq!(give(&mut ranges, "b"), "10.42.1.0/24");
        assert_eq!(give(&mut ranges, "a"), "10.42.0.0/24", "given once");
        ranges.keep("old", "10.42.2.0/24".parse().unwrap());
        assert_eq!(give(&mut ranges, "c"), "10.42.3.0/24");
        assert_eq!(give(&mut ranges, "d"), "none");
        ranges.forget("b");
        assert_eq!(give(&mut ranges, "d"), "10.42.1.0/24");
    }

    #[test]
    fn freed_ranges_come_back_last() {
        let mut ranges = ranges("10.42.0.0/22", 24);
        assert_eq!(give(&mut ranges, "a"), "10.42.0.0/24");
        ranges.forget("a");
        assert_eq!(give(&mut ranges, "b"), "10.42.1.0/24");
        assert_eq!(give(&mut ranges, "c"), "10.42.2.0/24");
        assert_eq!(give(&mut ranges, "d"), "10.42.3.0/24");
        assert_eq!(give(&mut ranges, "e"), "10.42.0.0/24");
    }

    #[test]
    fn no_two_ranges_overlap_whatever_nodes_bring_along() {
        let mut ranges = ranges("10.42.0.0/22", 24);
        ranges.keep("wide", "10.42.0.0/23".parse().unwrap());
        ranges.keep("small", "10.42.2.64/26".parse().unwrap());
        ranges.keep("elsewhere", "192.0.2.0/24".parse().unwrap());
        assert_eq!(give(&mut ranges, "a"), "10.42.3.0/24");
        assert_eq!(give(&mut ranges, "b"), "none");
    }

    #[test]
    fn a_cluster_may_have_room_for_one() {
        let mut ranges = ranges("10.244.3.0/24", 24);
        assert_eq!(give(&mut ranges, "a"), "10.244.3.0/24");
        assert_eq!(give(&mut ranges, "b"), "none");
    }
}
