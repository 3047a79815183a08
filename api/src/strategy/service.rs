//! Service: defaulting and what follows from its type. Addresses and node ports are allocated by
//! the API server between preparation and storing; see [`validate`] for the rules.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go, pkg/registry/core/service.

mod validate;

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
        set_default(object, "status", json!({}));
        set_default(&mut object["status"], "loadBalancer", json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"loadBalancer": {}});
        let spec = &mut object["spec"];
        let ip = text(spec, "clusterIP").to_owned();
        if !ip.is_empty() && spec["clusterIPs"].is_null() {
            spec["clusterIPs"] = json!([ip]);
        }
        default_families(spec);
        drop_foreign_fields(spec);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
        sync_cluster_ips(&mut new["spec"], &old["spec"]);
        keep_allocated(&mut new["spec"], &old["spec"]);
        drop_left_over(&mut new["spec"], &old["spec"]);
        default_families(&mut new["spec"]);
        drop_foreign_fields(&mut new["spec"]);
    }

    fn validate(&self, object: &Value) -> Errors {
        validate::service(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = validate::unchanged(new, old);
        errors.extend(validate::service(new));
        errors
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

/// Clusters are single-stack; the family is that of the given address, else IPv4.
fn default_families(spec: &mut Value) {
    if !has_cluster_ip(spec) {
        return;
    }
    let v6 = spec["clusterIPs"][0].as_str().is_some_and(|ip| ip.contains(':'));
    set_default(spec, "ipFamilies", json!([if v6 { "IPv6" } else { "IPv4" }]));
    set_default(spec, "ipFamilyPolicy", "SingleStack");
}

/// What an ExternalName service cannot have.
fn drop_foreign_fields(spec: &mut Value) {
    if text(spec, "type") == "ExternalName" {
        for field in ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            remove(spec, field);
        }
    }
}

/// `clusterIP` and `clusterIPs[0]` are the same; a client may change either.
fn sync_cluster_ips(new: &mut Value, old: &Value) {
    let (new_ip, old_ip) = (text(new, "clusterIP").to_owned(), text(old, "clusterIP").to_owned());
    let same_list = new["clusterIPs"] == old["clusterIPs"];
    if new_ip != old_ip && same_list {
        if new_ip.is_empty() {
            remove(new, "clusterIPs");
        } else {
            new["clusterIPs"] = json!([new_ip]);
        }
    } else if new_ip == old_ip && !same_list {
        match new["clusterIPs"][0].as_str().map(str::to_owned) {
            Some(first) => new["clusterIP"] = first.into(),
            None if !old_ip.is_empty() && new["clusterIPs"].is_null() => {
                new["clusterIPs"] = old["clusterIPs"].clone();
            }
            None => {}
        }
    }
}

/// An update that leaves allocated values out keeps them: `kubectl replace` of a manifest works.
fn keep_allocated(new: &mut Value, old: &Value) {
    if has_cluster_ip(new) && has_cluster_ip(old) && text(new, "clusterIP").is_empty() {
        keep_field(new, old, "clusterIP");
        keep_field(new, old, "clusterIPs");
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if has_cluster_ip(new) && has_cluster_ip(old) && new[field].is_null() {
            keep_field(new, old, field);
        }
    }
    if !has_node_ports(new) || !has_node_ports(old) {
        return;
    }
    let had = old["ports"].as_array().cloned().unwrap_or_default();
    for port in each(new, "/ports") {
        if port["nodePort"].as_i64().unwrap_or(0) != 0 {
            continue;
        }
        let same = |o: &&Value| o["port"] == port["port"] && o["protocol"] == port["protocol"];
        if let Some(kept) = had.iter().find(same).map(|o| o["nodePort"].clone())
            && kept.is_i64()
        {
            port["nodePort"] = kept;
        }
    }
}

/// A change of type drops what the old type was given and the client did not touch.
fn drop_left_over(new: &mut Value, old: &Value) {
    if text(new, "type") == "ExternalName" && has_cluster_ip(old) {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
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
    if text(old, "type") == "LoadBalancer" && text(new, "type") != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if new[field] == old[field] {
                remove(new, field);
            }
        }
    }
    if is_external(old)
        && !is_external(new)
        && new["externalTrafficPolicy"] == old["externalTrafficPolicy"]
    {
        remove(new, "externalTrafficPolicy");
    }
}
