//! The pod network: a bridge on the host, a veth pair per sandbox.
//!
//! All of it is a handful of netlink requests over blocking sockets ([`netlink`]): each is answered by
//! the kernel within microseconds, and the shim, which has no async runtime, makes most of them. A
//! netlink socket stays in the network namespace that it was opened in; so the shim opens one on the
//! host's side, unshares, opens one on its own side, and needs no thread in two namespaces.
//!
//! Interfaces that Wharf makes begin with `wh`; no other is ever touched. A sandbox's interface
//! disappears with its network namespace; [`remove_veth`] only makes that moment certain.

mod netlink;
mod routes;

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;

use ipnet::IpNet;

use crate::runtime::NetworkError;
use crate::spec::BridgeSpec;

pub(crate) use netlink::Netlink;
pub use routes::{Route, add_route, remove_route, routes};

/// The name of a pod's interface inside its sandbox.
pub const POD_INTERFACE: &str = "eth0";

/// An interface name's length in the kernel (IFNAMSIZ less the final zero).
const MAX_NAME: usize = 15;

/// The host's end of a sandbox's veth pair: the same id always gives the same name.
pub fn veth_name(sandbox: &str) -> String {
    format!("wh{:012x}", fnv1a(sandbox) & 0xffff_ffff_ffff)
}

/// FNV-1a: stable across versions, unlike the standard library's hasher.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A fixed hardware address for a bridge. Without one a bridge takes the lowest address of its ports and
/// changes it as pods come and go, and the pods' ARP caches would point nowhere.
fn hardware_address(name: &str) -> Vec<u8> {
    let hash = fnv1a(name).to_be_bytes();
    vec![0x02, 0x77, hash[4], hash[5], hash[6], hash[7]]
}

fn check_name(name: &str) -> Result<(), NetworkError> {
    let fine = name.starts_with("wh")
        && name.len() <= MAX_NAME
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fine { Ok(()) } else { Err(NetworkError::Name { name: name.to_owned() }) }
}

/// Makes sure of the bridge, in the network namespace of the calling thread.
pub fn ensure_bridge(bridge: &BridgeSpec) -> Result<(), NetworkError> {
    check_name(&bridge.name)?;
    let netlink = Netlink::open()?;
    let index = match netlink.index(&bridge.name)? {
        Some(index) => index,
        None => {
            netlink.add_bridge(&bridge.name, hardware_address(&bridge.name))?;
            netlink.must_index(&bridge.name)?
        }
    };
    netlink.add_address(index, bridge.address, &bridge.name)?;
    netlink.set_up(index, &bridge.name)?;
    let setting = match bridge.address {
        IpNet::V4(_) => "/proc/sys/net/ipv4/ip_forward",
        IpNet::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
    };
    write_setting(setting, "1")
}

/// Removes a bridge that [`ensure_bridge`] made; one that does not exist is fine.
pub fn remove_bridge(name: &str) -> Result<(), NetworkError> {
    check_name(name)?;
    Netlink::open()?.remove(name)
}

/// Makes sure that a sandbox's interface is gone.
pub fn remove_veth(sandbox: &str) -> Result<(), NetworkError> {
    Netlink::open()?.remove(&veth_name(sandbox))
}

/// Connects the calling process's network namespace to the host's bridge.
///
/// `host` was opened before this process left the host's namespace.
pub(crate) fn attach(
    host: &Netlink,
    sandbox: &str,
    bridge: &str,
    address: IpNet,
    gateway: IpAddr,
) -> Result<(), NetworkError> {
    let name = veth_name(sandbox);
    let bridge_index = host.must_index(bridge)?;
    let mtu = host.mtu(bridge)?;
    let namespace = fs::File::open("/proc/self/ns/net")
        .map_err(|source| NetworkError::Setting { path: "/proc/self/ns/net".to_owned(), source })?;
    // A veth of this name can only be left from a shim of the same sandbox that was killed.
    host.remove(&name)?;
    host.add_veth(&name, bridge_index, POD_INTERFACE, namespace.as_fd(), mtu)?;
    let pod = Netlink::open()?;
    let index = pod.must_index(POD_INTERFACE)?;
    pod.add_address(index, address, POD_INTERFACE)?;
    pod.set_up(index, POD_INTERFACE)?;
    loopback_up_with(&pod)?;
    pod.add_default_route(index, gateway)
}

/// Brings `lo` of the calling thread's network namespace up.
pub fn loopback_up() -> Result<(), NetworkError> {
    loopback_up_with(&Netlink::open()?)
}

fn loopback_up_with(netlink: &Netlink) -> Result<(), NetworkError> {
    netlink.set_up(netlink.must_index("lo")?, "lo")
}

/// Settings of a pod's own network namespace, as containerd and CRI-O have them: binding low ports and
/// ping need no privilege, for whoever is in the namespace is the pod.
pub(crate) fn pod_settings() -> Result<(), NetworkError> {
    write_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    write_setting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")
}

/// Sets what a sandbox asks for, in the calling process's own namespaces. `name` has dots between its
/// parts.
pub(crate) fn sysctl(name: &str, value: &str) -> Result<(), NetworkError> {
    write_setting(&format!("/proc/sys/{}", name.replace('.', "/")), value)
}

fn write_setting(path: &str, value: &str) -> Result<(), NetworkError> {
    // Reading first keeps hosts with a read-only /proc/sys working when nothing has to change.
    if fs::read_to_string(path).is_ok_and(|present| present.trim() == value) {
        return Ok(());
    }
    fs::write(path, value).map_err(|source| NetworkError::Setting { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_short_and_ours() {
        assert_eq!(veth_name("a"), "whdc4c8601ec8c");
        assert!(veth_name(&"x".repeat(128)).len() <= MAX_NAME);
        assert!(check_name("wharf0").is_ok());
        for name in ["eth0", "docker0", "wharf-with-a-long-name", "wh/x", ""] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
