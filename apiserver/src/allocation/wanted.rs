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
        Wanted {
            needs_address: !external && address.is_empty(),
            address: Some(address.to_owned())
                .filter(|address| !external && !matches!(address.as_str(), "" | "None")),
            ports: ports.collect(),
        }
    }

    /// The store's keys of what the Service has.
    pub(super) fn keys(&self) -> Vec<String> {
        let ports = self.ports.iter().flatten().filter(|port| **port != 0);
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
    }
}

/// Gives an updated Service back what it does not repeat: clients that PUT a manifest never send
/// the address and node ports that were given (patchAllocatedValues in Kubernetes).
pub(super) fn carry_over(new: &mut Value, old: &Value) {
    let (had, wants) = (Wanted::of(old), Wanted::of(new));
    if wants.needs_address
        && let Some(address) = had.address
    {
        new["spec"]["clusterIP"] = address.as_str().into();
        new["spec"]["clusterIPs"] = json!([address]);
    }
    if wants.needs_address && old["spec"]["clusterIP"] == "None" {
        new["spec"]["clusterIP"] = "None".into();
        new["spec"]["clusterIPs"] = json!(["None"]);
    }
    let old_ports = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    for (index, port) in wants.ports.iter().enumerate() {
        if *port != Some(0) {
            continue;
        }
        let new_port = &mut new["spec"]["ports"][index];
        let same = |field: &str, old: &Value| old[field] == new_port[field];
        let found = old_ports.iter().find(|old| same("port", old) && same("protocol", old));
        if let Some(number) = found.and_then(|old| old["nodePort"].as_i64()) {
            new_port["nodePort"] = number.into();
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
    fn an_update_keeps_what_was_given() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.9",
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}});
        let mut new = json!({"spec": {"type": "NodePort",
            "ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}});
        carry_over(&mut new, &old);
        assert_eq!(new["spec"]["clusterIP"], "10.96.0.9");
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
        assert!(new["spec"]["ports"][1].get("nodePort").is_none());
    }
}
