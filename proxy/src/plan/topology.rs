//! Endpoints near this node, by the hints that the control plane writes into slices. Pure.
//!
//! Source: k8s.io/kubernetes/pkg/proxy (topology), and
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-distribution>.

use k8s_openapi::api::discovery::v1::Endpoint;

/// Where this proxy is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The name of its node.
    pub node: &'a str,
    /// The node's label `topology.kubernetes.io/zone`, if it has one and is known.
    pub zone: Option<&'a str>,
}

/// Which of a Service's ready endpoints are for this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of them.
    Cluster,
    /// Those with a hint for this zone.
    Zone,
    /// Those with a hint for this node.
    Node,
}

impl Reach {
    /// Hints count if every ready endpoint has one and at least one is for here: else nobody would
    /// answer, or somebody nobody asked for would be left out.
    pub(super) fn of<'a>(ready: impl Iterator<Item = &'a Endpoint> + Clone, at: Place<'_>) -> Self {
        let counts = |reach: Self| {
            ready.clone().all(|endpoint| reach.is_hinted(endpoint))
                && ready.clone().any(|endpoint| reach.holds(endpoint, at))
        };
        [Self::Node, Self::Zone].into_iter().find(|reach| counts(*reach)).unwrap_or(Self::Cluster)
    }

    fn names(self, endpoint: &Endpoint) -> Vec<&str> {
        let hints = endpoint.hints.as_ref();
        match self {
            Self::Cluster => Vec::new(),
            Self::Zone => {
                let zones = hints.and_then(|hints| hints.for_zones.as_ref());
                zones.into_iter().flatten().map(|zone| zone.name.as_str()).collect()
            }
            Self::Node => {
                let nodes = hints.and_then(|hints| hints.for_nodes.as_ref());
                nodes.into_iter().flatten().map(|node| node.name.as_str()).collect()
            }
        }
    }

    fn is_hinted(self, endpoint: &Endpoint) -> bool {
        !self.names(endpoint).is_empty()
    }

    /// Whether a ready endpoint is for this place.
    pub(super) fn holds(self, endpoint: &Endpoint, at: Place<'_>) -> bool {
        match self {
            Self::Cluster => true,
            Self::Zone => at.zone.is_some_and(|zone| self.names(endpoint).contains(&zone)),
            Self::Node => self.names(endpoint).contains(&at.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hints_count_if_all_have_one_and_one_is_for_here() {
        let endpoint = |zones: &[&str], nodes: &[&str]| -> Endpoint {
            let named = |names: &[&str]| -> Vec<_> {
                names.iter().map(|name| json!({"name": name})).collect()
            };
            serde_json::from_value(json!({"addresses": ["10.1.0.1"],
                "hints": {"forZones": named(zones), "forNodes": named(nodes)}}))
            .unwrap()
        };
        let none = Endpoint { addresses: vec!["10.1.0.1".to_owned()], ..Endpoint::default() };
        let at = |zone| Place { node: "n1", zone };
        let (a, b) = (endpoint(&["a"], &[]), endpoint(&["b"], &[]));
        let (near, far) = (endpoint(&["a"], &["n1"]), endpoint(&["a"], &["n2"]));
        let two = endpoint(&["a", "b"], &[]);
        for (case, endpoints, zone, want, held) in [
            ("zone", vec![&a, &b], Some("a"), Reach::Zone, vec![true, false]),
            ("zone of two", vec![&two, &b], Some("b"), Reach::Zone, vec![true, true]),
            ("one has none", vec![&a, &none], Some("a"), Reach::Cluster, vec![true, true]),
            ("nobody here", vec![&b], Some("a"), Reach::Cluster, vec![true]),
            ("zone not known", vec![&a, &b], None, Reach::Cluster, vec![true, true]),
            ("node", vec![&near, &far], Some("a"), Reach::Node, vec![true, false]),
            ("node without zone", vec![&near, &far], None, Reach::Node, vec![true, false]),
            ("no node: zone", vec![&far], Some("a"), Reach::Zone, vec![true]),
            ("not all name nodes", vec![&near, &a], Some("a"), Reach::Zone, vec![true, true]),
            ("nobody", vec![], Some("a"), Reach::Cluster, vec![]),
        ] {
            let reach = Reach::of(endpoints.iter().copied(), at(zone));
            assert_eq!(reach, want, "{case}");
            let found: Vec<bool> =
                endpoints.iter().map(|endpoint| reach.holds(endpoint, at(zone))).collect();
            assert_eq!(found, held, "{case}");
        }
    }
}
