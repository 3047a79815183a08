//! What a Service needs from the ranges, read from its spec and written back.

use serde_json::{Value, json};

use super::{ADDRESSES, PORTS};

/// A Service's part of the ranges.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The address it has or has chosen; `None` for headless, external and not yet given.
    pub(super) address: Option<String>,
    /// Whether an address is to be given.
    pub(super) needs_address: bool,
    /// Per port: its node port, 0 for one to be given, `None` for a type without.
    pub(super) ports: Vec<Option<i64>>,
    /// The node port at which a load balancer asks who has pods; 0 and `None` as above.
    pub(super) health_check: Option<i64>,
}

impl Wanted {
    /// Reads a Service; null wants nothing.
    pub(super) fn of(service: &Value) -> Wanted {
        let spec = &service["spec"];
        if !spec.is_object() {
            return Wanted::default();
        }
        let kind = spec["type"].as_str().unwrap_or("ClusterIP");
        let address = spec["clusterIP"].as_str().unwrap_or_default();
        let address = if address.is_empty() {
            spec["clusterIPs"][0].as_str().unwrap_or_default()
        } else {
            address
        };
        let external = kind == "ExternalName";
        let node_ports = match kind {
            "NodePort" => true,
            "LoadBalancer" => spec["allocateLoadBalancerNodePorts"].as_bool() != Some(false),
            _ => false,
        };
        let ports = spec["ports"].as_array().into_iter().flatten().map(|port| {
            let chosen = port["nodePort"].as_i64().filter(|port| *port != 0);
            match (kind, node_ports) {
                (_, true) => Some(chosen.unwrap_or(0)),
                ("LoadBalancer", false) => chosen,
                _ => None,
            }
        });
        let local = kind == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local";
        Wanted {
            health_check: local.then(|| spec["healthCheckNodePort"].as_i64().unwrap_or(0)),
            needs_address: !external && address.is_empty(),
            address: Some(address.to_owned())
                .filter(|address| !external && !matches!(address.as_str(), "" | "None")),
            ports: ports.collect(),
        }
    }

    /// The store's keys of what the Service has.
    pub(super) fn keys(&self) -> Vec<String> {
        let ports = self.ports.iter().flatten().chain(&self.health_check);
        let ports = ports.filter(|port| **port != 0);
        let ports = ports.map(|port| format!("{PORTS}{port}"));
        self.address.iter().map(|address| format!("{ADDRESSES}{address}")).chain(ports).collect()
    }

    /// Writes what was given into the Service.
    pub(super) fn put(&self, service: &mut Value) {
        let spec = &mut service["spec"];
        if let Some(address) = &self.address {
            spec["clusterIP"] = address.as_str().into();
            spec["clusterIPs"] = json!([address]);
        } else if spec["clusterIP"] == "None" {
            spec["clusterIPs"] = json!(["None"]);
        }
        for (index, port) in self.ports.iter().enumerate() {
            if let Some(port) = port {
                spec["ports"][index]["nodePort"] = (*port).into();
            }
        }
        if let Some(port) = self.health_check {
            spec["healthCheckNodePort"] = port.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_want_different_things() {
        for (spec, address, needs, ports) in [
            (json!({"ports": [{"port": 80}]}), None, true, vec![None]),
            (json!({"clusterIP": "None"}), None, false, vec![]),
            (json!({"clusterIP": "10.96.0.9"}), Some("10.96.0.9"), false, vec![]),
            (json!({"type": "ExternalName"}), None, false, vec![]),
            (
                json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 81, "nodePort": 30001}]}),
                None,
                true,
                vec![Some(0), Some(30001)],
            ),
            (
                json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
                       "ports": [{"port": 80}]}),
                None,
                true,
                vec![None],
            ),
        ] {
            let wanted = Wanted::of(&json!({"spec": spec}));
            assert_eq!(wanted.address.as_deref(), address, "{spec}");
            assert_eq!(wanted.needs_address, needs, "{spec}");
            assert_eq!(wanted.ports, ports, "{spec}");
        }
    }

    #[test]
    fn a_load_balancer_that_asks_the_nodes_has_a_port_for_that() {
        let spec = |kind: &str, policy: &str, port: i64| {
            json!({"spec": {"type": kind, "externalTrafficPolicy": policy,
                "healthCheckNodePort": port, "clusterIP": "10.96.0.9"}})
        };
        for (service, want) in [
            (spec("LoadBalancer", "Local", 0), Some(0)),
            (spec("LoadBalancer", "Local", 32_000), Some(32_000)),
            (spec("LoadBalancer", "Cluster", 0), None),
            (spec("NodePort", "Local", 0), None),
        ] {
            let wanted = Wanted::of(&service);
            assert_eq!(wanted.health_check, want, "{service}");
            let keys = wanted.keys();
            assert_eq!(keys.contains(&format!("{PORTS}32000")), want == Some(32_000), "{keys:?}");
        }
        let mut service = spec("LoadBalancer", "Local", 0);
        let given = Wanted { health_check: Some(32_001), ..Wanted::of(&service) };
        given.put(&mut service);
        assert_eq!(service["spec"]["healthCheckNodePort"], 32_001);
    }
}
