//! EndpointSlice. Source: k8s.io/kubernetes/pkg/apis/discovery/validation.

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1 as discovery;
use serde_json::{Value, json};

use super::endpoints::{NO_IP, validate_ip, validate_protocol};
use super::{Strategy, each, set_default, typed};
use crate::field::{Errors, FieldError, Path};
use crate::names;

const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 100;
const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];

#[derive(Debug)]
pub(crate) struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        for port in each(object, "/ports") {
            set_default(port, "name", "");
            set_default(port, "protocol", "TCP");
        }
        set_default(object, "endpoints", json!([]));
        for endpoint in each(object, "/endpoints") {
            set_default(endpoint, "conditions", json!({}));
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let slice: discovery::EndpointSlice = match typed(object) {
            Ok(slice) => slice,
            Err(errors) => return errors,
        };
        let mut errors = Errors::new();
        let path = Path::new("addressType");
        if slice.address_type.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !ADDRESS_TYPES.contains(&slice.address_type.as_str()) {
            errors.push(FieldError::not_supported(
                &path,
                slice.address_type.as_str(),
                ADDRESS_TYPES,
            ));
        }
        let endpoints = slice.endpoints.unwrap_or_default();
        if endpoints.len() > MAX_ENDPOINTS {
            let path = Path::new("endpoints");
            errors.push(FieldError::too_many(&path, endpoints.len(), MAX_ENDPOINTS));
            return errors;
        }
        for (n, endpoint) in endpoints.iter().enumerate() {
            let path = Path::new("endpoints").index(n);
            errors.extend(validate_endpoint(endpoint, &slice.address_type, &path));
        }
        let ports = slice.ports.unwrap_or_default();
        if ports.len() > MAX_PORTS {
            errors.push(FieldError::too_many(&Path::new("ports"), ports.len(), MAX_PORTS));
            return errors;
        }
        for (n, port) in ports.iter().enumerate() {
            let path = Path::new("ports").index(n);
            let name = port.name.as_deref().unwrap_or_default();
            if !name.is_empty() {
                for message in names::dns1123_label(name) {
                    errors.push(FieldError::invalid(&path.child("name"), name, &message));
                }
            }
            if ports[..n].iter().any(|other| other.name.as_deref().unwrap_or_default() == name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            errors.extend(validate_protocol(port.protocol.as_deref(), &path.child("protocol")));
            if let Some(number) = port.port {
                for message in names::port_number(i64::from(number)) {
                    errors.push(FieldError::invalid(&path.child("port"), number, &message));
                }
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        if new["addressType"] != old["addressType"] {
            let path = Path::new("addressType");
            errors.push(FieldError::invalid(
                &path,
                new["addressType"].clone(),
                "field is immutable",
            ));
        }
        errors
    }
}

fn validate_endpoint(endpoint: &discovery::Endpoint, family: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let path_of = path.child("addresses");
    if endpoint.addresses.is_empty() {
        errors.push(FieldError::required(&path_of, "must contain at least 1 address"));
    } else if endpoint.addresses.len() > MAX_ADDRESSES {
        errors.push(FieldError::too_many(&path_of, endpoint.addresses.len(), MAX_ADDRESSES));
    }
    for (n, address) in endpoint.addresses.iter().enumerate() {
        let path = path_of.index(n);
        match family {
            "FQDN" => errors.extend(
                names::dns1123_subdomain(address)
                    .iter()
                    .map(|m| FieldError::invalid(&path, address.as_str(), m)),
            ),
            _ => {
                errors.extend(validate_ip(address, &path));
                let detail = match (family, address.parse::<IpAddr>()) {
                    ("IPv4", Ok(IpAddr::V6(_))) => "must be an IPv4 address",
                    ("IPv6", Ok(IpAddr::V4(_))) => "must be an IPv6 address",
                    ("IPv4" | "IPv6", Ok(_)) | (_, Err(_)) => continue,
                    _ => NO_IP,
                };
                errors.push(FieldError::invalid(&path, address.as_str(), detail));
            }
        }
    }
    if let Some(hostname) = endpoint.hostname.as_deref() {
        for message in names::dns1123_label(hostname) {
            errors.push(FieldError::invalid(&path.child("hostname"), hostname, &message));
        }
    }
    if let Some(node) = endpoint.node_name.as_deref() {
        for message in names::dns1123_subdomain(node) {
            errors.push(FieldError::invalid(&path.child("nodeName"), node, &message));
        }
    }
    errors
}
