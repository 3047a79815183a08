//! What the node agent is told: plain data, complete before anything is bound or started.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Taint;
use tokio::sync::watch;

/// Everything one node agent needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the Node object and value of `spec.nodeName` that this agent serves.
    pub node_name: String,
    /// Labels added to the well-known ones (`kubernetes.io/hostname`, `/os`, `/arch`).
    pub node_labels: BTreeMap<String, String>,
    /// Taints the Node is created with; an existing Node keeps its own.
    pub node_taints: Vec<Taint>,
    /// The node's `InternalIP`: where the API server finds the kubelet endpoint, and `status.hostIP`.
    pub node_ip: IpAddr,
    /// How pods get their addresses.
    pub network: PodNetwork,
    /// Whether the pods of other nodes are reached by routes through those nodes' InternalIPs. Needs
    /// [`PodNetwork::Bridge`], nodes on one network segment, and the right to watch nodes.
    pub routes: bool,
    /// Name servers of pods with `dnsPolicy: ClusterFirst`; empty falls back to the host's.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain, usually `cluster.local`.
    pub cluster_domain: String,
    /// Directory that receives `pods/<uid>/` (volumes) and `logs/<namespace>_<name>_<uid>/`.
    pub data_dir: PathBuf,
    /// Where the kubelet endpoint listens; port 0 takes a free one, which the Node then reports.
    pub listen: SocketAddr,
    /// TLS of the kubelet endpoint: new connections get what was sent last. See [`ServingTls::for_good`].
    pub tls: watch::Receiver<ServingTls>,
    /// What the node offers, where it should differ from what the host has.
    pub capacity: Capacity,
    /// Tasks that all containers of one pod may have together (the kubelet's `podPidsLimit`); `None` sets no limit.
    pub pod_pids_limit: Option<u64>,
    /// `KUBERNETES_SERVICE_HOST` and `_PORT` of pods as long as the Service `default/kubernetes` is not there.
    pub api_server: Option<(String, u16)>,
    /// Version reported in `nodeInfo`, e.g. `v1.36.0+wharf0.1.0`.
    pub version: String,
}

/// How pods of this node get their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodNetwork {
    /// A bridge and one network namespace per pod. The first address of the range is the bridge's.
    Bridge {
        /// Interface name of the bridge, at most 15 bytes.
        name: String,
        /// The node's podCIDR.
        cidr: Ipv4Net,
    },
    /// Addresses out of 127.0.0.0/8 in the host's own network namespace: the unprivileged mode.
    Loopback {
        /// The node's podCIDR, inside 127.0.0.0/8.
        cidr: Ipv4Net,
    },
}

impl PodNetwork {
    /// The range pod addresses are taken from.
    pub fn cidr(&self) -> Ipv4Net {
        match self {
            Self::Bridge { cidr, .. } | Self::Loopback { cidr } => *cidr,
        }
    }
}

/// PEM texts of the kubelet endpoint's TLS. Callers must present a certificate signed by `client_ca_pem`.
#[derive(Clone)]
pub struct ServingTls {
    /// Certificate chain, leaf first.
    pub certificate_pem: String,
    /// Private key of the leaf.
    pub key_pem: String,
    /// The cluster CA.
    pub client_ca_pem: String,
}

impl ServingTls {
    /// TLS that stays as it is while the agent runs.
    #[must_use]
    pub fn for_good(self) -> watch::Receiver<Self> {
        watch::channel(self).1
    }
}

impl std::fmt::Debug for ServingTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServingTls").finish_non_exhaustive()
    }
}

/// Overrides of what the host has. `None` means: what the kernel reports.
#[derive(Debug, Clone, Default)]
pub struct Capacity {
    /// CPU in thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Pods; 110 if not set, as with the kubelet.
    pub pods: Option<u32>,
}
