//! What only a Service of type LoadBalancer has: its class, who may reach it, where it is reached.
//!
//! Source: validateLoadBalancerClassField and ValidateLoadBalancerStatus in
//! k8s.io/kubernetes/pkg/apis/core/validation.

use serde_json::Value;

use super::text;
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::address;

/// The annotation that said what `loadBalancerSourceRanges` says now.
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const IP_MODES: &[&str] = &["Proxy", "VIP"];

/// Checks the ranges from which clients may come. `old`: the Service as it was, whose ranges are
/// not looked at again.
pub(super) fn source_ranges(object: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Errors::new();
    let balanced = object["spec"]["type"] == "LoadBalancer";
    let ranges = |object: &Value| -> Vec<String> {
        let list = object["spec"]["loadBalancerSourceRanges"].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(|range| range.trim().to_owned()).collect()
    };
    let given = ranges(object);
    if !given.is_empty() {
        // The field is called so in Kubernetes' messages.
        let path = Path::new("spec").child("LoadBalancerSourceRanges");
        if !balanced {
            errors.push(FieldError::forbidden(&path, ONLY));
        }
        let kept = old.map(ranges).unwrap_or_default();
        for (n, range) in given.iter().enumerate().filter(|(_, range)| !kept.contains(range)) {
            errors.extend(address::check_network(range, &path.index(n)));
        }
        return errors;
    }
    let annotation = |object: &Value| object["metadata"]["annotations"][RANGES].clone();
    let Value::String(given) = annotation(object) else { return errors };
    let path = Path::new("metadata").child("annotations").key(RANGES);
    if !balanced {
        errors.push(FieldError::forbidden(&path, ONLY));
    }
    if !given.trim().is_empty() && old.is_none_or(|old| annotation(old) != given) {
        let ranges = given.split(',').map(str::trim);
        errors.extend(ranges.filter_map(|range| address::check_network(range, &path)));
    }
    errors
}

/// Checks what other types do not have.
pub(super) fn validate(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let balanced = spec["type"] == "LoadBalancer";
    if !balanced && !spec["allocateLoadBalancerNodePorts"].is_null() {
        errors.push(FieldError::forbidden(&path.child("allocateLoadBalancerNodePorts"), ONLY));
    }
    let path = path.child("loadBalancerClass");
    match spec["loadBalancerClass"].as_str() {
        Some(class) if balanced => {
            errors.extend(FieldError::invalid_each(&path, class, &names::qualified_name(class)));
        }
        Some(_) => errors.push(FieldError::forbidden(&path, ONLY)),
        None => {}
    }
    errors
}

/// The class stays while the type does.
pub(super) fn unchanged(new: &Value, old: &Value) -> Option<FieldError> {
    let (has, had) = (&new["spec"], &old["spec"]);
    let both = has["type"] == "LoadBalancer" && had["type"] == "LoadBalancer";
    if !both || has["loadBalancerClass"] == had["loadBalancerClass"] {
        return None;
    }
    let path = Path::new("spec").child("loadBalancerClass");
    let class = has["loadBalancerClass"].as_str().unwrap_or("null");
    Some(FieldError::invalid(&path, class, "may not change once set"))
}

/// Checks the addresses that a load balancer has been given.
pub(super) fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let list = |object: &Value| {
        object["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default()
    };
    let (has, had) = (list(new), list(old));
    if new["spec"]["type"] != "LoadBalancer" && !has.is_empty() {
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        return vec![FieldError::forbidden(&path, detail)];
    }
    for (n, ingress) in has.iter().enumerate() {
        let path = path.index(n);
        let (ip, hostname) = (text(ingress, "ip"), text(ingress, "hostname"));
        if !ip.is_empty() && had.iter().all(|had| text(had, "ip") != ip) {
            errors.extend(address::check(ip, &path.child("ip")));
        }
        let at = path.child("ipMode");
        match ingress["ipMode"].as_str() {
            None if ip.is_empty() => {}
            None => errors.push(FieldError::required(&at, "must be specified when `ip` is set")),
            Some(_) if ip.is_empty() => {
                let detail = "may not be specified when `ip` is not set";
                errors.push(FieldError::forbidden(&at, detail));
            }
            Some(mode) if !IP_MODES.contains(&mode) => {
                errors.push(FieldError::not_supported(&at, mode, IP_MODES));
            }
            Some(_) => {}
        }
        let at = path.child("hostname");
        if !hostname.is_empty() {
            let messages = names::dns1123_subdomain(hostname);
            errors.extend(FieldError::invalid_each(&at, hostname, &messages));
        }
        if address::parse(hostname).is_some() {
            let detail = "must be a DNS name, not an IP address";
            errors.push(FieldError::invalid(&at, hostname, detail));
        }
    }
    errors
}
