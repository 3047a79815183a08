//! Node. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateNode).

use std::collections::HashSet;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::core::resource_name;
use super::{Strategy, keep_field, set_default, typed};
use crate::field::{Errors, FieldError, Path, go_quote};
use crate::names;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// Bytes of the name of a feature.
const FEATURE_LENGTH: usize = 253;
const NOT_READY: &str = "node.kubernetes.io/not-ready";

#[derive(Debug)]
pub(crate) struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        keep_in_step(&mut object["spec"]);
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

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut told = Vec::new();
        if !object["spec"]["configSource"].is_null() {
            told.push("spec.configSource: the feature is removed".to_owned());
        }
        if object["spec"]["externalID"].as_str().is_some_and(|id| !id.is_empty()) {
            let message = "spec.externalID: this field is deprecated, and is unused by Kubernetes";
            told.push(message.to_owned());
        }
        told
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = validate_taints(object);
        errors.extend(self.validate_status_update(object, object));
        errors.extend(validate_ranges(&object["spec"]["podCIDRs"]));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate_status_update(new, old);
        let (path, had, has) = (Path::new("spec"), &old["spec"], &new["spec"]);
        let ranges = had["podCIDRs"].as_array().is_some_and(|ranges| !ranges.is_empty());
        if ranges && had["podCIDRs"] != has["podCIDRs"] {
            let detail = "node updates may not change podCIDR except from \"\" to valid";
            errors.push(FieldError::forbidden(&path.child("podCIDRs"), detail));
        } else {
            errors.extend(validate_ranges(&has["podCIDRs"]));
        }
        let id = had["providerID"].as_str().is_some_and(|id| !id.is_empty());
        if id && had["providerID"] != has["providerID"] {
            let detail = "node updates may not change providerID except from \"\" to valid";
            errors.push(FieldError::forbidden(&path.child("providerID"), detail));
        }
        errors.extend(validate_config_source(&has["configSource"], &path.child("configSource")));
        errors.extend(validate_taints(new));
        if had["externalID"].as_str().unwrap_or_default()
            != has["externalID"].as_str().unwrap_or_default()
        {
            let path = path.child("externalID");
            errors.push(FieldError::forbidden(&path, "may not be updated"));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let mut errors = Errors::new();
        let (status, path) = (&new["status"], Path::new("status"));
        for list in ["capacity", "allocatable"] {
            for (name, amount) in status[list].as_object().into_iter().flatten() {
                let path = path.child(list).child(name);
                errors.extend(resource_name::validate_amount(name, amount, &path));
            }
        }
        errors.extend(validate_features(&status["declaredFeatures"]));
        let addresses = status["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut seen = HashSet::new();
        for (n, address) in addresses.iter().enumerate() {
            if !seen.insert(address) {
                let shown = json!({"Address": address["address"], "Type": address["type"]});
                let path = path.child("addresses").index(n);
                errors.push(FieldError::duplicate(&path, shown));
            }
        }
        errors
    }
}

/// The first range of a node has a field of its own, which is older. Where both are given and differ,
/// the older one counts.
/// Source: k8s.io/kubernetes/pkg/apis/core/v1/conversion.go (NodeSpec).
fn keep_in_step(spec: &mut Value) {
    let first = spec["podCIDRs"].get(0).and_then(Value::as_str).unwrap_or_default().to_owned();
    match spec["podCIDR"].as_str().filter(|range| !range.is_empty()) {
        Some(range) if range != first => spec["podCIDRs"] = json!([range]),
        None if !first.is_empty() => spec["podCIDR"] = first.into(),
        _ => {}
    }
}

/// The ranges of addresses for the pods of a node: at most one of each family.
fn validate_ranges(ranges: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec").child("podCIDRs");
    let texts: Vec<&str> =
        ranges.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut parsed: Vec<IpNet> = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(range) => parsed.push(range),
            Err(_) => {
                let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                errors.push(FieldError::invalid(&path.index(n), *text, detail));
            }
        }
    }
    let both = matches!(parsed[..], [IpNet::V4(_), IpNet::V6(_)] | [IpNet::V6(_), IpNet::V4(_)]);
    if texts.len() > 1 && !both && errors.is_empty() {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(&path, ranges.clone(), detail));
    }
    errors
}

/// What a node says it can do beyond what all nodes can: names in order, each once.
fn validate_features(features: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status").child("declaredFeatures");
    let names: Vec<&str> =
        features.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (n, name) in names.iter().enumerate() {
        let shown = go_quote(name);
        let detail = if name.len() > FEATURE_LENGTH {
            format!(
                "invalid feature name {shown}: must be no more than {FEATURE_LENGTH} characters"
            )
        } else if !is_feature(name) {
            format!(
                "invalid feature name {shown}: must start with an UpperCamelCase segment, with subsequent \
                 segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only \
                 alphanumeric characters and slashes"
            )
        } else {
            continue;
        };
        errors.push(FieldError::invalid(&path.index(n), *name, &detail));
    }
    for (n, pair) in names.windows(2).enumerate() {
        let path = path.index(n + 1);
        if pair[0] == pair[1] {
            errors.push(FieldError::duplicate(&path, pair[1]));
        } else if pair[0] > pair[1] {
            let detail = "list must be sorted alphabetically";
            errors.push(FieldError::invalid(&path, pair[1], detail));
        }
    }
    errors
}

fn is_feature(name: &str) -> bool {
    let words = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    name.starts_with(|first: char| first.is_ascii_uppercase()) && name.split('/').all(words)
}

/// Where a node's configuration once came from.
fn validate_config_source(source: &Value, path: &Path) -> Errors {
    if source.is_null() {
        return Errors::new();
    }
    let (map, at) = (&source["configMap"], path.child("configMap"));
    if map.is_null() {
        let detail = "exactly one reference subfield must be non-nil";
        return vec![FieldError::invalid(path, source.clone(), detail)];
    }
    let text = |field: &str| map[field].as_str().unwrap_or_default();
    let mut errors = Errors::new();
    for field in ["uid", "resourceVersion"] {
        if !text(field).is_empty() {
            let detail = format!("{field} must not be set in spec");
            errors.push(FieldError::forbidden(&at.child(field), &detail));
        }
    }
    type Rule = fn(&str) -> Vec<String>;
    for (field, rule) in [
        ("namespace", names::dns1123_label as Rule),
        ("name", names::dns1123_subdomain),
        ("kubeletConfigKey", names::config_key),
    ] {
        let at = at.child(field);
        if text(field).is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            errors.extend(FieldError::invalid_each(&at, text(field), &rule(text(field))));
        }
    }
    errors
}

/// Checks the taints of a node, which Kubernetes takes for metadata when it speaks of them.
fn validate_taints(object: &Value) -> Errors {
    let taints: Vec<core::Taint> = match &object["spec"]["taints"] {
        Value::Null => return Errors::new(),
        taints => match typed(taints) {
            Ok(taints) => taints,
            Err(errors) => return errors,
        },
    };
    let mut errors = Errors::new();
    let mut seen = HashSet::new();
    for (n, taint) in taints.iter().enumerate() {
        let path = Path::new("metadata").child("taints").index(n);
        errors.extend(validate_taint(taint, &path));
        if !seen.insert((&taint.key, &taint.effect)) {
            let mut shown =
                json!({"Key": taint.key, "Value": taint.value.as_deref().unwrap_or("")});
            shown["Effect"] = taint.effect.as_str().into();
            shown["TimeAdded"] = json!(taint.time_added);
            let mut error = FieldError::duplicate(&path, shown);
            error.message.push_str(": taints must be unique by key and effect pair");
            errors.push(error);
        }
    }
    errors
}

fn validate_taint(taint: &core::Taint, path: &Path) -> Errors {
    let key = taint.key.as_str();
    let messages = names::qualified_name(key);
    let mut errors = FieldError::invalid_each(&path.child("key"), key, &messages);
    let value = taint.value.as_deref().unwrap_or_default();
    let messages = names::label_value(value);
    if !messages.is_empty() {
        errors.push(FieldError::invalid(&path.child("value"), value, &messages.join(";")));
    }
    let path = path.child("effect");
    match taint.effect.as_str() {
        "" => errors.push(FieldError::required(&path, "")),
        effect if EFFECTS.contains(&effect) => {}
        other => errors.push(FieldError::not_supported(&path, other, EFFECTS)),
    }
    errors
}
