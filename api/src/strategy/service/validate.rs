//! The rules of a Service. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateService).

use std::collections::HashSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{self as core, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::field::{Errors, FieldError, Path};
use crate::strategy::endpoints::{NO_IP, validate_ip, validate_protocol};
use crate::strategy::typed;
use crate::{meta, names};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(super) fn service(object: &Value) -> Errors {
    let service: core::Service = match typed(object) {
        Ok(service) => service,
        Err(errors) => return errors,
    };
    let spec = service.spec.unwrap_or_default();
    let path = Path::new("spec");
    let kind = spec.type_.as_deref().unwrap_or_default();
    let ip = spec.cluster_ip.as_deref().unwrap_or_default();
    let headless = ip == "None";
    let ports = spec.ports.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "None", &detail));
        }
        "ExternalName" => errors.extend(external_name(&spec, &path)),
        _ => {}
    }
    let mut seen = Seen { several: ports.len() > 1, ..Seen::default() };
    for (n, port) in ports.iter().enumerate() {
        errors.extend(service_port(port, &mut seen, kind, &path.child("ports").index(n)));
    }
    errors.extend(meta::validate_labels(&object["spec"]["selector"], &path.child("selector")));
    errors.extend(session_affinity(&spec, &path));
    if kind != "ExternalName" {
        errors.extend(cluster_ips(&spec, &path));
    }
    for (n, ip) in spec.external_ips.iter().flatten().enumerate() {
        errors.extend(validate_ip(ip, &path.child("externalIPs").index(n)));
    }
    match kind {
        "" => errors.push(FieldError::required(&path.child("type"), "")),
        kind if !TYPES.contains(&kind) => {
            errors.push(FieldError::not_supported(&path.child("type"), kind, TYPES));
        }
        _ => {}
    }
    for (n, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        let path = path.child("loadBalancerSourceRanges");
        if kind != "LoadBalancer" {
            errors.push(FieldError::forbidden(
                &path,
                "may only be used when `type` is 'LoadBalancer'",
            ));
            break;
        }
        if range.trim().parse::<ipnet::IpNet>().is_err() {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(FieldError::invalid(&path.index(n), range.as_str(), detail));
        }
    }
    errors.extend(traffic_policies(&spec, kind, &path));
    errors
}

/// What may not change: the address, once given, unless the service stops having one.
pub(super) fn unchanged(new: &Value, old: &Value) -> Errors {
    let (has, had) = (&new["spec"], &old["spec"]);
    let mut errors = Errors::new();
    let plain = |spec: &Value| spec["type"] != "ExternalName";
    let first = had["clusterIPs"][0].as_str().unwrap_or_default();
    if plain(has) && plain(had) && !first.is_empty() && has["clusterIPs"][0] != first {
        let path = Path::new("spec").child("clusterIPs").index(0);
        errors.push(FieldError::invalid(
            &path,
            has["clusterIPs"].clone(),
            "may not change once set",
        ));
    }
    errors
}

fn external_name(spec: &ServiceSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let detail = "may not be set for ExternalName services";
    if spec.cluster_ips.as_ref().is_some_and(|ips| !ips.is_empty()) {
        errors.push(FieldError::forbidden(&path.child("clusterIPs"), detail));
    } else if spec.cluster_ip.as_ref().is_some_and(|ip| !ip.is_empty()) {
        errors.push(FieldError::forbidden(&path.child("clusterIP"), detail));
    }
    let path = path.child("externalName");
    let name = spec.external_name.as_deref().unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else {
        let messages = names::dns1123_subdomain(name);
        errors.extend(messages.iter().map(|m| FieldError::invalid(&path, name, m)));
    }
    errors
}

/// What must be unique among the ports of a Service. (Sets: comparing each with all others takes
/// minutes for as many as fit into a request.)
#[derive(Default)]
struct Seen<'a> {
    /// Whether there are several ports, which then need names.
    several: bool,
    names: HashSet<&'a str>,
    ports: HashSet<(i32, Option<&'a str>)>,
    node_ports: HashSet<(i32, Option<&'a str>)>,
}

fn service_port<'a>(port: &'a ServicePort, seen: &mut Seen<'a>, kind: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let name = port.name.as_deref().unwrap_or_default();
    let protocol = port.protocol.as_deref();
    if name.is_empty() {
        if seen.several {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
    } else {
        let messages = names::dns1123_label(name);
        errors.extend(messages.iter().map(|m| FieldError::invalid(&path.child("name"), name, m)));
        if !seen.names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
    for message in names::port_number(i64::from(port.port)) {
        errors.push(FieldError::invalid(&path.child("port"), port.port, &message));
    }
    errors.extend(validate_protocol(port.protocol.as_deref(), &path.child("protocol")));
    match &port.target_port {
        Some(IntOrString::Int(target)) => {
            for message in names::port_number(i64::from(*target)) {
                errors.push(FieldError::invalid(&path.child("targetPort"), *target, &message));
            }
        }
        Some(IntOrString::String(target)) => {
            for message in names::port_name(target) {
                errors.push(FieldError::invalid(
                    &path.child("targetPort"),
                    target.as_str(),
                    &message,
                ));
            }
        }
        None => {}
    }
    if let Some(protocol) = &port.app_protocol {
        for message in names::qualified_name(protocol) {
            errors.push(FieldError::invalid(
                &path.child("appProtocol"),
                protocol.as_str(),
                &message,
            ));
        }
    }
    if !seen.ports.insert((port.port, protocol)) {
        errors.push(FieldError::duplicate(
            path,
            json!({"port": port.port, "protocol": port.protocol}),
        ));
    }
    let node_port = port.node_port.unwrap_or(0);
    let path = path.child("nodePort");
    if node_port != 0 && matches!(kind, "ClusterIP" | "ExternalName") {
        let detail = format!("may not be used when `type` is '{kind}'");
        errors.push(FieldError::forbidden(&path, &detail));
    } else if node_port != 0 {
        for message in names::port_number(i64::from(node_port)) {
            errors.push(FieldError::invalid(&path, node_port, &message));
        }
        if !seen.node_ports.insert((node_port, protocol)) {
            errors.push(FieldError::duplicate(&path, node_port));
        }
    }
    errors
}

fn session_affinity(spec: &ServiceSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let affinity = spec.session_affinity.as_deref().unwrap_or_default();
    match affinity {
        "None" | "ClientIP" => {}
        "" => errors.push(FieldError::required(&path.child("sessionAffinity"), "")),
        other => {
            let path = path.child("sessionAffinity");
            errors.push(FieldError::not_supported(&path, other, &["ClientIP", "None"]));
        }
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    if let Some(seconds) = config.and_then(|config| config.timeout_seconds)
        && affinity == "ClientIP"
        && !(1..=86_400).contains(&seconds)
    {
        let path = path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
        errors.push(FieldError::invalid(
            &path,
            seconds,
            "must be greater than 0 and less than 86400",
        ));
    }
    errors
}

fn cluster_ips(spec: &ServiceSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, family) in spec.ip_families.iter().flatten().enumerate() {
        if !matches!(family.as_str(), "IPv4" | "IPv6") {
            let path = path.child("ipFamilies").index(n);
            errors.push(FieldError::not_supported(&path, family.as_str(), &["IPv4", "IPv6"]));
        }
    }
    let policy = spec.ip_family_policy.as_deref().unwrap_or("SingleStack");
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    if !policies.contains(&policy) {
        errors.push(FieldError::not_supported(&path.child("ipFamilyPolicy"), policy, &policies));
    }
    let ips = spec.cluster_ips.as_deref().unwrap_or_default();
    let path = path.child("clusterIPs");
    if ips.len() > 2 {
        errors.push(FieldError::too_many(&path, ips.len(), 2));
    }
    let first = spec.cluster_ip.as_deref().unwrap_or_default();
    if ips.first().is_some_and(|ip| ip != first) {
        errors.push(FieldError::invalid(&path, json!(ips), "first value must match `clusterIP`"));
    }
    for (n, ip) in ips.iter().enumerate() {
        match ip.as_str() {
            "None" if ips.len() == 1 => {}
            "" if n == 0 => {}
            "None" => errors.push(FieldError::invalid(
                &path.index(n),
                "None",
                "'None' must be the first and only value",
            )),
            ip if ip.parse::<IpAddr>().is_err() => {
                errors.push(FieldError::invalid(&path.index(n), ip, NO_IP));
            }
            _ => {}
        }
    }
    errors
}

fn traffic_policies(spec: &ServiceSpec, kind: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let supported = ["Cluster", "Local"];
    let outside = matches!(kind, "NodePort" | "LoadBalancer")
        || spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    if let Some(policy) = spec.external_traffic_policy.as_deref() {
        let path = path.child("externalTrafficPolicy");
        if !outside {
            let detail = "may only be set for externally-accessible services";
            errors.push(FieldError::invalid(&path, policy, detail));
        } else if !supported.contains(&policy) {
            errors.push(FieldError::not_supported(&path, policy, &supported));
        }
    }
    if let Some(policy) = spec.internal_traffic_policy.as_deref().filter(|p| !supported.contains(p))
    {
        errors.push(FieldError::not_supported(
            &path.child("internalTrafficPolicy"),
            policy,
            &supported,
        ));
    }
    errors
}
