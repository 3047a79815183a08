//! Two pods cannot have the same host port on one node.

use crate::framework::{Change, Filter, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::{HostPort, PodInfo};

/// Refuses nodes where a wanted host port is taken. `0.0.0.0` overlaps with every address.
#[derive(Debug)]
pub struct NodePorts;

fn conflicts(a: &HostPort, b: &HostPort) -> bool {
    a.port == b.port
        && a.protocol == b.protocol
        && (a.ip == b.ip || a.ip == "0.0.0.0" || b.ip == "0.0.0.0")
}

impl Filter for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, _: &Offer) -> Result<(), Rejection> {
        let wanted = &pod.demands.host_ports;
        if wanted.iter().any(|port| node.host_ports.iter().any(|taken| conflicts(port, taken))) {
            return Err(Rejection::resolvable(
                "node(s) didn't have free ports for the requested pod ports",
            ));
        }
        Ok(())
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::PodRemoved)
    }

    fn opens(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> bool {
        self.filter(pod, node, offer).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::{Value, json};

    fn with_port(port: Value) -> PodInfo {
        pod(json!({"containers": [{"name": "c", "ports": [port]}]}))
    }

    #[test]
    fn conflict_table() {
        let taken = json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"});
        let mut n = node("n", json!({}));
        n.add(&with_port(taken).into());
        let offer = n.offer.clone().unwrap();
        for (port, fits) in [
            (json!({"containerPort": 80}), true),
            (json!({"containerPort": 1, "hostPort": 81}), true),
            (json!({"containerPort": 1, "hostPort": 80}), false),
            (json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"}), false),
            (json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.2"}), true),
            (json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"}), true),
        ] {
            let verdict = NodePorts.filter(&with_port(port.clone()), &n, &offer);
            assert_eq!(verdict.is_ok(), fits, "{port}");
        }
    }
}
