//! The slices of an Endpoints object. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::workload::claim;

/// Label that names the Service of a slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that names who maintains a slice, and its value for mirrored ones.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Label of Endpoints that are not to be mirrored.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotation of Endpoints that hold a lock.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that say nothing about the slices.
const OWN: [&str; 2] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "endpoints.kubernetes.io/last-change-trigger-time",
];
/// Addresses of a subset that are mirrored at most, as in Kubernetes.
const MOST: usize = 1000;

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Create(EndpointSlice),
    Update(EndpointSlice),
    Delete(String),
}

/// Whether the Service's endpoints are computed instead of written.
pub(super) fn has_selector(service: &Service) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| !selector.is_empty())
}

/// The Service of a mirrored slice.
pub(super) fn mirrored(slice: &EndpointSlice) -> Option<&str> {
    let label = |name: &str| slice.labels().get(name).map(String::as_str);
    label(SERVICE_NAME).filter(|_| label(MANAGED_BY) == Some(MANAGER))
}

/// What has to change. `slices` are those mirrored for the object's name.
pub(super) fn plan(
    service: Option<&Service>,
    endpoints: Option<&Endpoints>,
    slices: &[Arc<EndpointSlice>],
) -> Vec<Change> {
    let meant = service.filter(|service| !has_selector(service)).and(endpoints);
    let meant = meant.filter(|endpoints| {
        endpoints.labels().get(SKIP).is_none_or(|skip| skip != "true")
            && !endpoints.annotations().contains_key(LEADER)
            && endpoints.metadata.deletion_timestamp.is_none()
    });
    let mut wanted: BTreeMap<String, EndpointSlice> = meant
        .map(|endpoints| slices_of(endpoints).into_iter().map(|s| (s.name_any(), s)).collect())
        .unwrap_or_default();
    let mut changes = Vec::new();
    for slice in slices {
        match wanted.remove(&slice.name_any()) {
            None => changes.push(Change::Delete(slice.name_any())),
            Some(want) if is_same(slice, &want) => {}
            Some(want) => {
                let mut changed = EndpointSlice::clone(slice);
                changed.metadata.labels = want.metadata.labels;
                changed.metadata.annotations = want.metadata.annotations;
                changed.endpoints = want.endpoints;
                changed.ports = want.ports;
                changes.push(Change::Update(changed));
            }
        }
    }
    changes.extend(wanted.into_values().map(Change::Create));
    changes
}

fn is_same(has: &EndpointSlice, want: &EndpointSlice) -> bool {
    has.labels() == want.labels()
        && has.annotations() == want.annotations()
        && has.endpoints == want.endpoints
        && has.ports == want.ports
}

fn slices_of(endpoints: &Endpoints) -> Vec<EndpointSlice> {
    let subsets = endpoints.subsets.iter().flatten().enumerate();
    subsets
        .flat_map(|(n, subset)| {
            ["IPv4", "IPv6"]
                .into_iter()
                .filter_map(move |family| slice(endpoints, n, subset, family))
        })
        .collect()
}

/// The addresses of one family in a subset.
fn slice(
    endpoints: &Endpoints,
    n: usize,
    subset: &EndpointSubset,
    family: &str,
) -> Option<EndpointSlice> {
    let of = |addresses: &Option<Vec<EndpointAddress>>, ready: bool| -> Vec<Endpoint> {
        let meant = addresses.iter().flatten().filter(|address| is_of(address, family));
        meant.map(|address| endpoint(address, ready)).collect()
    };
    let mut found = of(&subset.addresses, true);
    found.extend(of(&subset.not_ready_addresses, false));
    found.truncate(MOST);
    if found.is_empty() {
        return None;
    }
    let (service, mut labels) = (endpoints.name_any(), endpoints.labels().clone());
    labels.insert(SERVICE_NAME.to_owned(), service.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.annotations().clone();
    annotations.retain(|name, _| !OWN.contains(&name.as_str()));
    let ports = subset.ports.iter().flatten().map(|port| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        app_protocol: port.app_protocol.clone(),
    });
    Some(EndpointSlice {
        metadata: ObjectMeta {
            name: Some(format!("{service}-mirror-{}-{n}", family.to_ascii_lowercase())),
            namespace: endpoints.namespace(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|all| !all.is_empty()),
            owner_references: Some(vec![claim::reference(endpoints)]),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        endpoints: Some(found),
        ports: Some(ports.collect::<Vec<_>>()).filter(|ports| !ports.is_empty()),
    })
}

fn is_of(address: &EndpointAddress, family: &str) -> bool {
    match address.ip.parse() {
        Ok(IpAddr::V4(_)) => family == "IPv4",
        Ok(IpAddr::V6(_)) => family == "IPv6",
        Err(_) => false,
    }
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(selector: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": {"selector": selector}}))
            .unwrap()
    }

    fn endpoints(metadata: Value) -> Endpoints {
        let mut value = json!({"metadata": {"name": "s", "namespace": "n", "uid": "u"}, "subsets": [
            {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "notReadyAddresses": [{"ip": "10.0.0.2", "hostname": "h"}],
                "ports": [{"name": "http", "port": 80}]},
            {"addresses": [{"ip": "10.0.0.3"}], "ports": [{"port": 53, "protocol": "UDP"}]}]});
        for (field, given) in metadata.as_object().unwrap() {
            value["metadata"][field] = given.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn shown(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                Change::Create(slice) => format!("create {}", slice.name_any()),
                Change::Update(slice) => format!("update {}", slice.name_any()),
                Change::Delete(name) => format!("delete {name}"),
            })
            .collect()
    }

    #[test]
    fn each_subset_and_family_is_a_slice() {
        let annotations = json!({"annotations": {OWN[0]: "{}", "a": "b"}, "labels": {"c": "d"}});
        let changes = plan(Some(&service(json!(null))), Some(&endpoints(annotations)), &[]);
        assert_eq!(
            shown(&changes),
            ["create s-mirror-ipv4-0", "create s-mirror-ipv4-1", "create s-mirror-ipv6-0"]
        );
        let Change::Create(first) = &changes[0] else { panic!("a slice") };
        let slice = serde_json::to_value(first).unwrap();
        assert_eq!(slice["metadata"]["annotations"], json!({"a": "b"}));
        assert_eq!(
            slice["metadata"]["labels"],
            json!({"c": "d", MANAGED_BY: MANAGER, SERVICE_NAME: "s"})
        );
        assert_eq!(
            slice["endpoints"],
            json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}, "hostname": "h"}])
        );
        assert_eq!(slice["ports"], json!([{"name": "http", "port": 80, "protocol": "TCP"}]));
    }

    #[test]
    fn slices_follow_their_object() {
        let plain = service(json!(null));
        let object = endpoints(json!({}));
        let made: Vec<Arc<EndpointSlice>> = plan(Some(&plain), Some(&object), &[])
            .into_iter()
            .map(|change| match change {
                Change::Create(slice) => Arc::new(slice),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(mirrored(&made[0]), Some("s"));
        assert!(plan(Some(&plain), Some(&object), &made).is_empty());

        let mut fewer = object.clone();
        let subsets = fewer.subsets.as_mut().unwrap();
        subsets.truncate(1);
        subsets[0].not_ready_addresses = None;
        assert_eq!(
            shown(&plan(Some(&plain), Some(&fewer), &made)),
            ["update s-mirror-ipv4-0", "delete s-mirror-ipv4-1"]
        );
        let selecting = service(json!({"a": "b"}));
        let skipped = endpoints(json!({"labels": {SKIP: "true"}}));
        let lock = endpoints(json!({"annotations": {LEADER: "x"}}));
        for (service, object) in [
            (None, Some(&object)),
            (Some(&plain), None),
            (Some(&selecting), Some(&object)),
            (Some(&plain), Some(&skipped)),
            (Some(&plain), Some(&lock)),
        ] {
            assert_eq!(plan(service, object, &made).len(), 3, "all are deleted");
        }
    }
}
