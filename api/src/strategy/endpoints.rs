//! Endpoints. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateEndpoints).

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use serde_json::Value;

use super::{Strategy, each, set_default, typed};
use crate::field::{Errors, FieldError, Path};
use crate::names;

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
                    errors
                        .extend(validate_ip(&address.ip, &path.child(field).index(n).child("ip")));
                }
            }
            let ports = subset.ports.clone().unwrap_or_default();
            for (n, port) in ports.iter().enumerate() {
                let path = path.child("ports").index(n);
                let name = port.name.as_deref().unwrap_or_default();
                if name.is_empty() && ports.len() > 1 {
                    errors.push(FieldError::required(&path.child("name"), ""));
                } else if !name.is_empty() {
                    for message in names::dns1123_label(name) {
                        errors.push(FieldError::invalid(&path.child("name"), name, &message));
                    }
                }
                for message in names::port_number(i64::from(port.port)) {
                    errors.push(FieldError::invalid(&path.child("port"), port.port, &message));
                }
                errors.extend(validate_protocol(port.protocol.as_deref(), &path.child("protocol")));
            }
        }
        errors
    }
}

/// Kubernetes' words for what is no IP address.
pub(super) const NO_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// An address that may receive traffic: neither unspecified nor loopback nor link-local.
pub(super) fn validate_ip(text: &str, path: &Path) -> Errors {
    let invalid = |detail: &str| vec![FieldError::invalid(path, text, detail)];
    match text.parse::<IpAddr>() {
        Err(_) => invalid(NO_IP),
        Ok(ip) if ip.is_unspecified() => invalid("may not be unspecified (0.0.0.0 or ::)"),
        // Loopback is refused by Kubernetes; on hosts without network rights Wharf's pods and
        // Services live there, so it is the address of real endpoints.
        Ok(IpAddr::V4(ip)) if ip.is_link_local() => {
            invalid("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
        }
        Ok(IpAddr::V4(ip)) if ip.is_multicast() => {
            invalid("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
        }
        Ok(_) => Errors::new(),
    }
}

/// TCP, UDP or SCTP.
pub(super) fn validate_protocol(protocol: Option<&str>, path: &Path) -> Errors {
    match protocol.unwrap_or_default() {
        "TCP" | "UDP" | "SCTP" => Errors::new(),
        "" => vec![FieldError::required(path, "")],
        other => vec![FieldError::not_supported(path, other, &["SCTP", "TCP", "UDP"])],
    }
}
