//! The addresses of a Service and their families, in a cluster that has IPv4 addresses alone.
//!
//! Source: ValidateServiceClusterIPsRelatedFields in k8s.io/kubernetes/pkg/apis/core/validation,
//! initIPFamilyFields in pkg/registry/core/service/storage/alloc.go.

use std::collections::HashSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::ServiceSpec;
use serde_json::{Value, json};

use super::{is_headless, set_default, text};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::address;

/// The family of all addresses that the cluster gives out.
const FAMILY: &str = "IPv4";
const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const SINGLE: &str = "SingleStack";
const REQUIRE: &str = "RequireDualStack";
const POLICIES: &[&str] = &["PreferDualStack", REQUIRE, SINGLE];

/// Fills in the families that the client leaves out: those of the given addresses, else that of the
/// cluster. What has neither an address nor pods, and so is made of addresses that somebody else
/// lists, has both.
pub(super) fn complete(spec: &mut Value) {
    if text(spec, "type") == "ExternalName" {
        return;
    }
    let alone = is_headless(spec) && is_empty(&spec["selector"]);
    set_default(spec, "ipFamilyPolicy", if alone { REQUIRE } else { SINGLE });
    let mut families = spec["ipFamilies"].as_array().cloned().unwrap_or_default();
    // An address of another family is refused as such, not for the family that would follow from it.
    let foreign = spec["clusterIPs"][0].as_str().is_some_and(is_v6);
    if families.is_empty() && !foreign {
        families.push(FAMILY.into());
    }
    if alone && families.len() == 1 && spec["ipFamilyPolicy"] != SINGLE {
        let other = FAMILIES.iter().find(|family| families[0] != **family);
        families.extend(other.map(|family| Value::from(*family)));
    }
    if !families.is_empty() {
        spec["ipFamilies"] = families.into();
    }
}

/// An update to a single family takes the second one away.
pub(super) fn reduce(new: &mut Value, old: &Value) {
    if new["ipFamilyPolicy"] != SINGLE {
        return;
    }
    for field in ["clusterIPs", "ipFamilies"] {
        if new[field] == old[field]
            && let Some(list) = new.get_mut(field).and_then(Value::as_array_mut)
        {
            list.truncate(1);
        }
    }
}

fn is_empty(map: &Value) -> bool {
    map.as_object().is_none_or(serde_json::Map::is_empty)
}

fn is_v6(ip: &str) -> bool {
    address::parse(ip).is_some_and(|ip| ip.is_ipv6())
}

/// What is wrong with addresses, families and policy of a Service that has them. `kept`: the
/// addresses that it had before.
pub(super) fn validate(spec: &ServiceSpec, kept: &[String]) -> Errors {
    let errors = validate_fields(spec, kept);
    if errors.is_empty() { validate_available(spec) } else { errors }
}

fn validate_fields(spec: &ServiceSpec, kept: &[String]) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec").child("clusterIPs");
    let ips = spec.cluster_ips.as_deref().unwrap_or_default();
    let invalid = |path: &Path, detail: &str| FieldError::invalid(path, json!(ips), detail);
    match (spec.cluster_ip.as_deref().unwrap_or_default(), ips) {
        ("", []) => {}
        ("", _) => errors.push(invalid(&path, "must be empty when `clusterIP` is not specified")),
        (_, []) => errors.push(FieldError::required(&path, "")),
        (ip, [first, ..]) if ip != first => {
            errors.push(invalid(&path, "first value must match `clusterIP`"));
        }
        _ => {}
    }
    let families = spec.ip_families.as_deref().unwrap_or_default();
    let mut seen = HashSet::new();
    for (n, family) in families.iter().map(String::as_str).enumerate() {
        let path = Path::new("spec").child("ipFamilies").index(n);
        if !FAMILIES.contains(&family) {
            errors.push(FieldError::not_supported(&path, family, FAMILIES));
        }
        if !seen.insert(family) {
            errors.push(FieldError::duplicate(&path, family));
        }
    }
    if let Some(policy) = spec.ip_family_policy.as_deref().filter(|p| !POLICIES.contains(p)) {
        let path = Path::new("spec").child("ipFamilyPolicy");
        errors.push(FieldError::not_supported(&path, policy, POLICIES));
    }
    let before = errors.len();
    for (n, ip) in ips.iter().enumerate() {
        if n == 0 && ip == "None" {
            if ips.len() > 1 {
                errors.push(invalid(&path, "'None' must be the first and only value"));
            }
        } else if !kept.contains(ip) {
            errors.extend(address::check(ip, &path.index(n)));
        }
    }
    let bad = errors.len() > before;
    if ips.len() > 2 {
        errors.push(invalid(&path, "may only hold up to 2 values"));
    }
    // What follows would say again that an address is none.
    if bad {
        return errors;
    }
    let v6 = ips.iter().filter(|ip| is_v6(ip)).count();
    if ips.len() > 1 && (v6 == 0 || v6 == ips.len()) {
        errors.push(invalid(&path, "may specify no more than one IP for each IP family"));
    }
    for (n, (ip, family)) in ips.iter().zip(families).enumerate() {
        let is = match address::parse(ip) {
            Some(IpAddr::V4(_)) => "IPv4",
            Some(IpAddr::V6(_)) => "IPv6",
            None => continue,
        };
        if FAMILIES.contains(&family.as_str()) && is != family {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{n}]`");
            errors.push(FieldError::invalid(&path.index(n), ip.as_str(), &detail));
        }
    }
    errors
}

/// What this cluster does not have.
fn validate_available(spec: &ServiceSpec) -> Errors {
    let mut errors = Errors::new();
    let at = |field: &str| Path::new("spec").child(field);
    let ips = spec.cluster_ips.as_deref().unwrap_or_default();
    let families = spec.ip_families.as_deref().unwrap_or_default();
    let policy = spec.ip_family_policy.as_deref().unwrap_or_default();
    let invalid = |detail: &str| FieldError::invalid(&at("ipFamilyPolicy"), policy, detail);
    for (count, what) in [(ips.len(), "cluster IPs"), (families.len(), "IP families")] {
        if policy == SINGLE && count == 2 {
            errors.push(invalid(&format!(
                "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            )));
        }
    }
    for n in families.len()..ips.len() {
        if is_v6(&ips[n]) {
            let path = at("clusterIPs").index(n);
            let detail = "IPv6 is not configured on this cluster";
            errors.push(FieldError::invalid(&path, json!(ips), detail));
        }
    }
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let alone = headless && spec.selector.as_ref().is_none_or(|selector| selector.is_empty());
    if !errors.is_empty() || alone {
        return errors;
    }
    if policy == REQUIRE {
        errors.push(invalid("this cluster is not configured for dual-stack services"));
    }
    for (n, family) in families.iter().enumerate().filter(|(_, family)| *family != FAMILY) {
        let detail = "not configured on this cluster";
        errors.push(FieldError::invalid(&at("ipFamilies").index(n), family.as_str(), detail));
    }
    errors
}
