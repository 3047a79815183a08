//! The rules of a Service. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateService).

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{self as core, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::{families, is_external, load_balancer, needs_health_check};
use crate::field::{Errors, FieldError, Kind, Path, go_quote};
use crate::strategy::endpoints::{validate_app_protocol, validate_protocol};
use crate::strategy::{address, typed};
use crate::{meta, names};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: &[&str] = &["Cluster", "Local"];
const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
/// Seconds that a client may stick to a pod: a day.
const MAX_AFFINITY_SECONDS: i32 = 86_400;

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";

/// Checks a Service; `old` as it was before an update.
pub(super) fn service(object: &Value, old: Option<&Value>) -> Errors {
    let service: core::Service = match typed(object) {
        Ok(service) => service,
        Err(errors) => return errors,
    };
    let spec = service.spec.unwrap_or_default();
    let path = Path::new("spec");
    let kind = spec.type_.as_deref().unwrap_or_default();
    let headless = matches!(spec.cluster_ips.as_deref(), Some([ip]) if ip == "None");
    let had = |field: &str| -> Vec<String> {
        let list = old.map(|old| &old["spec"][field]).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if kind != "ExternalName" {
        // Addresses are given out before anything else is looked at.
        let errors = families::validate(&spec, &had("clusterIPs"));
        if !errors.is_empty() {
            return errors;
        }
    }
    let mut errors = topology(&object["metadata"]["annotations"]);
    let ports = spec.ports.as_deref().unwrap_or_default();
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
    let mut known = HashSet::new();
    for (n, port) in ports.iter().enumerate() {
        let path = path.child("ports").index(n);
        errors.extend(service_port(port, ports.len() > 1, &mut known, &path));
    }
    errors.extend(meta::validate_labels(&object["spec"]["selector"], &path.child("selector")));
    errors.extend(session_affinity(&spec, &path));
    let kept = had("externalIPs");
    for (n, ip) in spec.external_ips.iter().flatten().enumerate() {
        let path = path.child("externalIPs").index(n);
        match address::check(ip, &path).filter(|_| !kept.contains(ip)) {
            Some(error) => errors.push(error),
            None => {
                errors.extend(address::check_receiver(ip, &path));
                errors.extend(address::on_loopback(ip, &path));
            }
        }
    }
    match kind {
        "" => errors.push(FieldError::required(&path.child("type"), "")),
        kind if !TYPES.contains(&kind) => {
            errors.push(FieldError::not_supported(&path.child("type"), kind, TYPES));
        }
        _ => {}
    }
    errors.extend(distinct_ports(ports, kind, &path.child("ports")));
    errors.extend(load_balancer::source_ranges(object, old));
    errors.extend(load_balancer::validate(object));
    errors.extend(traffic_policies(&spec, &object["spec"], &path));
    errors
}

/// What may not change: the address, once given, unless the service stops having one; the class of a
/// load balancer; the port of its health checks.
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
    errors.extend(load_balancer::unchanged(new, old));
    let port = |spec: &Value| spec["healthCheckNodePort"].as_i64().unwrap_or(0);
    if needs_health_check(has) && needs_health_check(had) && port(has) != port(had) {
        let path = Path::new("spec").child("healthCheckNodePort");
        errors.push(FieldError::forbidden(&path, "field is immutable"));
    }
    errors
}

fn topology(annotations: &Value) -> Errors {
    let (hints, mode) = (annotations[HINTS].as_str(), annotations[MODE].as_str());
    match (hints, mode) {
        (Some(hints), Some(mode)) if hints != mode => {
            let path = Path::new("metadata").child("annotations").key(MODE);
            let detail = format!("must match annotations[{HINTS}] when both are specified");
            vec![FieldError::invalid(&path, mode, &detail)]
        }
        _ => Errors::new(),
    }
}

fn external_name(spec: &ServiceSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (field, given) in [
        ("clusterIPs", spec.cluster_ips.as_ref().is_some_and(|ips| !ips.is_empty())),
        ("ipFamilies", spec.ip_families.as_ref().is_some_and(|families| !families.is_empty())),
        ("ipFamilyPolicy", spec.ip_family_policy.is_some()),
    ] {
        if given {
            let detail = "may not be set for ExternalName services";
            errors.push(FieldError::forbidden(&path.child(field), detail));
        }
    }
    let path = path.child("externalName");
    let name = spec.external_name.as_deref().unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else {
        errors.extend(FieldError::invalid_each(&path, name, &names::dns1123_subdomain(name)));
    }
    errors
}

/// `known`: the names of the ports before it. (Sets: comparing each with all others takes minutes for
/// as many as fit into a request.)
fn service_port<'a>(
    port: &'a ServicePort,
    needs_name: bool,
    known: &mut HashSet<&'a str>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let name = port.name.as_deref().unwrap_or_default();
    if !name.is_empty() {
        let path = path.child("name");
        errors.extend(FieldError::invalid_each(&path, name, &names::dns1123_label(name)));
        if !known.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
    } else if needs_name {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    for message in names::port_number(i64::from(port.port)) {
        errors.push(FieldError::invalid(&path.child("port"), port.port, &message));
    }
    errors.extend(validate_protocol(port.protocol.as_deref(), &path.child("protocol")));
    let at = path.child("targetPort");
    match &port.target_port {
        Some(IntOrString::Int(target)) => {
            for message in names::port_number(i64::from(*target)) {
                errors.push(FieldError::invalid(&at, *target, &message));
            }
        }
        Some(IntOrString::String(target)) => {
            errors.extend(FieldError::invalid_each(&at, target, &names::port_name(target)));
        }
        None => {}
    }
    errors.extend(validate_app_protocol(port.app_protocol.as_deref(), path));
    errors
}

/// Ports are told apart by number and protocol; so are those of the node, which not every type has.
fn distinct_ports(ports: &[ServicePort], kind: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let of_node = |port: &ServicePort| port.node_port.filter(|number| *number != 0);
    let at = |n: usize| path.index(n).child("nodePort");
    if kind == "ClusterIP" {
        for (n, _) in ports.iter().enumerate().filter(|(_, port)| of_node(port).is_some()) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&at(n), detail));
        }
    }
    let mut known = HashSet::new();
    for (n, port) in ports.iter().enumerate() {
        if let Some(number) = of_node(port)
            && !known.insert((number, port.protocol.as_deref()))
        {
            errors.push(FieldError::duplicate(&at(n), number));
        }
    }
    known.clear();
    for (n, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref();
        if !known.insert((port.port, protocol)) {
            // Kubernetes shows a port as its program has it, with nothing but what is compared.
            let shown = go_quote(protocol.unwrap_or_default());
            let message = format!(
                "Duplicate value: {{\"Name\":\"\",\"Protocol\":{shown},\"AppProtocol\":null,\
                 \"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                port.port
            );
            let field = path.index(n).to_string();
            errors.push(FieldError { kind: Kind::Duplicate, field, message });
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
        && !(1..=MAX_AFFINITY_SECONDS).contains(&seconds)
    {
        let path = path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
        let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
        errors.push(FieldError::invalid(&path, seconds, &detail));
    }
    errors
}

/// Where traffic goes. That a health check has a port is the server's business, which gives it one.
fn traffic_policies(spec: &ServiceSpec, given: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let at = path.child("externalTrafficPolicy");
    match spec.external_traffic_policy.as_deref().filter(|policy| !policy.is_empty()) {
        Some(policy) if !is_external(given) => {
            let detail = "may only be set for externally-accessible services";
            errors.push(FieldError::invalid(&at, policy, detail));
        }
        Some(policy) if !POLICIES.contains(&policy) => {
            errors.push(FieldError::not_supported(&at, policy, POLICIES));
        }
        None if is_external(given) => errors.push(FieldError::required(&at, "")),
        _ => {}
    }
    if let Some(port) = spec.health_check_node_port.filter(|port| *port != 0) {
        let at = path.child("healthCheckNodePort");
        if needs_health_check(given) {
            for message in names::port_number(i64::from(port)) {
                errors.push(FieldError::invalid(&at, port, &message));
            }
        } else {
            let detail = "may only be set when `type` is 'LoadBalancer' and \
                          `externalTrafficPolicy` is 'Local'";
            errors.push(FieldError::invalid(&at, port, detail));
        }
    }
    for (field, value, supported) in [
        ("internalTrafficPolicy", &spec.internal_traffic_policy, POLICIES),
        ("trafficDistribution", &spec.traffic_distribution, DISTRIBUTIONS),
    ] {
        if let Some(value) = value.as_deref().filter(|value| !supported.contains(value)) {
            errors.push(FieldError::not_supported(&path.child(field), value, supported));
        }
    }
    errors
}
