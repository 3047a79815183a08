//! Pod addresses: taken from the node's podCIDR, remembered by the sandboxes themselves.
//!
//! There is no lease file: an adopted sandbox knows its address, so after a restart the pool is what the
//! runtime's records say. Freed addresses come back last, so that nobody who still holds an old address
//! of a pod soon meets another pod there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use parking_lot::Mutex;
use runtime::spec::{BridgeSpec, Network, SandboxStatus};

use crate::config::PodNetwork;

/// No address is left in the node's podCIDR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no IP addresses available in range set: {cidr}")]
pub(crate) struct Exhausted {
    cidr: Ipv4Net,
}

/// The node's pool of pod addresses.
#[derive(Debug)]
pub(crate) struct Addresses {
    network: PodNetwork,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    /// Sandbox id by address.
    taken: BTreeMap<Ipv4Addr, String>,
    /// The address handed out last.
    last: Option<Ipv4Addr>,
}

impl Addresses {
    pub(crate) fn new(network: PodNetwork) -> Self {
        Self { network, pool: Mutex::default() }
    }

    /// Notes the addresses of sandboxes found on disk.
    pub(crate) fn adopt(&self, sandboxes: &[SandboxStatus]) {
        let mut pool = self.pool.lock();
        for sandbox in sandboxes {
            if let Some(IpAddr::V4(address)) = address_of(&sandbox.spec.network) {
                pool.taken.insert(address, sandbox.spec.id.clone());
            }
        }
    }

    /// The sandbox's address: the one it has, or the next free one.
    pub(crate) fn take(&self, sandbox: &str) -> Result<IpAddr, Exhausted> {
        let cidr = self.network.cidr();
        let mut pool = self.pool.lock();
        if let Some((address, _)) = pool.taken.iter().find(|(_, owner)| *owner == sandbox) {
            return Ok(IpAddr::V4(*address));
        }
        // The first address names the network, the next is the bridge's, the last is the broadcast's.
        let (first, last) = (
            u32::from(cidr.network()).saturating_add(2),
            u32::from(cidr.broadcast()).saturating_sub(1),
        );
        let after = pool
            .last
            .map_or(first, |last| u32::from(last).saturating_add(1))
            .clamp(first, last.max(first));
        let free = (after..=last)
            .chain(first..after)
            .map(Ipv4Addr::from)
            .find(|address| !pool.taken.contains_key(address));
        let address = free.ok_or(Exhausted { cidr })?;
        pool.taken.insert(address, sandbox.to_owned());
        pool.last = Some(address);
        Ok(IpAddr::V4(address))
    }

    /// Gives the sandbox's address back.
    pub(crate) fn release(&self, sandbox: &str) {
        self.pool.lock().taken.retain(|_, owner| owner != sandbox);
    }

    /// The runtime's network for a pod with this address.
    pub(crate) fn network(&self, address: IpAddr) -> Network {
        match &self.network {
            PodNetwork::Loopback { .. } => Network::Loopback { address },
            PodNetwork::Bridge { name, cidr } => Network::Pod {
                address: IpNet::new(address, cidr.prefix_len())
                    .unwrap_or_else(|_| IpNet::from(address)),
                gateway: IpAddr::V4(gateway(*cidr)),
                bridge: name.clone(),
            },
        }
    }

    /// The bridge this network needs, if any.
    pub(crate) fn bridge(&self) -> Option<BridgeSpec> {
        match &self.network {
            PodNetwork::Loopback { .. } => None,
            PodNetwork::Bridge { name, cidr } => {
                let address = Ipv4Net::new(gateway(*cidr), cidr.prefix_len()).ok()?;
                Some(BridgeSpec { name: name.clone(), address: IpNet::V4(address) })
            }
        }
    }
}

fn gateway(cidr: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(cidr.network()).saturating_add(1))
}

/// The pod address of a sandbox's network; `None` in the host's.
pub(crate) fn address_of(network: &Network) -> Option<IpAddr> {
    match network {
        Network::Pod { address, .. } => Some(address.addr()),
        Network::Loopback { address } => Some(*address),
        Network::Host => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(cidr: &str) -> Addresses {
        Addresses::new(PodNetwork::Bridge { name: "wharf0".into(), cidr: cidr.parse().unwrap() })
    }

    #[test]
    fn hands_out_in_a_circle() {
        let pool = bridge("10.244.7.0/29");
        let take = |id: &str| pool.take(id).map(|address| address.to_string());
        let all: Vec<String> =
            ["a", "b", "c", "d", "e"].iter().map(|id| take(id).unwrap()).collect();
        assert_eq!(all, ["10.244.7.2", "10.244.7.3", "10.244.7.4", "10.244.7.5", "10.244.7.6"]);
        assert_eq!(take("b").unwrap(), "10.244.7.3", "the same pod keeps its address");
        assert_eq!(
            take("f").unwrap_err().to_string(),
            "no IP addresses available in range set: 10.244.7.0/29"
        );
        pool.release("b");
        pool.release("d");
        assert_eq!(take("g").unwrap(), "10.244.7.3");
        pool.release("g");
        assert_eq!(take("h").unwrap(), "10.244.7.5", "a freed address comes back last");
    }

    #[test]
    fn networks() {
        let pool = bridge("10.244.7.0/24");
        let Network::Pod { address, gateway, bridge } = pool.network("10.244.7.9".parse().unwrap())
        else {
            panic!()
        };
        assert_eq!(
            (address.to_string(), gateway.to_string(), bridge),
            ("10.244.7.9/24".into(), "10.244.7.1".into(), "wharf0".into())
        );
        assert_eq!(pool.bridge().unwrap().address.to_string(), "10.244.7.1/24");
        let loopback =
            Addresses::new(PodNetwork::Loopback { cidr: "127.64.0.0/16".parse().unwrap() });
        assert_eq!(loopback.take("a").unwrap().to_string(), "127.64.0.2");
        assert!(loopback.bridge().is_none());
    }
}
