//! What all pods of the node share.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::reflector::Store;
use runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::allocation::Ledger;
use crate::config::Config;
use crate::event::Recorder;
use crate::network::Addresses;
use crate::node::Report;
use crate::sources::Sources;
use crate::stats::Summaries;
use crate::tokens::Tokens;
use crate::translate::field::Placement;
use crate::translate::resolv::Resolv;
use crate::volume::PodDir;

/// Handles and facts that every pod's worker uses.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) runtime: Runtime,
    pub(crate) client: kube::Client,
    pub(crate) events: Recorder,
    pub(crate) sources: Sources,
    pub(crate) tokens: Tokens,
    pub(crate) services: Store<Service>,
    pub(crate) addresses: Addresses,
    pub(crate) ledger: Ledger,
    pub(crate) report: Report,
    pub(crate) summaries: Summaries,
    /// The host's own `/etc/resolv.conf` and `/etc/hosts`, read at start.
    pub(crate) host_resolv: Resolv,
    pub(crate) host_hosts: String,
    pub(crate) tracker: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Context {
    /// Where the pod's volumes are.
    pub(crate) fn pod_dir(&self, uid: &str) -> PodDir {
        PodDir::new(&self.config.data_dir, uid)
    }

    /// Where the pod's logs are: `<container>/<attempt>.log` below.
    pub(crate) fn log_dir(&self, pod: &Pod) -> PathBuf {
        log_dir(&self.config.data_dir, pod)
    }

    /// What a pod with this address may know about its place.
    pub(crate) fn placement(&self, pod_ip: std::net::IpAddr) -> Placement {
        Placement {
            pod_ip,
            host_ip: self.config.node_ip,
            node_cpu_millis: self.report.cpu_millis(&self.config),
            node_memory: self.report.memory_bytes(&self.config),
        }
    }

    /// Every Service of the cluster that is known now.
    pub(crate) fn services(&self) -> Vec<Arc<Service>> {
        self.services.state()
    }
}

/// `<data dir>/logs/<namespace>_<name>_<uid>`, as the kubelet names it below /var/log/pods.
pub(crate) fn log_dir(data_dir: &std::path::Path, pod: &Pod) -> PathBuf {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let meta = &pod.metadata;
    data_dir.join("logs").join(format!(
        "{}_{}_{}",
        part(&meta.namespace),
        part(&meta.name),
        part(&meta.uid)
    ))
}
