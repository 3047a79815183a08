//! What should be listened on, and where connections should go. Pure.

mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;

pub use self::topology::Place;
use self::topology::Reach;

/// Kubernetes' default of `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_SECONDS: i32 = 10_800;

/// Where the connections to one address and port go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `namespace/service:port`, for logs.
    pub name: String,
    /// Endpoints in a fixed order, without doubles.
    pub endpoints: Vec<SocketAddr>,
    /// A client's connections go to the same endpoint until it was silent for this long.
    pub affinity: Option<Duration>,
}

/// Everything to listen on.
pub type Table = BTreeMap<SocketAddr, Backend>;

/// The differences between two tables, in the order they are to be applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Stop listening. Established connections stay.
    pub close: Vec<SocketAddr>,
    /// Keep listening, with another backend for new connections.
    pub update: Vec<(SocketAddr, Backend)>,
    /// Start listening.
    pub open: Vec<(SocketAddr, Backend)>,
}

/// The table for these Services and slices, at `place`, for addresses within `cidr`.
///
/// Only TCP ports of Services with a cluster IP are in it. If two Services claim the same address and
/// port (which the API server prevents), the first by name wins.
#[must_use]
pub fn table<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    place: Place<'_>,
    cidr: &IpNet,
) -> Table {
    let mut by_service: BTreeMap<(String, String), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        if let Some(service) = slice.labels().get("kubernetes.io/service-name") {
            let namespace = slice.namespace().unwrap_or_default();
            by_service.entry((namespace, service.clone())).or_default().push(slice);
        }
    }
    let mut table = Table::new();
    for service in services {
        let key = (service.namespace().unwrap_or_default(), service.name_any());
        let slices = by_service.get(&key).map(Vec::as_slice).unwrap_or_default();
        for vip in vips(service, cidr) {
            for port in ports(service) {
                let Ok(number) = u16::try_from(port.port) else { continue };
                let backend = backend(service, port, vip, slices, place);
                table.entry(SocketAddr::new(vip, number)).or_insert(backend);
            }
        }
    }
    table
}

/// What leads from `current` to `wanted`.
#[must_use]
pub fn changes(current: &Table, wanted: &Table) -> Changes {
    let mut changes = Changes::default();
    changes.close.extend(current.keys().filter(|address| !wanted.contains_key(address)));
    for (address, backend) in wanted {
        match current.get(address) {
            None => changes.open.push((*address, backend.clone())),
            Some(old) if old != backend => changes.update.push((*address, backend.clone())),
            Some(_) => {}
        }
    }
    changes
}

fn vips(service: &Service, cidr: &IpNet) -> Vec<IpAddr> {
    let Some(spec) = &service.spec else { return Vec::new() };
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let all: BTreeSet<IpAddr> = spec
        .cluster_ips
        .iter()
        .flatten()
        .chain(spec.cluster_ip.as_ref())
        // `None` and "" are no addresses.
        .filter_map(|ip| ip.parse().ok())
        .filter(|ip| cidr.contains(ip))
        .collect();
    all.into_iter().collect()
}

fn ports(service: &Service) -> impl Iterator<Item = &ServicePort> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
}

fn backend(
    service: &Service,
    port: &ServicePort,
    vip: IpAddr,
    slices: &[&EndpointSlice],
    place: Place<'_>,
) -> Backend {
    let name = port.name.as_deref().unwrap_or("");
    let local =
        service.spec.as_ref().and_then(|s| s.internal_traffic_policy.as_deref()) == Some("Local");
    let family = if vip.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut found: Vec<(&Endpoint, Readiness, u16)> = Vec::new();
    for slice in slices.iter().filter(|slice| slice.address_type == family) {
        let Some(number) = port_in(slice, name) else { continue };
        let endpoints = slice.endpoints.iter().flatten();
        let here = endpoints.filter(|e| !local || e.node_name.as_deref() == Some(place.node));
        found.extend(here.map(|endpoint| (endpoint, readiness(endpoint), number)));
    }
    let ready = found.iter().filter(|(_, readiness, _)| *readiness == Readiness::Ready);
    let reach = if local {
        Reach::Cluster
    } else {
        Reach::of(ready.clone().map(|(endpoint, ..)| *endpoint), place)
    };
    let ready: BTreeSet<SocketAddr> = ready
        .filter(|(endpoint, ..)| reach.holds(endpoint, place))
        .flat_map(|(endpoint, _, number)| addresses(endpoint, *number))
        .collect();
    let last_resort = || {
        let serving = found.iter().filter(|(_, readiness, _)| *readiness == Readiness::LastResort);
        serving.flat_map(|(endpoint, _, number)| addresses(endpoint, *number)).collect()
    };
    let endpoints = if ready.is_empty() { last_resort() } else { ready };
    Backend {
        name: format!(
            "{}/{}:{}",
            service.namespace().unwrap_or_default(),
            service.name_any(),
            if name.is_empty() { port.port.to_string() } else { name.to_owned() }
        ),
        endpoints: endpoints.into_iter().collect(),
        affinity: affinity(service),
    }
}

fn addresses(endpoint: &Endpoint, port: u16) -> impl Iterator<Item = SocketAddr> {
    let addresses = endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
    addresses.map(move |address| SocketAddr::new(address, port))
}

/// The number behind a Service port's name in a slice.
fn port_in(slice: &EndpointSlice, name: &str) -> Option<u16> {
    let port = slice.ports.iter().flatten().find(|port| {
        port.name.as_deref().unwrap_or("") == name
            && port.protocol.as_deref().unwrap_or("TCP") == "TCP"
    })?;
    u16::try_from(port.port?).ok().filter(|number| *number != 0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Ready,
    /// Terminating, but still serving: better than nothing (KEP-1669).
    LastResort,
    Unfit,
}

/// Unknown (`null`) conditions count as ready and serving, as the API says.
fn readiness(endpoint: &Endpoint) -> Readiness {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    if ready {
        Readiness::Ready
    } else if conditions.serving.unwrap_or(false) && conditions.terminating.unwrap_or(false) {
        Readiness::LastResort
    } else {
        Readiness::Unfit
    }
}

fn affinity(service: &Service) -> Option<Duration> {
    let spec = service.spec.as_ref()?;
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let seconds = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref())
        .and_then(|client_ip| client_ip.timeout_seconds)
        .unwrap_or(AFFINITY_SECONDS);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests;
