//! Node. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateNode).

use std::collections::HashSet;

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::{Strategy, keep_field, set_default, typed};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::Quantity;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

#[derive(Debug)]
pub(crate) struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(object, "status", json!({}));
        let status = &mut object["status"];
        set_default(status, "daemonEndpoints", json!({}));
        set_default(&mut status["daemonEndpoints"], "kubeletEndpoint", json!({}));
        set_default(&mut status["daemonEndpoints"]["kubeletEndpoint"], "Port", 0);
        set_default(status, "nodeInfo", json!({}));
        for field in [
            "machineID",
            "systemUUID",
            "bootID",
            "kernelVersion",
            "osImage",
            "containerRuntimeVersion",
            "kubeletVersion",
            "kubeProxyVersion",
            "operatingSystem",
            "architecture",
        ] {
            set_default(&mut status["nodeInfo"], field, "");
        }
        // The node allocates what it has unless it says otherwise.
        if let Some(capacity) = status.get("capacity").cloned() {
            set_default(status, "allocatable", json!({}));
            for (name, amount) in capacity.as_object().into_iter().flatten() {
                set_default(&mut status["allocatable"], name, amount.clone());
            }
        }
    }

    /// A new node takes no pods until it has reported that it is ready.
    fn prepare_for_create(&self, object: &mut Value) {
        let mut taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        if !taints.iter().any(|t| t["key"] == NOT_READY && t["effect"] == "NoSchedule") {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        object["spec"]["taints"] = Value::Array(taints);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Errors {
        let node: core::Node = match typed(object) {
            Ok(node) => node,
            Err(errors) => return errors,
        };
        let spec = node.spec.unwrap_or_default();
        let path = Path::new("spec");
        let mut errors = Errors::new();
        let mut seen = HashSet::new();
        for (n, taint) in spec.taints.iter().flatten().enumerate() {
            errors.extend(validate_taint(taint, &path.child("taints").index(n)));
            if !seen.insert((&taint.key, &taint.effect)) {
                let path = path.child("taints").index(n);
                errors.push(FieldError::duplicate(
                    &path,
                    json!({"key": taint.key, "effect": taint.effect}),
                ));
            }
        }
        let cidrs = spec.pod_cidrs.clone().unwrap_or_default();
        for (n, cidr) in cidrs.iter().enumerate() {
            if cidr.parse::<ipnet::IpNet>().is_err() {
                let path = path.child("podCIDRs").index(n);
                errors.push(FieldError::invalid(
                    &path,
                    cidr.as_str(),
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                ));
            }
        }
        errors.extend(self.validate_status_update(object, object));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        let field =
            |object: &Value, name: &str| object["spec"].get(name).cloned().unwrap_or_default();
        for name in ["podCIDRs", "providerID"] {
            let (had, has) = (field(old, name), field(new, name));
            let empty = had.is_null() || had == "";
            if !empty && had != has {
                let path = Path::new("spec").child(name);
                let detail = "node updates may not change podCIDR except from \"\" to valid";
                let detail = if name == "podCIDRs" {
                    detail
                } else {
                    "node updates may not change providerID except from \"\" to valid"
                };
                errors.push(FieldError::forbidden(&path, detail));
            }
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let mut errors = Errors::new();
        for list in ["capacity", "allocatable"] {
            let path = Path::new("status").child(list);
            for (name, amount) in new["status"][list].as_object().into_iter().flatten() {
                let text = amount.as_str().unwrap_or_default();
                if text.parse::<Quantity>().is_ok_and(Quantity::is_negative) {
                    let detail = "must be greater than or equal to 0";
                    errors.push(FieldError::invalid(&path.key(name), text, detail));
                }
            }
        }
        let addresses =
            new["status"]["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut seen = HashSet::new();
        for (n, address) in addresses.iter().enumerate() {
            if !seen.insert(address) {
                let path = Path::new("status").child("addresses").index(n);
                errors.push(FieldError::duplicate(&path, address.clone()));
            }
        }
        errors
    }
}

fn validate_taint(taint: &core::Taint, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for message in names::qualified_name(&taint.key) {
        errors.push(FieldError::invalid(&path.child("key"), taint.key.as_str(), &message));
    }
    let value = taint.value.as_deref().unwrap_or_default();
    for message in names::label_value(value) {
        errors.push(FieldError::invalid(&path.child("value"), value, &message));
    }
    let path = path.child("effect");
    match taint.effect.as_str() {
        "NoSchedule" | "PreferNoSchedule" | "NoExecute" => {}
        "" => errors.push(FieldError::required(&path, "")),
        other => {
            let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.push(FieldError::not_supported(&path, other, &supported));
        }
    }
    errors
}
