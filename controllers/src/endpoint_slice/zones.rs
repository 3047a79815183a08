//! Hints in proportion: annotation `service.kubernetes.io/topology-mode: Auto`. Pure.
//!
//! Each zone gets as many of a Service's ready endpoints as it has of the cluster's CPUs: first its
//! own, then some of those of zones that have too many. If a zone would be overloaded by more than a
//! fifth all the same, there are no hints at all, and it is said why.
//!
//! Amounts are counted exactly, in parts of an endpoint: one endpoint has as many parts as the
//! cluster has thousandths of CPUs.
//!
//! Source: k8s.io/endpointslice/topologycache.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, ForZone};
use kube::ResourceExt;

/// Label of a node: the zone it is in.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
/// Nodes with one of these labels do not count: nobody but the control plane works there.
const CONTROL_PLANE: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
/// A zone may get so many times what it should, as a fraction: 1.2.
const OVERLOAD: (i128, i128) = (12, 10);

/// What a node says about how much of the traffic its zone takes; none: it does not count.
pub(super) fn weight(node: &Node) -> Option<(&str, &str)> {
    let status = node.status.as_ref();
    let mut conditions = status.and_then(|s| s.conditions.as_ref()).into_iter().flatten();
    let ready = conditions.any(|c| c.type_ == "Ready" && c.status == "True");
    let excluded = CONTROL_PLANE.iter().any(|label| node.labels().contains_key(*label));
    let zone = node.labels().get(ZONE).map(String::as_str).unwrap_or_default();
    let allocatable = status.and_then(|status| status.allocatable.as_ref());
    let cpu = allocatable.and_then(|amounts| amounts.get("cpu"));
    (ready && !excluded).then(|| (zone, cpu.map(|cpu| cpu.0.as_str()).unwrap_or_default()))
}

/// The CPUs of each zone, thousandths.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Zones(BTreeMap<String, i128>);

impl Zones {
    /// None if a node does not say its zone or CPUs, or if there are fewer than two zones.
    pub(super) fn of(nodes: &[Arc<Node>]) -> Option<Self> {
        let mut zones: BTreeMap<String, i128> = BTreeMap::new();
        for (zone, cpu) in nodes.iter().filter_map(|node| weight(node)) {
            let cpu = cpu.parse().map(Quantity::milli_value).unwrap_or(0);
            if zone.is_empty() || cpu <= 0 {
                return None;
            }
            *zones.entry(zone.to_owned()).or_default() += i128::from(cpu);
        }
        (zones.len() > 1).then_some(Self(zones))
    }

    /// How many endpoints each zone should get, in parts of [`Zones::whole`].
    fn desired(&self, endpoints: i128) -> Result<BTreeMap<&str, i128>, String> {
        let of = format!("({endpoints} endpoints, {} zones)", self.0.len());
        if i128::try_from(self.0.len()).unwrap_or(i128::MAX) > endpoints {
            return Err(format!("Insufficient number of endpoints {of}"));
        }
        let (whole, mut left) = (self.whole(), endpoints);
        let mut desired = BTreeMap::new();
        for (zone, cpu) in &self.0 {
            let share = cpu * endpoints;
            let (minimum, by) = (share * OVERLOAD.1, whole * OVERLOAD.0);
            let minimum = (minimum + by - 1) / by;
            left -= minimum;
            if left < 0 {
                return Err(format!(
                    "Unable to allocate minimum required endpoints to each zone without \
                     exceeding overload threshold {of}"
                ));
            }
            desired.insert(zone.as_str(), share.max(minimum * whole));
        }
        Ok(desired)
    }

    /// The parts of one endpoint.
    fn whole(&self) -> i128 {
        self.0.values().sum()
    }
}

/// Gives each of these ready endpoints a hint for one zone, or none of them any.
///
/// # Errors
/// Why there are no hints, in Kubernetes' words.
pub(super) fn share(zones: Option<&Zones>, endpoints: &mut [&mut Endpoint]) -> Result<(), String> {
    let shared = try_share(zones, endpoints);
    if shared.is_err() {
        endpoints.iter_mut().for_each(|endpoint| endpoint.hints = None);
    }
    shared
}

fn try_share(zones: Option<&Zones>, endpoints: &mut [&mut Endpoint]) -> Result<(), String> {
    let Some(zones) = zones else {
        let why = "Insufficient Node information: allocatable CPU or zone not specified on one \
                   or more nodes";
        return Err(why.to_owned());
    };
    let mut desired = zones.desired(i128::try_from(endpoints.len()).unwrap_or(i128::MAX))?;
    let whole = zones.whole();
    for endpoint in endpoints.iter_mut() {
        let Some(zone) = endpoint.zone.clone().filter(|zone| !zone.is_empty()) else {
            return Err("One or more endpoints do not have a zone specified".to_owned());
        };
        if let Some(left) = desired.get_mut(zone.as_str()) {
            *left -= whole;
        }
        endpoint.hints = Some(for_zone(zone));
    }
    // What is left over is to be received; less than nothing is to be given away.
    for (from, to) in moves(&desired, whole) {
        let stays = endpoints.iter_mut().find(|endpoint| {
            let own = endpoint.zone.clone().map(for_zone);
            endpoint.zone.as_deref() == Some(from) && endpoint.hints == own
        });
        if let Some(endpoint) = stays {
            endpoint.hints = Some(for_zone(to.to_owned()));
        }
    }
    Ok(())
}

/// From which zone to which endpoints go, one each: always from the one with the most too many to
/// the one with the most too few, while it is worth it.
fn moves<'a>(left: &BTreeMap<&'a str, i128>, whole: i128) -> Vec<(&'a str, &'a str)> {
    let mut left = left.clone();
    let mut moves = Vec::new();
    loop {
        // Of several the first by name.
        let giving = left.iter().min_by_key(|(_, parts)| **parts).map(|(zone, p)| (*zone, -*p));
        let receiving =
            left.iter().rev().max_by_key(|(_, parts)| **parts).map(|(zone, p)| (*zone, *p));
        let (Some((from, give)), Some((to, receive))) = (giving, receiving) else { break };
        let too_little = give * 2 < whole || receive * 2 < whole;
        if too_little || (give < whole && receive < whole) {
            break;
        }
        moves.push((from, to));
        *left.entry(from).or_default() += whole;
        *left.entry(to).or_default() -= whole;
    }
    moves
}

fn for_zone(name: String) -> EndpointHints {
    EndpointHints { for_zones: Some(vec![ForZone { name }]), for_nodes: None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn nodes(list: &[(&str, &str)]) -> Vec<Arc<Node>> {
        let node = |(zone, cpu): &(&str, &str)| {
            let node = json!({"metadata": {"labels": {ZONE: zone}}, "status": {
                "allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": "True"}]}});
            Arc::new(serde_json::from_value(node).unwrap())
        };
        list.iter().map(node).collect()
    }

    /// The hints of endpoints in these zones, one letter each.
    fn hints(of: &[(&str, &str)], zones: &str) -> Result<String, String> {
        let mut endpoints: Vec<Endpoint> = zones
            .chars()
            .map(|zone| Endpoint {
                zone: Some(zone.to_string()).filter(|zone| zone != "-"),
                hints: Some(for_zone("before".to_owned())),
                ..Endpoint::default()
            })
            .collect();
        let mut all: Vec<&mut Endpoint> = endpoints.iter_mut().collect();
        let shared = share(Zones::of(&nodes(of)).as_ref(), &mut all);
        let name = |e: &Endpoint| e.hints.clone()?.for_zones?.pop().map(|zone| zone.name);
        let named: String = endpoints.iter().filter_map(name).collect();
        shared.map(|()| named.clone()).inspect_err(|_| assert_eq!(named, "", "no hints"))
    }

    #[test]
    fn zones_get_endpoints_as_they_have_cpus() {
        let even = [("a", "2"), ("b", "1"), ("b", "1")];
        let three = [("a", "1"), ("b", "1"), ("c", "1")];
        let far = [("a", "1"), ("b", "9")];
        let few = |of: &str| Err(format!("Insufficient number of endpoints {of}"));
        let over = "Unable to allocate minimum required endpoints to each zone without exceeding \
                    overload threshold (4 endpoints, 3 zones)";
        let unclear = "Insufficient Node information: allocatable CPU or zone not specified on \
                       one or more nodes";
        for (case, nodes, zones, want) in [
            ("each its own", &even[..], "aabb", Ok("aabb")),
            ("one is given", &even, "aaab", Ok("baab")),
            ("all are given", &even, "aaaa", Ok("bbaa")),
            ("not worth it", &even, "aaaabbb", Ok("aaaabbb")),
            ("as far as it is", &even, "aaaaabb", Ok("baaaabb")),
            ("three", &three, "aaaaaabbb", Ok("cccaaabbb")),
            ("of a zone that nobody knows", &even, "xxab", Ok("xxab")),
            ("one has more", &far, "aaaaaaaaab", Ok("bbbbbbbbab")),
            ("one node", &even[..1], "aa", Err(unclear)),
            ("no CPUs", &[("a", "1"), ("b", "0")], "ab", Err(unclear)),
            ("no zone", &even, "a-bb", Err("One or more endpoints do not have a zone specified")),
            ("overload", &three, "abca", Err(over)),
        ] {
            let want = want.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(hints(nodes, zones), want, "{case}");
        }
        assert_eq!(hints(&even, "a"), few("(1 endpoints, 2 zones)"));
        assert_eq!(hints(&even, ""), few("(0 endpoints, 2 zones)"));
    }

    #[test]
    fn nodes_that_do_not_work_have_no_weight() {
        let node = |labels: Value, ready: &str| -> Node {
            serde_json::from_value(json!({"metadata": {"labels": labels}, "status": {
                "allocatable": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": ready}]}}))
            .unwrap()
        };
        for (labels, ready, want) in [
            (json!({ZONE: "a"}), "True", Some(("a", "2"))),
            (json!({}), "True", Some(("", "2"))),
            (json!({ZONE: "a"}), "False", None),
            (json!({ZONE: "a", CONTROL_PLANE[0]: ""}), "True", None),
        ] {
            assert_eq!(weight(&node(labels.clone(), ready)), want, "{labels} {ready}");
        }
    }
}
