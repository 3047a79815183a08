//! Endpoints. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateEndpoints).

use k8s_openapi::api::core::v1 as core;
use serde_json::Value;

use super::{Strategy, address, each, set_default, typed, warnings};
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// The label that says who makes the object, and whose addresses need no second look.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpoint-controller";

#[derive(Debug)]
pub(crate) struct Endpoints;

impl Strategy for Endpoints {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        for subset in each(object, "/subsets") {
            for port in each(subset, "/ports") {
                set_default(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let endpoints: core::Endpoints = match typed(object) {
            Ok(endpoints) => endpoints,
            Err(errors) => return errors,
        };
        let mut errors = Errors::new();
        for (n, subset) in endpoints.subsets.iter().flatten().enumerate() {
            let path = Path::new("subsets").index(n);
            let (ready, unready) =
                (subset.addresses.iter().flatten(), subset.not_ready_addresses.iter().flatten());
            if ready.clone().next().is_none() && unready.clone().next().is_none() {
                errors.push(FieldError::required(
                    &path,
                    "must specify `addresses` or `notReadyAddresses`",
                ));
            }
            for (field, list) in [("addresses", ready), ("notReadyAddresses", unready)] {
                for (n, address) in list.enumerate() {
                    errors.extend(validate_address(address, &path.child(field).index(n)));
                }
            }
            let ports = subset.ports.as_deref().unwrap_or_default();
            for (n, port) in ports.iter().enumerate() {
                errors.extend(validate_port(port, ports.len() > 1, &path.child("ports").index(n)));
            }
        }
        errors
    }

    /// What was taken once stays good: only who changes the subsets is told what is wrong with them.
    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        if new["subsets"] == old["subsets"] { Errors::new() } else { self.validate(new) }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        if object["metadata"]["labels"][MANAGED_BY] == CONTROLLER {
            return Vec::new();
        }
        addresses(object).filter_map(|(ip, path)| warnings::of_address(ip, &path)).collect()
    }
}

/// The addresses of an Endpoints object, each with its path.
fn addresses(object: &Value) -> impl Iterator<Item = (&str, Path)> {
    let subsets = object["subsets"].as_array().into_iter().flatten().enumerate();
    subsets.flat_map(|(n, subset)| {
        ["addresses", "notReadyAddresses"].into_iter().flat_map(move |field| {
            let list = subset[field].as_array().into_iter().flatten().enumerate();
            list.filter_map(move |(m, address)| {
                let path = Path::new("subsets").index(n).child(field).index(m).child("ip");
                Some((address["ip"].as_str()?, path))
            })
        })
    })
}

/// The addresses of an Endpoints or EndpointSlice object that are on the loopback interface. They
/// are refused where pods have others; which is known to the server, not to the strategies.
#[must_use]
pub fn loopback_addresses(object: &Value) -> Errors {
    let slices = object["endpoints"].as_array().into_iter().flatten().enumerate();
    let in_slice = slices.flat_map(|(n, endpoint)| {
        let list = endpoint["addresses"].as_array().into_iter().flatten().enumerate();
        list.filter_map(move |(m, address)| {
            let path = Path::new("endpoints").index(n).child("addresses").index(m);
            Some((address.as_str()?, path))
        })
    });
    let all = addresses(object).chain(in_slice);
    all.filter_map(|(ip, path)| address::on_loopback(ip, &path)).collect()
}

fn validate_address(address: &core::EndpointAddress, path: &Path) -> Errors {
    let ip = path.child("ip");
    let mut errors = Errors::from_iter(address::check(&address.ip, &ip));
    if let Some(hostname) = address.hostname.as_deref().filter(|hostname| !hostname.is_empty()) {
        let messages = names::dns1123_label(hostname);
        errors.extend(FieldError::invalid_each(&path.child("hostname"), hostname, &messages));
    }
    if let Some(node) = &address.node_name {
        let messages = names::dns1123_subdomain(node);
        errors.extend(FieldError::invalid_each(&path.child("nodeName"), node, &messages));
    }
    errors.extend(address::check_receiver(&address.ip, &ip));
    errors
}

fn validate_port(port: &core::EndpointPort, needs_name: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let name = port.name.as_deref().unwrap_or_default();
    if !name.is_empty() {
        let messages = names::dns1123_label(name);
        errors.extend(FieldError::invalid_each(&path.child("name"), name, &messages));
    } else if needs_name {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    for message in names::port_number(i64::from(port.port)) {
        errors.push(FieldError::invalid(&path.child("port"), port.port, &message));
    }
    errors.extend(validate_protocol(port.protocol.as_deref(), &path.child("protocol")));
    errors.extend(validate_app_protocol(port.app_protocol.as_deref(), path));
    errors
}

/// TCP, UDP or SCTP.
pub(super) fn validate_protocol(protocol: Option<&str>, path: &Path) -> Errors {
    match protocol.unwrap_or_default() {
        "TCP" | "UDP" | "SCTP" => Errors::new(),
        "" => vec![FieldError::required(path, "")],
        other => vec![FieldError::not_supported(path, other, &["SCTP", "TCP", "UDP"])],
    }
}

/// What a port speaks is a name, with a domain before it or not.
pub(super) fn validate_app_protocol(protocol: Option<&str>, port: &Path) -> Errors {
    let Some(protocol) = protocol else { return Errors::new() };
    let messages = names::qualified_name(protocol);
    FieldError::invalid_each(&port.child("appProtocol"), protocol, &messages)
}
