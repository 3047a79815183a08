//! What hollow nodes are and say about themselves.

use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

/// Most nodes there can be: each has 256 addresses of 10.128.0.0/9 for its pods.
pub(crate) const MOST_NODES: u32 = 32_768;
/// Where nodes keep their Leases.
pub(super) const LEASES: &str = "kube-node-lease";

/// One of the nodes, by its place among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HollowNode(pub(super) u32);

impl HollowNode {
    /// The node with this name, if it is one of ours.
    pub(super) fn named(name: &str, nodes: u32) -> Option<Self> {
        let at: u32 = name.strip_prefix("hollow-")?.parse().ok()?;
        (at < nodes && Self(at).name() == name).then_some(Self(at))
    }

    /// Its name.
    pub(super) fn name(self) -> String {
        format!("hollow-{}", self.0)
    }

    /// Its place in lists.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    /// Its own address. Nothing listens there.
    pub(super) fn address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(172, 16, 0, 1)) + self.0)
    }

    /// The first of the 256 addresses of its pods.
    pub(super) fn pod_network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + (self.0 << 8))
    }

    /// The Node object: 4 CPUs, 32 GiB and 110 pods, as the nodes of Kubernetes' scheduler benchmarks;
    /// in one of `zones` zones, each in turn.
    pub(super) fn object(self, zones: u32, version: &str, now: Timestamp) -> Value {
        let cidr = format!("{}/24", self.pod_network());
        let resources = json!({"cpu": "4", "memory": "32Gi", "ephemeral-storage": "100Gi",
            "pods": "110"});
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name(), "labels": {
                "kubernetes.io/hostname": self.name(),
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": format!("zone{}", self.0 % zones.max(1) + 1),
            }},
            "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
            "status": {
                "capacity": resources,
                "allocatable": resources,
                "addresses": [
                    {"type": "InternalIP", "address": self.address()},
                    {"type": "Hostname", "address": self.name()},
                ],
                "conditions": conditions(now, Some(now)),
                "nodeInfo": {
                    "architecture": "amd64",
                    "operatingSystem": "linux",
                    "osImage": "none",
                    "containerRuntimeVersion": "hollow://0",
                    "kubeletVersion": version,
                },
            },
        })
    }

    /// The Lease, renewed at `now`, that says for `grace` that the node `uid` lives.
    pub(super) fn lease(self, uid: &str, grace: Duration, now: Timestamp) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name(), "namespace": LEASES, "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": self.name(), "uid": uid},
            ]},
            "spec": {
                "holderIdentity": self.name(),
                "leaseDurationSeconds": grace.as_secs().max(1),
                "renewTime": micros(now),
            },
        })
    }
}

/// A merge patch that renews a Lease.
pub(super) fn renewal(now: Timestamp) -> Value {
    json!({"spec": {"renewTime": micros(now)}})
}

/// A strategic merge patch of a node's status: it is heard from, and if it `came_back`, it is well
/// since now.
pub(super) fn heartbeat(now: Timestamp, came_back: bool) -> Value {
    json!({"status": {"conditions": conditions(now, came_back.then_some(now))}})
}

fn micros(now: Timestamp) -> String {
    format!("{now:.6}")
}

fn conditions(now: Timestamp, since: Option<Timestamp>) -> Value {
    let condition = |(kind, status, reason, message): (&str, &str, &str, &str)| {
        let mut condition = json!({"type": kind, "status": status, "reason": reason,
            "message": message, "lastHeartbeatTime": now});
        if let Some(since) = since {
            condition["lastTransitionTime"] = json!(since);
        }
        condition
    };
    [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "nothing takes memory here"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "nothing takes disk space here"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "nothing runs here"),
        ("Ready", "True", "KubeletReady", "hollow: pods only seem to run"),
    ]
    .into_iter()
    .map(condition)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_not_ours() {
        for (name, wanted) in [
            ("hollow-0", Some(HollowNode(0))),
            ("hollow-9", Some(HollowNode(9))),
            ("hollow-10", None),
            ("hollow-01", None),
            ("hollow-", None),
            ("other", None),
        ] {
            assert_eq!(HollowNode::named(name, 10), wanted, "{name}");
        }
    }

    #[test]
    fn nodes_and_pods_never_share_an_address() {
        let last = HollowNode(MOST_NODES - 1);
        assert_eq!(last.pod_network(), Ipv4Addr::new(10, 255, 255, 0));
        assert_eq!(last.address(), Ipv4Addr::new(172, 16, 128, 0));
        assert_eq!(HollowNode(1).pod_network(), Ipv4Addr::new(10, 128, 1, 0));
    }

    #[test]
    fn zones_take_turns() {
        let zone = |at: u32, zones: u32| {
            let node = HollowNode(at).object(zones, "v1", Timestamp::UNIX_EPOCH);
            node["metadata"]["labels"]["topology.kubernetes.io/zone"].clone()
        };
        assert_eq!([zone(0, 3), zone(1, 3), zone(3, 3)], ["zone1", "zone2", "zone1"]);
        assert_eq!([zone(7, 1), zone(7, 0)], ["zone1", "zone1"]);
    }

    #[test]
    fn a_node_that_came_back_is_well_since_then() {
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let of = |patch: Value| patch["status"]["conditions"][3]["lastTransitionTime"].clone();
        assert_eq!(of(heartbeat(now, false)), Value::Null);
        assert_eq!(of(heartbeat(now, true)), "2026-01-01T00:00:00.5Z");
        assert_eq!(renewal(now)["spec"]["renewTime"], "2026-01-01T00:00:00.500000Z");
    }
}
