//! Routes to addresses that are behind other hosts of the same network segment: the pods of other nodes.
//!
//! Routes of ours bear a protocol number of their own (`ip route show proto 119`) and, as their
//! metric, who made them. So the kernel remembers what was made, also for the process after one that
//! was killed, and no route of anybody else is ever touched.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Netlink, fnv1a};
use crate::runtime::NetworkError;

/// A route of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Where it leads.
    pub to: Ipv4Net,
    /// The host that passes packets on; on a network that this host is connected to.
    pub via: Ipv4Addr,
}

/// The routes that `owner` has made, in the network namespace of the calling thread. An owner is any text
/// that others do not use, such as the name of a bridge.
///
/// # Errors
/// What the kernel refused.
pub fn routes(owner: &str) -> Result<Vec<Route>, NetworkError> {
    Netlink::open()?.routes(metric(owner))
}

/// Makes a route; one that is there is fine.
///
/// # Errors
/// What the kernel refused, such as a host that no network leads to.
pub fn add_route(owner: &str, route: Route) -> Result<(), NetworkError> {
    Netlink::open()?.add_route(route, metric(owner))
}

/// Removes a route of `owner`; one that is gone is fine.
///
/// # Errors
/// What the kernel refused.
pub fn remove_route(owner: &str, route: Route) -> Result<(), NetworkError> {
    Netlink::open()?.remove_route(route, metric(owner))
}

/// Never zero: that would be no metric.
fn metric(owner: &str) -> u32 {
    u32::try_from(fnv1a(owner) & 0x7fff_ffff).unwrap_or(0) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_told_apart() {
        assert_eq!(metric("wharf0"), metric("wharf0"));
        assert_ne!(metric("wharf0"), metric("wharf1"));
        assert!((1..=0x7fff_ffff).contains(&metric("")));
    }
}
