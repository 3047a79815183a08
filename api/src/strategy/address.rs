//! Addresses and networks in the fields of objects: how they must be written, and which of them may
//! receive traffic.
//!
//! Source: k8s.io/apimachinery/pkg/util/validation (ip.go, with the strict rules that are on since
//! 1.36), ValidateEndpointIP in k8s.io/kubernetes/pkg/apis/core/validation.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::field::{Errors, FieldError, Path};

/// Kubernetes' words for what is no IP address.
pub(super) const NO_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// An address as old versions took it: numbers may have leading zeros.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    let short = |number: &str| match number.trim_start_matches('0') {
        "" if !number.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    text.parse().ok().or_else(|| {
        let numbers: Vec<_> = text.split('.').map(short).collect();
        numbers.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::from)
    })
}

/// Checks an address, which means the same to whoever reads it.
pub(super) fn check(text: &str, path: &Path) -> Option<FieldError> {
    let detail = match text.parse() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            "must not be an IPv4-mapped IPv6 address"
        }
        Ok(_) => return None,
        Err(_) if parse(text).is_some() => "must not have leading 0s",
        Err(_) => NO_IP,
    };
    Some(FieldError::invalid(path, text, detail))
}

/// Checks a network, as `10.96.0.0/16`.
pub(super) fn check_network(text: &str, path: &Path) -> Option<FieldError> {
    let (address, length) = text.split_once('/').unwrap_or_default();
    let digits = !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit());
    let network =
        parse(address).filter(|_| digits).and_then(|ip| IpNet::new(ip, length.parse().ok()?).ok());
    let detail = match (network, address.parse()) {
        (None, _) => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        (Some(_), Err(_)) => "must not have leading 0s in IP or prefix length",
        (Some(_), Ok(_)) if length.len() > 1 && length.starts_with('0') => {
            "must not have leading 0s in IP or prefix length"
        }
        (Some(_), Ok(IpAddr::V6(ip))) if ip.to_ipv4_mapped().is_some() => {
            "must not have an IPv4-mapped IPv6 address"
        }
        (Some(network), Ok(ip)) if network.network() != ip => {
            "must not have bits set beyond the prefix length"
        }
        (Some(_), Ok(_)) => return None,
    };
    Some(FieldError::invalid(path, text, detail))
}

/// Checks that an address may receive traffic from anywhere in the cluster. Those of the loopback
/// interface may not: see [`on_loopback`].
pub(super) fn check_receiver(text: &str, path: &Path) -> Errors {
    let invalid = |detail: &str| FieldError::invalid(path, text, detail);
    let Some(ip) = parse(text).map(|ip| ip.to_canonical()) else {
        return vec![invalid("must be a valid IP address")];
    };
    let (link_local, multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    let mut errors = Errors::new();
    if ip.is_unspecified() {
        errors.push(invalid(&format!("may not be unspecified ({text})")));
    }
    if link_local {
        errors.push(invalid("may not be in the link-local range (169.254.0.0/16, fe80::/10)"));
    }
    if multicast {
        let detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
        errors.push(invalid(detail));
    }
    errors
}

/// That an address is one of the loopback interface, which is another on every node. It is told
/// apart from the others because there are clusters of one node whose pods and Services have nothing
/// else.
pub(super) fn on_loopback(text: &str, path: &Path) -> Option<FieldError> {
    let detail = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
    let ip = parse(text)?.to_canonical();
    ip.is_loopback().then(|| FieldError::invalid(path, text, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(problem: impl IntoIterator<Item = FieldError>) -> Vec<String> {
        problem.into_iter().map(|error| error.to_string()).collect()
    }

    #[test]
    fn addresses_are_written_in_one_way() {
        for (text, want) in [
            ("10.9.8.7", ""),
            ("2001:db8::ffff", ""),
            ("2001:DB8:0::1", ""),
            ("010.9.8.7", "must not have leading 0s"),
            ("10.9.8.0007", "must not have leading 0s"),
            ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
            ("10.9.8", NO_IP),
            ("10.9.8.256", NO_IP),
            ("10.9..8", NO_IP),
            ("fe80::1%eth0", NO_IP),
            ("", NO_IP),
        ] {
            let want = (!want.is_empty()).then(|| format!("a: Invalid value: \"{text}\": {want}"));
            assert_eq!(said(check(text, &Path::new("a"))), Vec::from_iter(want), "{text}");
        }
    }

    #[test]
    fn networks_are_written_in_one_way() {
        let none = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        let zeros = "must not have leading 0s in IP or prefix length";
        for (text, want) in [
            ("10.0.0.0/8", ""),
            ("0.0.0.0/0", ""),
            ("2001:db8::/64", ""),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
            ("010.0.0.0/8", zeros),
            ("10.0.0.0/08", zeros),
            ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
            ("10.0.0.0", none),
            ("10.0.0.0/33", none),
            ("10.0.0.0/+8", none),
            ("10.0.0.0/", none),
            ("x/8", none),
        ] {
            let want = (!want.is_empty()).then(|| format!("a: Invalid value: \"{text}\": {want}"));
            assert_eq!(said(check_network(text, &Path::new("a"))), Vec::from_iter(want), "{text}");
        }
    }

    #[test]
    fn not_every_address_receives_traffic() {
        let link = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
        let multicast = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
        for (text, want) in [
            ("10.9.8.7", ""),
            ("127.0.0.1", ""),
            ("224.0.1.1", ""),
            ("2001:db8::1", ""),
            ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
            ("::", "may not be unspecified (::)"),
            ("169.254.1.2", link),
            ("fe80::1", link),
            ("224.0.0.7", multicast),
            ("ff02::1", multicast),
            ("x", "must be a valid IP address"),
        ] {
            let want = (!want.is_empty()).then(|| format!("a: Invalid value: \"{text}\": {want}"));
            assert_eq!(said(check_receiver(text, &Path::new("a"))), Vec::from_iter(want), "{text}");
        }
        for (text, want) in [("127.1.2.3", true), ("::1", true), ("10.0.0.1", false), ("x", false)]
        {
            assert_eq!(on_loopback(text, &Path::new("a")).is_some(), want, "{text}");
        }
    }
}
