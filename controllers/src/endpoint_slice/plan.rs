//! Which slices a Service should have. Pure.
//!
//! Endpoints with the same resolved ports go into the same slices, at most 100 in one. Slices are
//! changed as little as possible, because every proxy on every node receives each changed slice:
//! an endpoint stays where it is, new ones fill slices that change anyway or have room, and only
//! the rest gets new slices.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::{owner, pod as pods};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::hints;

/// Label that names the Service of a slice.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that names who maintains a slice.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Its value for slices maintained here.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Label of slices and Endpoints of headless Services.
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";

/// Endpoints per slice, as in Kubernetes.
const SLICE_SIZE: usize = 100;

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Create(EndpointSlice),
    Update(EndpointSlice),
    Delete(Arc<EndpointSlice>),
}

/// Whether the Service's endpoints are computed from a selector.
pub(super) fn is_managed(service: &Service) -> bool {
    let Some(spec) = &service.spec else { return false };
    spec.type_.as_deref() != Some("ExternalName")
        && spec.selector.as_ref().is_some_and(|selector| !selector.is_empty())
}

/// Whether the Service's selector matches the pod.
pub(super) fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(k, v)| pod.labels().get(k) == Some(v))
    })
}

/// Whether a slice is one of those maintained here for the Service.
pub(super) fn belongs(slice: &EndpointSlice, service: &str) -> bool {
    let label = |name: &str| slice.labels().get(name).map(String::as_str);
    label(SERVICE_NAME) == Some(service) && label(MANAGED_BY) == Some(MANAGER)
}

/// Whether the difference between two states of a pod can change any endpoint.
pub(super) fn matters(before: &Pod, now: &Pod) -> bool {
    let seen = |pod: &Pod| {
        (
            addresses(pod),
            pods::is_ready(pod),
            pods::is_finished(pod),
            pods::is_terminating(pod),
            pod.labels().clone(),
            pods::node_name(pod).map(str::to_owned),
            pod.uid(),
        )
    };
    seen(before) != seen(now) || before.spec != now.spec
}

/// The pod's addresses, if it may be an endpoint at all.
fn addresses(pod: &Pod) -> Vec<String> {
    if pods::is_finished(pod) {
        return Vec::new();
    }
    let Some(status) = &pod.status else { return Vec::new() };
    let mut ips: Vec<String> = status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
    if ips.is_empty() {
        ips.extend(status.pod_ip.clone());
    }
    ips.retain(|ip| !ip.is_empty());
    ips
}

/// The pod's address in a family.
pub(super) fn address(pod: &Pod, family: &str) -> Option<String> {
    addresses(pod).into_iter().find(|ip| ip.contains(':') == (family == "IPv6"))
}

/// The address families of the Service (`IPv4`, `IPv6`).
fn families(service: &Service) -> Vec<String> {
    let stated = service.spec.as_ref().and_then(|s| s.ip_families.clone()).unwrap_or_default();
    if !stated.is_empty() {
        return stated;
    }
    let cluster_ip = service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()).unwrap_or("");
    vec![if cluster_ip.contains(':') { "IPv6" } else { "IPv4" }.to_owned()]
}

/// Whether the Service has `clusterIP: None`.
pub(super) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None")
}

/// The number behind a Service port on a pod. None: the pod has no port of that name.
pub(super) fn resolve(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(target) => pods::target_port(pod, target, protocol),
    }
}

/// Whether not being ready is no reason to keep a pod out.
pub(super) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false)
}

/// The pod's hostname, if it belongs into the Service's DNS.
pub(super) fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let in_service = spec.subdomain.as_deref() == Some(service.name_any().as_str());
    spec.hostname.clone().filter(|hostname| in_service && !hostname.is_empty())
}

/// What an endpoint's `targetRef` says.
pub(super) fn target_ref(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.namespace(),
        name: Some(pod.name_any()),
        uid: pod.uid(),
        ..ObjectReference::default()
    }
}

/// Ports in a form that can be a key: (name, port, protocol, appProtocol), sorted.
type Ports = Vec<(String, i32, String, Option<String>)>;

fn ports_of(service: &Service, pod: &Pod) -> Ports {
    let stated = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    let mut ports: Ports = stated
        .into_iter()
        .flatten()
        .filter_map(|port| {
            Some((
                port.name.clone().unwrap_or_default(),
                resolve(pod, port)?,
                port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port.app_protocol.clone(),
            ))
        })
        .collect();
    ports.sort();
    ports
}

fn ports_in(slice: &EndpointSlice) -> Ports {
    let mut ports: Ports = slice
        .ports
        .iter()
        .flatten()
        .map(|port| {
            (
                port.name.clone().unwrap_or_default(),
                port.port.unwrap_or_default(),
                port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port.app_protocol.clone(),
            )
        })
        .collect();
    ports.sort();
    ports
}

fn endpoint(service: &Service, pod: &Pod, address: String, zone: Option<String>) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = pods::is_terminating(pod);
    let ready = publishes_not_ready(service) || (serving && !terminating);
    let node = pods::node_name(pod);
    Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(pod, service),
        hints: if ready { hints::near(service, zone.as_deref(), node) } else { None },
        node_name: node.map(str::to_owned),
        target_ref: Some(target_ref(pod)),
        zone,
        ..Endpoint::default()
    }
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true)
}

/// What makes two endpoints the same one in different states.
fn identity(endpoint: &Endpoint) -> (Vec<String>, Option<String>) {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    (endpoint.addresses.clone(), uid)
}

/// The writes that bring the Service's slices up to date. `pods` are those it selects, `slices` those
/// that [`belongs`] to it, `zone` the zone of a node. `share` is shown the ready endpoints of each
/// address family before they are put into slices, to give them hints.
pub(super) fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    slices: &[Arc<EndpointSlice>],
    zone: impl Fn(&str) -> Option<String>,
    mut share: impl FnMut(&str, Vec<&mut Endpoint>),
) -> Vec<Change> {
    let families = families(service);
    let mut changes = Vec::new();
    for slice in slices.iter().filter(|slice| !families.contains(&slice.address_type)) {
        changes.push(Change::Delete(slice.clone()));
    }
    for family in &families {
        let mut wanted: BTreeMap<Ports, Vec<Endpoint>> = BTreeMap::new();
        for pod in pods {
            let Some(address) = address(pod, family) else { continue };
            let zone = pods::node_name(pod).and_then(&zone);
            let endpoint = endpoint(service, pod, address, zone);
            wanted.entry(ports_of(service, pod)).or_default().push(endpoint);
        }
        let ready = wanted.values_mut().flatten().filter(|endpoint| is_ready(endpoint));
        share(family, ready.collect());
        if wanted.is_empty() {
            // A Service without endpoints has one empty slice, so that "none" is said.
            wanted.insert(Ports::new(), Vec::new());
        }
        let mut current: BTreeMap<Ports, Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in slices.iter().filter(|slice| slice.address_type == *family) {
            current.entry(ports_in(slice)).or_default().push(slice);
        }
        let mut spare = Vec::new();
        for (ports, slices) in &current {
            if !wanted.contains_key(ports) {
                spare.extend(slices.iter().copied());
            }
        }
        for (ports, endpoints) in wanted {
            let own = current.remove(&ports).unwrap_or_default();
            pack(service, family, &ports, endpoints, &own, &mut spare, &mut changes);
        }
        changes.extend(spare.into_iter().map(|slice| Change::Delete(slice.clone())));
    }
    changes
}

/// Distributes the endpoints of one set of ports over its slices.
fn pack(
    service: &Service,
    family: &str,
    ports: &Ports,
    endpoints: Vec<Endpoint>,
    slices: &[&Arc<EndpointSlice>],
    spare: &mut Vec<&Arc<EndpointSlice>>,
    changes: &mut Vec<Change>,
) {
    let mut missing: HashMap<_, Endpoint> =
        endpoints.iter().map(|endpoint| (identity(endpoint), endpoint.clone())).collect();
    let mut kept: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::new();
    for slice in slices {
        let stays = slice.endpoints.iter().flatten();
        let stays = stays.filter_map(|endpoint| missing.remove(&identity(endpoint))).collect();
        kept.push(((*slice).clone(), stays));
    }
    // In the order of the pods, not of the map.
    let mut missing: Vec<Endpoint> =
        endpoints.into_iter().filter(|e| missing.contains_key(&identity(e))).collect();
    let changed = |slice: &EndpointSlice, stays: &[Endpoint]| {
        slice.endpoints.as_deref().unwrap_or_default() != stays
    };
    // First slices that change anyway, then the fullest that has room for all, then the others.
    let mut order: Vec<usize> = (0..kept.len()).collect();
    order.sort_by_key(|at| {
        let (slice, stays) = &kept[*at];
        let fits = stays.len() + missing.len() <= SLICE_SIZE;
        (!changed(slice, stays), !fits, std::cmp::Reverse(stays.len()))
    });
    for at in order {
        let room = SLICE_SIZE - kept[at].1.len().min(SLICE_SIZE);
        let take = room.min(missing.len());
        kept[at].1.extend(missing.drain(..take));
    }
    let total: usize = kept.iter().map(|(_, stays)| stays.len()).sum::<usize>() + missing.len();
    let mut keeps_empty = total == 0;
    for (slice, stays) in kept {
        // Emptied slices go, except one if there is nothing else to say.
        if stays.is_empty() && !std::mem::take(&mut keeps_empty) {
            changes.push(Change::Delete(slice));
        } else {
            let updated = shape(service, family, ports, stays, Some(&slice));
            if updated != *slice {
                changes.push(Change::Update(updated));
            }
        }
    }
    while !missing.is_empty() || std::mem::take(&mut keeps_empty) {
        let rest = missing.split_off(missing.len().min(SLICE_SIZE));
        let chunk = std::mem::replace(&mut missing, rest);
        // A slice with other ports that nobody needs any more is taken over.
        changes.push(match spare.pop() {
            Some(slice) => Change::Update(shape(service, family, ports, chunk, Some(slice))),
            None => Change::Create(shape(service, family, ports, chunk, None)),
        });
    }
}

/// A slice with these contents; labels, owner and the rest as they should be.
fn shape(
    service: &Service,
    family: &str,
    ports: &Ports,
    endpoints: Vec<Endpoint>,
    from: Option<&EndpointSlice>,
) -> EndpointSlice {
    let mut labels = super::copied_labels(service);
    labels.insert(SERVICE_NAME.to_owned(), service.name_any());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let mut metadata = from.map_or_else(
        || ObjectMeta {
            generate_name: Some(format!("{}-", service.name_any())),
            namespace: service.namespace(),
            ..ObjectMeta::default()
        },
        |slice| slice.metadata.clone(),
    );
    metadata.labels = Some(labels);
    metadata.owner_references = Some(vec![owner_reference(service)]);
    let ports = ports.iter().map(|(name, port, protocol, app_protocol)| EndpointPort {
        name: Some(name.clone()),
        port: Some(*port),
        protocol: Some(protocol.clone()),
        app_protocol: app_protocol.clone(),
    });
    let ports: Vec<EndpointPort> = ports.collect();
    // "none" and "empty" are the same to the API; keep what is there, so that equal is equal.
    let keep = |was_none: bool, empty: bool| from.is_some() && was_none && empty;
    EndpointSlice {
        address_type: family.to_owned(),
        endpoints: (!keep(from.is_none_or(|f| f.endpoints.is_none()), endpoints.is_empty()))
            .then_some(endpoints),
        ports: (!keep(from.is_none_or(|f| f.ports.is_none()), ports.is_empty())).then_some(ports),
        metadata,
    }
}

fn owner_reference(service: &Service) -> OwnerReference {
    let uid = service.uid().unwrap_or_default();
    owner::controller_reference("v1", "Service", &service.name_any(), &uid)
}

#[cfg(test)]
mod tests;
