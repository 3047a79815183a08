//! Hints: for whom an endpoint is, if the Service prefers traffic to stay near. Pure.
//!
//! `spec.trafficDistribution` is answered endpoint by endpoint: each is for its own zone, and with
//! `PreferSameNode` for its own node too. What is not ready has no hint. The annotation for hints in
//! proportion goes first ([`super::zones`]).
//!
//! Source: k8s.io/endpointslice/trafficdist, and
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-distribution>.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{EndpointHints, ForNode, ForZone};
use kube::ResourceExt;

/// Annotations that ask for hints in proportion to the zones' CPUs; the second is the older.
const MODES: [&str; 2] =
    ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"];

/// Whether the Service asks by annotation for hints in proportion; the field then says nothing.
pub(super) fn is_proportional(service: &Service) -> bool {
    // The older one counts if it is there at all.
    let asked = MODES.iter().rev().find_map(|name| service.annotations().get(*name));
    asked.is_some_and(|mode| mode == "Auto" || mode == "auto")
}

/// The hints of a ready endpoint in this zone and on this node.
pub(super) fn near(
    service: &Service,
    zone: Option<&str>,
    node: Option<&str>,
) -> Option<EndpointHints> {
    let asked = service.spec.as_ref()?.traffic_distribution.as_deref()?;
    let by_node = match asked {
        _ if is_proportional(service) => return None,
        "PreferClose" | "PreferSameZone" => false,
        "PreferSameNode" => true,
        _ => return None,
    };
    let zones = zone.map(|name| vec![ForZone { name: name.to_owned() }]);
    let nodes = node.filter(|_| by_node).map(|name| vec![ForNode { name: name.to_owned() }]);
    let any = zones.is_some() || nodes.is_some();
    any.then_some(EndpointHints { for_zones: zones, for_nodes: nodes })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_endpoint_is_for_its_own_zone_or_node() {
        let zone = || json!({"forZones": [{"name": "z"}]});
        let both = || json!({"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]});
        for (asked, annotations, place, want) in [
            (None, json!({}), (Some("z"), Some("n")), Value::Null),
            (Some("PreferClose"), json!({}), (Some("z"), Some("n")), zone()),
            (Some("PreferSameZone"), json!({}), (Some("z"), None), zone()),
            (Some("PreferSameZone"), json!({}), (None, Some("n")), Value::Null),
            (Some("PreferSameNode"), json!({}), (Some("z"), Some("n")), both()),
            (
                Some("PreferSameNode"),
                json!({}),
                (None, Some("n")),
                json!({"forNodes": [{"name": "n"}]}),
            ),
            (Some("example.com/own"), json!({}), (Some("z"), Some("n")), Value::Null),
            (Some("PreferClose"), json!({MODES[0]: "Auto"}), (Some("z"), None), Value::Null),
            (Some("PreferClose"), json!({MODES[1]: "auto"}), (Some("z"), None), Value::Null),
            (Some("PreferClose"), json!({MODES[0]: "Disabled"}), (Some("z"), None), zone()),
        ] {
            let service: Service = serde_json::from_value(json!({
                "metadata": {"annotations": annotations},
                "spec": {"trafficDistribution": asked}}))
            .unwrap();
            let hints = near(&service, place.0, place.1);
            assert_eq!(json!(hints), want, "{asked:?} {annotations} {place:?}");
        }
    }
}
