//! Service: defaulting and what follows from its type. Addresses and node ports are allocated by
//! the API server between preparation and storing; see [`validate`] for the rules.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go, pkg/registry/core/service.

mod families;
mod load_balancer;
#[cfg(test)]
mod tests;
mod validate;
mod warnings;

use serde_json::{Value, json};

use super::{Strategy, each, keep_field, set_default};
use crate::field::Errors;
use crate::meta::remove;
use crate::names::NameRule;

/// Seconds that a client sticks to a pod with `sessionAffinity: ClientIP`.
const AFFINITY_SECONDS: i64 = 10_800;

#[derive(Debug)]
pub(crate) struct Service;

impl Strategy for Service {
    /// Kubernetes 1.36 accepts names that begin with a digit.
    fn name_rule(&self) -> NameRule {
        NameRule::Label
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        let spec = &mut object["spec"];
        default_text(spec, "sessionAffinity", "None");
        if spec["sessionAffinity"] == "ClientIP" {
            set_default(spec, "sessionAffinityConfig", json!({}));
            set_default(&mut spec["sessionAffinityConfig"], "clientIP", json!({}));
            let client = &mut spec["sessionAffinityConfig"]["clientIP"];
            set_default(client, "timeoutSeconds", AFFINITY_SECONDS);
        } else if spec["sessionAffinity"] == "None" {
            remove(spec, "sessionAffinityConfig");
        }
        default_text(spec, "type", "ClusterIP");
        for port in each(spec, "/ports") {
            default_text(port, "protocol", "TCP");
            let target = &port["targetPort"];
            if target.is_null() || *target == 0 || *target == "" {
                port["targetPort"] = port["port"].as_i64().unwrap_or(0).into();
            }
        }
        if is_external(spec) {
            default_text(spec, "externalTrafficPolicy", "Cluster");
        }
        if has_cluster_ip(spec) {
            default_text(spec, "internalTrafficPolicy", "Cluster");
        }
        if spec["type"] == "LoadBalancer" {
            set_default(spec, "allocateLoadBalancerNodePorts", true);
        }
        let balanced = spec["type"] == "LoadBalancer";
        set_default(object, "status", json!({}));
        set_default(&mut object["status"], "loadBalancer", json!({}));
        for ingress in each(&mut object["status"]["loadBalancer"], "/ingress") {
            if balanced && !text(ingress, "ip").is_empty() {
                set_default(ingress, "ipMode", "VIP");
            }
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"loadBalancer": {}});
        let spec = &mut object["spec"];
        let ip = text(spec, "clusterIP").to_owned();
        if !ip.is_empty() && spec["clusterIPs"].is_null() {
            spec["clusterIPs"] = json!([ip]);
        }
        families::complete(spec);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
        keep_allocated(&mut new["spec"], &old["spec"]);
        sync_cluster_ips(&mut new["spec"], &old["spec"]);
        drop_left_over(&mut new["spec"], &old["spec"]);
        families::reduce(&mut new["spec"], &old["spec"]);
        families::complete(&mut new["spec"]);
    }

    fn validate(&self, object: &Value) -> Errors {
        validate::service(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = validate::unchanged(new, old);
        errors.extend(validate::service(new, Some(old)));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        load_balancer::validate_status(new, old)
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        warnings::of(object)
    }
}

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

fn default_text(map: &mut Value, field: &str, value: &str) {
    if text(map, field).is_empty() {
        map[field] = value.into();
    }
}

fn has_cluster_ip(spec: &Value) -> bool {
    matches!(text(spec, "type"), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn has_node_ports(spec: &Value) -> bool {
    matches!(text(spec, "type"), "NodePort" | "LoadBalancer")
}

/// Whether traffic reaches the service from outside the cluster.
fn is_external(spec: &Value) -> bool {
    let ips = spec["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty());
    has_node_ports(spec) || (text(spec, "type") == "ClusterIP" && ips)
}

/// Whether the load balancer asks the nodes which of them have pods.
fn needs_health_check(spec: &Value) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

/// Whether the service is told to have no address.
fn is_headless(spec: &Value) -> bool {
    text(spec, "clusterIP") == "None"
}

/// `clusterIP` and the first of `clusterIPs` are the same; a client that knows the former alone may
/// change it.
fn sync_cluster_ips(new: &mut Value, old: &Value) {
    let (new_ip, old_ip) = (text(new, "clusterIP").to_owned(), text(old, "clusterIP").to_owned());
    if new_ip == old_ip || new["clusterIPs"] != old["clusterIPs"] {
        return;
    }
    if new_ip.is_empty() {
        remove(new, "clusterIPs");
    } else {
        new["clusterIPs"] = json!([new_ip]);
    }
}

/// An update that leaves allocated values out keeps them: `kubectl replace` of a manifest works.
fn keep_allocated(new: &mut Value, old: &Value) {
    if has_cluster_ip(new) && has_cluster_ip(old) {
        if text(new, "clusterIP").is_empty() {
            keep_field(new, old, "clusterIP");
        }
        let none = new["clusterIPs"].as_array().is_none_or(Vec::is_empty);
        if none && new["clusterIP"] == old["clusterIP"] {
            keep_field(new, old, "clusterIPs");
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if new[field].is_null() {
                keep_field(new, old, field);
            }
        }
    }
    if has_node_ports(new) && has_node_ports(old) {
        keep_node_ports(new, old);
    }
    let none = new["healthCheckNodePort"].as_i64().unwrap_or(0) == 0;
    if needs_health_check(new) && needs_health_check(old) && none {
        keep_field(new, old, "healthCheckNodePort");
    }
}

/// Ports are known by their names. One that the client has given to another port stays there.
fn keep_node_ports(new: &mut Value, old: &Value) {
    let of_node = |port: &Value| port["nodePort"].as_i64().filter(|number| *number != 0);
    let had: Vec<Value> = old["ports"].as_array().cloned().unwrap_or_default();
    let given = |spec: &Value| -> Vec<i64> {
        spec["ports"].as_array().into_iter().flatten().filter_map(of_node).collect()
    };
    let mut used = given(new);
    for port in each(new, "/ports").filter(|port| of_node(port).is_none()) {
        let same = |old: &&Value| text(old, "name") == text(port, "name");
        // The last of a name counts, as in a map.
        let kept = had.iter().rev().find(same).and_then(of_node);
        if let Some(number) = kept.filter(|number| !used.contains(number)) {
            port["nodePort"] = number.into();
            used.push(number);
        }
    }
}

/// A change of type drops what the old type was given and the client did not touch.
fn drop_left_over(new: &mut Value, old: &Value) {
    if text(new, "type") == "ExternalName" && has_cluster_ip(old) {
        let same = new["clusterIP"] == old["clusterIP"] && new["clusterIPs"] == old["clusterIPs"];
        if same {
            remove(new, "clusterIP");
            remove(new, "clusterIPs");
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if new[field] == old[field] {
                remove(new, field);
            }
        }
    }
    if has_node_ports(old) && !has_node_ports(new) {
        let had: Vec<Value> =
            old["ports"].as_array().into_iter().flatten().map(|p| p["nodePort"].clone()).collect();
        for port in each(new, "/ports") {
            if had.contains(&port["nodePort"]) {
                remove(port, "nodePort");
            }
        }
    }
    let mut dropped = Vec::new();
    if needs_health_check(old) && !needs_health_check(new) {
        dropped.push("healthCheckNodePort");
    }
    if text(old, "type") == "LoadBalancer" && text(new, "type") != "LoadBalancer" {
        dropped.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if is_external(old) && !is_external(new) {
        dropped.push("externalTrafficPolicy");
    }
    for field in dropped {
        if new[field] == old[field] {
            remove(new, field);
        }
    }
}
