//! Which addresses of the nodes' pod networks are taken.

use std::net::Ipv4Addr;

use super::node::HollowNode;

/// One bit per address, four words per node.
#[derive(Debug)]
pub(super) struct Addresses(Vec<[u64; 4]>);

/// The first and the last address of a network are nobody's.
const RESERVED: [u64; 4] = [1, 0, 0, 1 << 63];

impl Addresses {
    /// None is taken.
    pub(super) fn new(nodes: u32) -> Self {
        Self(vec![RESERVED; nodes as usize])
    }

    /// Takes the lowest free address of a node; None when all are taken.
    pub(super) fn take(&mut self, node: HollowNode) -> Option<Ipv4Addr> {
        let words = self.0.get_mut(node.index())?;
        let (at, word) = words.iter_mut().enumerate().find(|(_, word)| **word != u64::MAX)?;
        let bit = word.trailing_ones();
        *word |= 1 << bit;
        let last = u32::try_from(at).unwrap_or(0) * 64 + bit;
        Some(Ipv4Addr::from_bits(u32::from(node.pod_network()) + last))
    }

    /// Takes this address of a node, which may be any text.
    pub(super) fn mark(&mut self, node: HollowNode, address: &str) {
        if let Some((word, bit)) = self.bit(node, address) {
            *word |= bit;
        }
    }

    /// Frees an address of a node; one that is not of its network is ignored.
    pub(super) fn free(&mut self, node: HollowNode, address: &str) {
        if let Some((word, bit)) = self.bit(node, address) {
            *word &= !bit;
        }
    }

    fn bit(&mut self, node: HollowNode, address: &str) -> Option<(&mut u64, u64)> {
        let address: Ipv4Addr = address.parse().ok()?;
        let last = address.to_bits().checked_sub(node.pod_network().to_bits())?;
        (1..255).contains(&last).then_some(())?;
        let word = self.0.get_mut(node.index())?.get_mut(last as usize / 64)?;
        Some((word, 1 << (last % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_given_once_and_again_when_it_is_free() {
        let (mut addresses, node) = (Addresses::new(2), HollowNode(1));
        addresses.mark(node, "10.128.1.2");
        for foreign in ["10.128.0.1", "172.16.0.1", "", "10.128.1.255"] {
            addresses.free(node, foreign);
        }
        let given: Vec<String> =
            std::iter::from_fn(|| addresses.take(node)).map(|it| it.to_string()).collect();
        assert_eq!(given.len(), 253, "without the first, the last and the one marked");
        assert_eq!((given[0].as_str(), given[1].as_str()), ("10.128.1.1", "10.128.1.3"));
        assert_eq!(given[252], "10.128.1.254");
        addresses.free(node, "10.128.1.77");
        assert_eq!(addresses.take(node), Some(Ipv4Addr::new(10, 128, 1, 77)));
        assert_eq!(addresses.take(HollowNode(0)), Some(Ipv4Addr::new(10, 128, 0, 1)));
    }
}
