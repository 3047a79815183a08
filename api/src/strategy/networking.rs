//! Ingresses, network policies, service networks.

mod ingress;
mod ingress_class;
mod ip_address;
mod network_policy;
mod service_cidr;
#[cfg(test)]
mod tests;

use ipnet::IpNet;
use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;

pub(crate) use ingress::Ingress;
pub(crate) use ingress_class::IngressClass;
pub(crate) use ip_address::IpAddress;
pub(crate) use network_policy::NetworkPolicy;
pub(crate) use service_cidr::ServiceCidr;

const NO_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

/// A field that must be given and be a path segment.
fn required_segment(map: &Value, field: &str, path: &Path) -> Errors {
    let (value, path) = (text(map, field), path.child(field));
    if value.is_empty() {
        return vec![FieldError::required(&path, "")];
    }
    FieldError::invalid_each(&path, value, &names::path_segment(value))
}

/// A reference to an object of some API group: `apiGroup`, `kind`, `name`.
fn validate_reference(reference: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(group) = reference["apiGroup"].as_str() {
        let messages = names::dns1123_subdomain(group);
        errors.extend(FieldError::invalid_each(&path.child("apiGroup"), group, &messages));
    }
    errors.extend(required_segment(reference, "kind", path));
    errors.extend(required_segment(reference, "name", path));
    errors
}

fn parse_cidr(text: &str, path: &Path) -> Result<IpNet, FieldError> {
    text.parse().map_err(|_| FieldError::invalid(path, text, NO_CIDR))
}
