//! The legacy Endpoints object of a Service. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::pod as pods;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::plan::{self, HEADLESS};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in one Endpoints object, as in Kubernetes; EndpointSlices carry them all.
const CAPACITY: usize = 1000;

/// Whether this object is maintained here.
pub(super) fn is_managed(endpoints: &Endpoints) -> bool {
    endpoints.labels().get(MANAGED_BY).map(String::as_str) == Some(MANAGER)
}

/// (name, port, protocol, appProtocol), sorted.
type Ports = Vec<(String, i32, String, Option<String>)>;

/// The Endpoints the Service should have.
pub(super) fn endpoints(service: &Service, pods: &[Arc<Pod>]) -> Endpoints {
    let publish = plan::publishes_not_ready(service);
    let mut subsets: BTreeMap<Ports, [Vec<EndpointAddress>; 2]> = BTreeMap::new();
    let mut count = 0;
    let mut pods: Vec<&Arc<Pod>> = pods.iter().collect();
    // Ready ones first: they must not be the ones cut off.
    pods.sort_by_key(|pod| (!pods::is_ready(pod), plan::address(pod, "IPv4"), pod.name_any()));
    let mut over_capacity = false;
    for pod in pods {
        let Some(ip) = plan::address(pod, "IPv4") else { continue };
        if pods::is_terminating(pod) && !publish {
            continue;
        }
        if count == CAPACITY {
            over_capacity = true;
            break;
        }
        count += 1;
        let address = EndpointAddress {
            ip,
            hostname: plan::hostname(pod, service),
            node_name: pods::node_name(pod).map(str::to_owned),
            target_ref: Some(plan::target_ref(pod)),
        };
        let not_ready = usize::from(!(publish || pods::is_ready(pod)));
        subsets.entry(ports(service, pod)).or_default()[not_ready].push(address);
    }
    let subsets: Vec<EndpointSubset> = subsets
        .into_iter()
        // A pod without any of the named ports is no endpoint, except of a portless Service.
        .filter(|(ports, _)| !ports.is_empty() || plan::is_headless(service))
        .map(|(ports, [ready, not_ready])| subset(ports, ready, not_ready))
        .collect();
    let mut labels = super::copied_labels(service);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if plan::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let annotations =
        over_capacity.then(|| BTreeMap::from([(OVER_CAPACITY.to_owned(), "truncated".to_owned())]));
    Endpoints {
        metadata: ObjectMeta {
            name: Some(service.name_any()),
            namespace: service.namespace(),
            labels: Some(labels),
            annotations,
            ..ObjectMeta::default()
        },
        subsets: Some(subsets).filter(|subsets| !subsets.is_empty()),
    }
}

/// The update that makes `current` be as `wanted`, or none if it is.
pub(super) fn update(current: &Endpoints, wanted: Endpoints) -> Option<Endpoints> {
    let mut updated = current.clone();
    updated.metadata.labels = wanted.metadata.labels;
    let annotations = updated.metadata.annotations.get_or_insert_default();
    annotations.remove(OVER_CAPACITY);
    annotations.extend(wanted.metadata.annotations.into_iter().flatten());
    if annotations.is_empty() && current.metadata.annotations.is_none() {
        updated.metadata.annotations = None;
    }
    let empty = |e: &Option<Vec<EndpointSubset>>| e.as_ref().is_none_or(Vec::is_empty);
    if !(empty(&current.subsets) && empty(&wanted.subsets)) {
        updated.subsets = wanted.subsets;
    }
    (updated != *current).then_some(updated)
}

fn ports(service: &Service, pod: &Pod) -> Ports {
    let stated = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    let mut ports: Ports = stated
        .into_iter()
        .flatten()
        .filter_map(|port| {
            Some((
                port.name.clone().unwrap_or_default(),
                plan::resolve(pod, port)?,
                port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port.app_protocol.clone(),
            ))
        })
        .collect();
    ports.sort();
    ports
}

fn subset(
    ports: Ports,
    ready: Vec<EndpointAddress>,
    not_ready: Vec<EndpointAddress>,
) -> EndpointSubset {
    let ports: Vec<EndpointPort> = ports
        .into_iter()
        .map(|(name, port, protocol, app_protocol)| EndpointPort {
            name: Some(name).filter(|name| !name.is_empty()),
            port,
            protocol: Some(protocol),
            app_protocol,
        })
        .collect();
    let some = |addresses: Vec<EndpointAddress>| Some(addresses).filter(|a| !a.is_empty());
    EndpointSubset {
        addresses: some(ready),
        not_ready_addresses: some(not_ready),
        ports: Some(ports).filter(|ports| !ports.is_empty()),
    }
}
