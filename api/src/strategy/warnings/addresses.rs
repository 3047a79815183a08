//! Addresses and networks written in another way than the usual one.
//!
//! Some programs read `010.0.0.1` as an octal number and others do not, and `::ffff:1.2.3.4` means an
//! IPv4 address to some and not to others: such forms are on their way out. Other forms of IPv6 are
//! harmless, but differ from what is written back. Source: k8s.io/apimachinery/pkg/util/validation
//! (ip.go).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::field::{Path, go_quote};

/// About an address. What is none at all is no business of a warning.
pub(in crate::strategy) fn of_address(text: &str, path: &Path) -> Option<String> {
    let usual = plain(sloppy(text)?);
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv4() => None,
        Ok(ip) if usual == ip && ip.to_string() == text => None,
        Ok(ip) if usual == ip => Some(format!(
            "{path}: IPv6 address {} should be in RFC 5952 canonical format ({})",
            go_quote(text),
            go_quote(&ip.to_string())
        )),
        _ => Some(format!(
            "{path}: non-standard IP address {} will be considered invalid in a future Kubernetes \
             release: use {}",
            go_quote(text),
            go_quote(&usual.to_string())
        )),
    }
}

/// About a network, an address with a length.
pub(in crate::strategy) fn of_network(text: &str, path: &Path) -> Vec<String> {
    let mut told = Vec::new();
    let Some((address, length)) = text.split_once('/') else { return told };
    let Some(ip) = sloppy(address) else { return told };
    let Ok(network) = length.parse().map_err(drop).and_then(|n| IpNet::new(ip, n).map_err(drop))
    else {
        return told;
    };
    let usual = plain_network(network.trunc());
    if network.trunc().addr() != ip {
        let alone = format!("{}/{}", plain(ip), network.max_prefix_len());
        told.push(format!(
            "{path}: CIDR value {} is ambiguous in this context (should be {} or {}?)",
            go_quote(text),
            go_quote(&usual.to_string()),
            go_quote(&alone)
        ));
    }
    let padded = length.len() > 1 && length.starts_with('0');
    let strict = address.parse::<IpAddr>().is_ok() && !padded && plain(ip) == ip;
    if !strict {
        told.push(format!(
            "{path}: non-standard CIDR value {} will be considered invalid in a future Kubernetes \
             release: use {}",
            go_quote(text),
            go_quote(&usual.to_string())
        ));
    }
    // Whoever mends one of these mends this, too.
    if told.is_empty() && ip.is_ipv6() && network.to_string() != text {
        told.push(format!(
            "{path}: IPv6 CIDR value {} should be in RFC 5952 canonical format ({})",
            go_quote(text),
            go_quote(&network.to_string())
        ));
    }
    told
}

/// An address, in which the numbers of IPv4 may begin with zeros.
fn sloppy(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let start = text.rfind(':').map_or(0, |colon| colon + 1);
    let (head, tail) = text.split_at(start);
    let numbers: Vec<&str> = tail
        .split('.')
        .map(|number| match number.trim_start_matches('0') {
            "" if !number.is_empty() => "0",
            rest => rest,
        })
        .collect();
    format!("{head}{}", numbers.join(".")).parse().ok()
}

/// The IPv4 address that an IPv6 address stands for, or the address itself.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// [`plain`] for a network.
fn plain_network(network: IpNet) -> IpNet {
    let of_v4 = network.prefix_len().checked_sub(96);
    match (plain(network.addr()), of_v4) {
        (ip @ IpAddr::V4(_), Some(length)) if network.addr().is_ipv6() => {
            IpNet::new(ip, length).unwrap_or(network)
        }
        _ => network,
    }
}
