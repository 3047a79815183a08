//! What a Service is warned about. Source: k8s.io/kubernetes/pkg/api/service (warnings.go).

use serde_json::Value;

use super::{is_headless, text};
use crate::field::Path;
use crate::strategy::warnings::{of_address, of_network};

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";

/// All warnings about a Service, whose defaults need not be filled in.
pub(super) fn of(object: &Value) -> Vec<String> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let external = text(spec, "type") == "ExternalName";
    let headless = is_headless(spec) && matches!(text(spec, "type"), "" | "ClusterIP");
    let texts = |field: &str| -> Vec<(Path, String)> {
        let list = spec[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        let path = path.child(field);
        list.enumerate().map(|(n, text)| (path.index(n), text.to_owned())).collect()
    };
    let external_ips = texts("externalIPs");
    let has_ips = !external_ips.is_empty();
    let mut all = Vec::new();
    let mut warn = |warning: String| all.push(warning);
    if !object["metadata"]["annotations"][HINTS].is_null() {
        warn(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    if !external && !is_headless(spec) {
        texts("clusterIPs").iter().filter_map(|(at, ip)| of_address(ip, at)).for_each(&mut warn);
    }
    if headless {
        if !text(spec, "loadBalancerIP").is_empty() {
            warn("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if has_ips {
            warn("spec.externalIPs is ignored for headless services".to_owned());
        }
        if !matches!(text(spec, "sessionAffinity"), "" | "None") {
            warn("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    external_ips.iter().filter_map(|(at, ip)| of_address(ip, at)).for_each(&mut warn);
    if has_ips && !headless && !external {
        warn(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
                .to_owned(),
        );
    }
    of_address(text(spec, "loadBalancerIP"), &path.child("loadBalancerIP"))
        .into_iter()
        .for_each(&mut warn);
    let ranges = texts("loadBalancerSourceRanges");
    ranges.iter().flat_map(|(at, range)| of_network(range, at)).for_each(&mut warn);
    if external && has_ips {
        warn("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !external && !text(spec, "externalName").is_empty() {
        warn("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec["trafficDistribution"] == "PreferClose" {
        warn(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""
                .to_owned(),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_ignored_is_told() {
        let deprecated =
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
        for (spec, want) in [
            (json!({}), vec![]),
            (json!({"clusterIP": "None", "sessionAffinity": "None"}), vec![]),
            (
                json!({"clusterIP": "None", "loadBalancerIP": "1.2.3.4", "externalIPs": ["1.2.3.4"],
                    "sessionAffinity": "ClientIP"}),
                vec![
                    "spec.loadBalancerIP is ignored for headless services",
                    "spec.externalIPs is ignored for headless services",
                    "spec.SessionAffinity is ignored for headless services",
                ],
            ),
            (json!({"externalIPs": ["1.2.3.4"]}), vec![deprecated]),
            (
                json!({"externalIPs": ["2001:DB8::1"]}),
                vec![
                    "spec.externalIPs[0]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 \
                     canonical format (\"2001:db8::1\")",
                    deprecated,
                ],
            ),
            (
                json!({"type": "ExternalName", "externalName": "a.b", "externalIPs": ["1.2.3.4"]}),
                vec!["spec.externalIPs is ignored when spec.type is \"ExternalName\""],
            ),
            (
                json!({"externalName": "a.b"}),
                vec!["spec.externalName is ignored when spec.type is not \"ExternalName\""],
            ),
            (
                json!({"trafficDistribution": "PreferClose"}),
                vec![
                    "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
                ],
            ),
            (
                json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]}),
                vec![
                    "spec.loadBalancerSourceRanges[0]: CIDR value \"10.0.0.1/8\" is ambiguous in \
                     this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
                ],
            ),
        ] {
            assert_eq!(of(&json!({"metadata": {"name": "s"}, "spec": spec})), want, "{spec}");
        }
        let hints = json!({"metadata": {"annotations": {HINTS: "auto"}}, "spec": {}});
        assert_eq!(
            of(&hints),
            [format!("annotation {HINTS} is deprecated, please use {MODE} instead")]
        );
    }
}
