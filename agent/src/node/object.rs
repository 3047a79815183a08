//! The Node object and its status, as pure functions of configuration and facts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures, NodeSpec,
    NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use runtime::wasm::World;
use serde_json::{Map, Value, json};

use super::facts::Facts;
use crate::config::{Config, PodNetwork};
use crate::merge;

/// Pods per node, as the kubelet's default.
const MOST_PODS: u32 = 110;
/// `True` on nodes that run native containers; `false` where the host refuses something.
const NATIVE_LABEL: &str = "wharf.dev/native-containers";

/// What the Node says beyond its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) facts: Facts,
    /// Port that the kubelet endpoint really listens on.
    pub(crate) kubelet_port: u16,
    /// What the host refuses to native containers, in a sentence.
    pub(crate) native_why_not: Option<String>,
}

impl Report {
    /// Allocatable CPU in thousandths of a core.
    pub(crate) fn cpu_millis(&self, config: &Config) -> u64 {
        config.capacity.cpu_millis.unwrap_or(self.facts.cpu_millis)
    }

    /// Allocatable memory in bytes.
    pub(crate) fn memory_bytes(&self, config: &Config) -> u64 {
        config.capacity.memory_bytes.unwrap_or(self.facts.memory_bytes)
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The worlds of Wasm containers that this node runs, as labels: a pod that must not land where its
/// world is unknown selects `wasm.wharf.dev/http-proxy-0.2: "true"`, or names a RuntimeClass that does.
fn worlds() -> impl Iterator<Item = (String, String)> {
    World::RUN.iter().map(|world| (format!("wasm.wharf.dev/{}", world.word()), "true".to_owned()))
}

/// The Node as this agent registers it.
pub(super) fn node(config: &Config, report: &Report, now: Timestamp) -> Node {
    let mut labels: BTreeMap<String, String> = [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture()),
        (NATIVE_LABEL, if report.native_why_not.is_none() { "true" } else { "false" }),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    labels.extend(worlds());
    labels.extend(config.node_labels.clone());
    let cidr = config.network.cidr().to_string();
    Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: Some(cidr.clone()),
            pod_cidrs: Some(vec![cidr]),
            taints: Some(config.node_taints.clone()).filter(|taints| !taints.is_empty()),
            ..NodeSpec::default()
        }),
        status: Some(status(config, report, None, now)),
    }
}

/// A merge patch that gives an existing Node our labels and, where it has none, our podCIDR.
pub(super) fn metadata_patch(current: &Node, wanted: &Node) -> Option<Value> {
    let have = current.metadata.labels.clone().unwrap_or_default();
    let mut labels = have.clone();
    labels.extend(wanted.metadata.labels.clone().unwrap_or_default());
    let mut patch = Map::new();
    if let Some(difference) = merge::difference(&json!(have), &json!(labels)) {
        patch.insert("metadata".into(), json!({ "labels": difference }));
    }
    let has_cidr = current.spec.as_ref().is_some_and(|spec| spec.pod_cidr.is_some());
    if let Some(spec) = wanted.spec.as_ref().filter(|_| !has_cidr) {
        patch.insert("spec".into(), json!({"podCIDR": spec.pod_cidr, "podCIDRs": spec.pod_cidrs}));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The Node's status; conditions of others and times of unchanged conditions survive.
pub(super) fn status(
    config: &Config,
    report: &Report,
    old: Option<&NodeStatus>,
    now: Timestamp,
) -> NodeStatus {
    let resources = BTreeMap::from([
        ("cpu".to_owned(), Quantity(cpu(report.cpu_millis(config)))),
        ("memory".to_owned(), Quantity(format!("{}Ki", report.memory_bytes(config) / 1024))),
        ("ephemeral-storage".to_owned(), Quantity(format!("{}Ki", report.facts.disk_bytes / 1024))),
        ("pods".to_owned(), Quantity(config.capacity.pods.unwrap_or(MOST_PODS).to_string())),
        ("hugepages-1Gi".to_owned(), Quantity("0".to_owned())),
        ("hugepages-2Mi".to_owned(), Quantity("0".to_owned())),
    ]);
    let mut status = old.cloned().unwrap_or_default();
    status.capacity = Some(resources.clone());
    status.allocatable = Some(resources);
    status.addresses = Some(addresses(&config.node_name, config.node_ip));
    status.daemon_endpoints = Some(NodeDaemonEndpoints {
        kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(report.kubelet_port) }),
    });
    status.node_info = Some(info(config, &report.facts));
    status.features = Some(NodeFeatures { supplemental_groups_policy: Some(true) });
    status.conditions = Some(conditions(config, report, old, now));
    status
}

/// Under which names and addresses the node is found.
pub(super) fn addresses(name: &str, ip: IpAddr) -> Vec<NodeAddress> {
    vec![
        NodeAddress { type_: "InternalIP".into(), address: ip.to_string() },
        NodeAddress { type_: "Hostname".into(), address: name.to_owned() },
    ]
}

/// Whether the Node says what it should, however long ago.
pub(super) fn is_current(config: &Config, report: &Report, current: &Node) -> bool {
    let old = current.status.clone().unwrap_or_default();
    let mut new = status(config, report, Some(&old), Timestamp::UNIX_EPOCH);
    for condition in new.conditions.iter_mut().flatten() {
        let before = old.conditions.iter().flatten().find(|before| before.type_ == condition.type_);
        condition.last_heartbeat_time =
            before.and_then(|before| before.last_heartbeat_time.clone());
    }
    let sorted = |status: &NodeStatus| {
        let mut conditions = status.conditions.clone().unwrap_or_default();
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        json!(NodeStatus { conditions: Some(conditions), ..status.clone() })
    };
    sorted(&new) == sorted(&old)
}

fn cpu(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

fn info(config: &Config, facts: &Facts) -> NodeSystemInfo {
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        operating_system: "linux".to_owned(),
        kernel_version: facts.kernel_version.clone(),
        os_image: facts.os_image.clone(),
        machine_id: facts.machine_id.clone(),
        boot_id: facts.boot_id.clone(),
        system_uuid: facts.system_uuid.clone(),
        container_runtime_version: format!("wharf://{}", env!("CARGO_PKG_VERSION")),
        kubelet_version: config.version.clone(),
        kube_proxy_version: String::new(),
        swap: None,
    }
}

fn conditions(
    config: &Config,
    report: &Report,
    old: Option<&NodeStatus>,
    now: Timestamp,
) -> Vec<NodeCondition> {
    let native = match &report.native_why_not {
        None => ("True", "HostPermitsAll", "this node runs native and Wasm containers".to_owned()),
        Some(why) => ("False", "HostRefuses", format!("only Wasm containers run here: {why}")),
    };
    let network = match config.network {
        PodNetwork::Bridge { .. } => "kubelet is posting ready status",
        PodNetwork::Loopback { .. } => {
            "kubelet is posting ready status; pods have addresses of the loopback interface"
        }
    };
    let ours = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available".to_owned(),
        ),
        (
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure".to_owned(),
        ),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available".to_owned(),
        ),
        ("NativeContainers", native.0, native.1, native.2),
        ("Ready", "True", "KubeletReady", network.to_owned()),
    ];
    let before: Vec<&NodeCondition> =
        old.into_iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    let mut conditions: Vec<NodeCondition> = before
        .iter()
        .filter(|condition| !ours.iter().any(|(type_, ..)| *type_ == condition.type_))
        .map(|condition| (*condition).clone())
        .collect();
    conditions.extend(ours.into_iter().map(|(type_, status, reason, message)| {
        let same =
            before.iter().find(|condition| condition.type_ == type_ && condition.status == status);
        NodeCondition {
            type_: type_.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: same
                .and_then(|condition| condition.last_transition_time.clone())
                .or(Some(Time(now))),
        }
    }));
    conditions
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{Capacity, ServingTls};

    fn config() -> Config {
        Config {
            node_name: "n1".into(),
            node_labels: [("zone".to_owned(), "a".to_owned())].into(),
            node_taints: Vec::new(),
            node_ip: "192.0.2.1".parse().unwrap(),
            network: PodNetwork::Bridge {
                name: "wharf0".into(),
                cidr: "10.244.0.0/24".parse().unwrap(),
            },
            routes: false,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".into(),
            data_dir: "/tmp".into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: ServingTls {
                certificate_pem: String::new(),
                key_pem: String::new(),
                client_ca_pem: String::new(),
            }
            .for_good(),
            capacity: Capacity { cpu_millis: Some(1500), ..Capacity::default() },
            pod_pids_limit: None,
            api_server: None,
            version: "v1.36.0+wharf0.1.0".into(),
        }
    }

    fn report(native_why_not: Option<&str>) -> Report {
        let facts = Facts {
            cpu_millis: 4000,
            memory_bytes: 2048,
            disk_bytes: 4096,
            ..Facts::read("/".as_ref())
        };
        Report { facts, kubelet_port: 10250, native_why_not: native_why_not.map(str::to_owned) }
    }

    #[test]
    fn what_the_node_says() {
        let node = node(&config(), &report(None), Timestamp::UNIX_EPOCH);
        let labels = node.metadata.labels.unwrap();
        assert_eq!(labels["kubernetes.io/hostname"], "n1");
        assert_eq!((labels["zone"].as_str(), labels[NATIVE_LABEL].as_str()), ("a", "true"));
        let worlds = ["wasip1-command", "cli-command-0.2", "http-proxy-0.2"];
        let said = labels.keys().filter_map(|key| key.strip_prefix("wasm.wharf.dev/"));
        assert_eq!(said.collect::<BTreeSet<_>>(), BTreeSet::from(worlds));
        assert_eq!(node.spec.unwrap().pod_cidr.as_deref(), Some("10.244.0.0/24"));
        let status = node.status.unwrap();
        let allocatable = status.allocatable.unwrap();
        assert_eq!(allocatable["cpu"].0, "1500m");
        assert_eq!(allocatable["memory"].0, "2Ki");
        assert_eq!(allocatable["pods"].0, "110");
        assert_eq!(status.daemon_endpoints.unwrap().kubelet_endpoint.unwrap().port, 10250);
        let ready = status
            .conditions
            .unwrap()
            .into_iter()
            .find(|condition| condition.type_ == "Ready")
            .unwrap();
        assert_eq!(ready.status, "True");
    }

    #[test]
    fn conditions_keep_their_times_and_their_neighbours() {
        let later = Timestamp::from_second(100).unwrap();
        let mut old = status(&config(), &report(None), None, Timestamp::UNIX_EPOCH);
        old.conditions.as_mut().unwrap().push(NodeCondition {
            type_: "Other".into(),
            status: "True".into(),
            ..NodeCondition::default()
        });
        let new = status(&config(), &report(Some("no overlayfs")), Some(&old), later);
        let of = |type_: &str| {
            new.conditions.iter().flatten().find(|condition| condition.type_ == type_).unwrap()
        };
        assert_eq!(of("Ready").last_transition_time.as_ref().unwrap().0, Timestamp::UNIX_EPOCH);
        assert_eq!(of("Ready").last_heartbeat_time.as_ref().unwrap().0, later);
        assert_eq!(
            of("NativeContainers").last_transition_time.as_ref().unwrap().0,
            later,
            "it changed"
        );
        assert_eq!(
            of("NativeContainers").message.as_deref(),
            Some("only Wasm containers run here: no overlayfs")
        );
        assert_eq!(of("Other").status, "True");
    }

    #[test]
    fn notices_what_others_wrote() {
        let mut node = node(&config(), &report(None), Timestamp::UNIX_EPOCH);
        assert!(is_current(&config(), &report(None), &node));
        let conditions = node.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions.iter_mut().find(|condition| condition.type_ == "Ready").unwrap().status =
            "Unknown".into();
        assert!(!is_current(&config(), &report(None), &node));
    }

    #[test]
    fn adoption_patches_only_what_differs() {
        let wanted = node(&config(), &report(None), Timestamp::UNIX_EPOCH);
        assert_eq!(metadata_patch(&wanted, &wanted), None);
        let bare = Node::default();
        let patch = metadata_patch(&bare, &wanted).unwrap();
        assert_eq!(patch["spec"]["podCIDR"], "10.244.0.0/24");
        assert_eq!(patch["metadata"]["labels"]["zone"], "a");
    }
}
