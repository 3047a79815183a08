//! Whether a slot's networks are free on this host: its routes and addresses have a say, too.
//!
//! Pods behind a bridge in 10.244.N.0/24 would hide whatever else the host reaches there: another
//! container engine's network, an office behind a VPN. The kernel lists what it knows in
//! `/proc/net/fib_trie`, every table at once.

use ipnet::Ipv4Net;

/// How well a slot's networks go with what the host has; the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Nothing of the host's is there.
    Free,
    /// They are a small part of this network, which is routed elsewhere: the rest of it stays reachable.
    Within(Ipv4Net),
    /// Only the bridge of this slot is there: of a cluster that was killed, perhaps with its pods.
    Left,
    /// This network or address of the host's is there.
    Taken(Ipv4Net),
}

/// A slot's networks.
#[derive(Debug, Clone)]
pub(super) struct Networks {
    /// Name of the bridge.
    pub(super) bridge: String,
    /// The pods' addresses; the first one is the bridge's.
    pub(super) pods: Ipv4Net,
    /// The Services' addresses.
    pub(super) services: Ipv4Net,
}

/// What the host has.
#[derive(Debug, Default)]
pub(super) struct Host {
    routes: Vec<Route>,
    interfaces: Vec<String>,
}

/// One network that the host reaches, or one that is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    network: Ipv4Net,
    /// Addresses in it are the host's own.
    local: bool,
}

impl Host {
    /// Asks the kernel. Where it does not say, the host counts as empty.
    pub(super) fn read() -> Self {
        let text = |path: &str| {
            std::fs::read_to_string(path).unwrap_or_else(|error| {
                tracing::debug!(path, %error, "the host's networks are not known");
                String::new()
            })
        };
        Self {
            routes: routes(&text("/proc/net/fib_trie")),
            interfaces: interfaces(&text("/proc/net/dev")),
        }
    }

    /// How well the networks fit.
    pub(super) fn fit(&self, slot: &Networks) -> Fit {
        let fits = self.routes.iter().map(|route| self.against(slot, *route));
        fits.max().unwrap_or(Fit::Free)
    }

    fn against(&self, slot: &Networks, route: Route) -> Fit {
        let network = route.network;
        let overlaps = |own: &Ipv4Net| own.contains(&network) || network.contains(own);
        let met = [slot.pods, slot.services].into_iter().find(overlaps);
        // A default route, or one of the two halves that VPNs make of it.
        let Some(own) = met.filter(|_| network.prefix_len() > 1) else { return Fit::Free };
        // The route that a proxy which was killed leaves; the next one takes it over.
        if route.local && network == slot.services {
            return Fit::Free;
        }
        let bridge = slot.pods.hosts().next().map(Ipv4Net::from);
        if self.interfaces.contains(&slot.bridge)
            && (network == slot.pods || Some(network) == bridge)
        {
            return Fit::Left;
        }
        if !route.local && network.prefix_len() < own.prefix_len() {
            return Fit::Within(network);
        }
        Fit::Taken(network)
    }
}

/// The leaves of fib_trie: an address, and below it a line `/<prefix> <scope> <type>` for each route there.
fn routes(text: &str) -> Vec<Route> {
    let mut found = Vec::new();
    let mut address = None;
    for line in text.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf.parse().ok();
            continue;
        }
        let (Some(rest), Some(address)) = (line.strip_prefix('/'), address) else { continue };
        let mut words = rest.split_whitespace();
        let prefix = words.next().and_then(|prefix| prefix.parse().ok());
        let network = prefix.and_then(|prefix| Ipv4Net::new(address, prefix).ok());
        let kind = words.next_back().unwrap_or_default();
        if let Some(network) = network.filter(|_| !matches!(kind, "BROADCAST" | "MULTICAST")) {
            let route = Route { network: network.trunc(), local: kind == "LOCAL" };
            if !found.contains(&route) {
                found.push(route);
            }
        }
    }
    found
}

/// `/proc/net/dev`: two lines of headings, then `name: figures`.
fn interfaces(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Networks {
        Networks {
            bridge: "wharf3".to_owned(),
            pods: "10.244.3.0/24".parse().unwrap(),
            services: "10.99.0.0/16".parse().unwrap(),
        }
    }

    #[test]
    fn the_kernels_lists_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 192.0.2.0/24 2 0 2\n\
                    \x20       |-- 192.0.2.0\n           /24 link UNICAST\n           /25 universe BLACKHOLE\n        |-- 192.0.2.255\n\
                    \x20          /32 link BROADCAST\nLocal:\n  |-- 192.0.2.2\n     /32 host LOCAL\n  |-- 192.0.2.2\n     /32 host LOCAL\n";
        let shown: Vec<_> = routes(trie)
            .iter()
            .map(|route| format!("{}{}", route.network, if route.local { " local" } else { "" }))
            .collect();
        assert_eq!(shown, ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.0/25", "192.0.2.2/32 local"]);
        assert_eq!(routes("no\n/24 such UNICAST\n|-- thing\n/24 link UNICAST\n"), []);
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 2\nwharf3: 0 0\n";
        assert_eq!(interfaces(dev), ["lo", "wharf3"]);
    }

    #[test]
    fn what_the_host_has_is_left_alone() {
        let network = |text: &str| text.parse::<Ipv4Net>().unwrap();
        let taken = |text: &str| Fit::Taken(network(text));
        let within = |text: &str| Fit::Within(network(text));
        // Routes with `=` are the host's own addresses; the bridge is there or not.
        for (host, bridge, want) in [
            ("", false, Fit::Free),
            ("0.0.0.0/0 128.0.0.0/1 0.0.0.0/1 192.0.2.0/24 =192.0.2.2/32", false, Fit::Free),
            ("10.244.2.0/24 10.244.4.0/24 10.98.0.0/16 10.100.0.0/16", false, Fit::Free),
            // Others' networks: the same, a part, an address of the host's.
            ("10.244.3.0/24", false, taken("10.244.3.0/24")),
            ("10.244.3.64/26", false, taken("10.244.3.64/26")),
            ("=10.244.3.9/32", false, taken("10.244.3.9/32")),
            ("10.99.0.0/16", false, taken("10.99.0.0/16")),
            ("=10.99.7.7/32", false, taken("10.99.7.7/32")),
            ("=10.0.0.0/8", false, taken("10.0.0.0/8")),
            // Larger ones give up a part.
            ("10.0.0.0/8", false, within("10.0.0.0/8")),
            ("10.0.0.0/8 10.244.3.64/26", false, taken("10.244.3.64/26")),
            ("10.0.0.0/8 10.96.0.0/12", false, within("10.96.0.0/12")),
            // What a cluster of this slot has left.
            ("=10.99.0.0/16", false, Fit::Free),
            ("10.244.3.0/24 =10.244.3.1/32 =10.99.0.0/16", true, Fit::Left),
            ("10.244.3.0/24 =10.244.3.2/32", true, taken("10.244.3.2/32")),
            ("=10.244.3.1/32", false, taken("10.244.3.1/32")),
        ] {
            let routes = host.split_whitespace().map(|text| Route {
                network: network(text.trim_start_matches('=')),
                local: text.starts_with('='),
            });
            let interfaces = if bridge { vec!["wharf3".to_owned()] } else { vec![] };
            let host_has = Host { routes: routes.collect(), interfaces };
            assert_eq!(host_has.fit(&slot()), want, "{host:?} {bridge}");
        }
    }

    #[test]
    fn the_best_comes_first() {
        let network = "10.0.0.0/8".parse().unwrap();
        let order = [Fit::Free, Fit::Within(network), Fit::Left, Fit::Taken(network)];
        assert!(order.is_sorted());
    }
}
