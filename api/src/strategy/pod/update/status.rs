//! What a node, a scheduler or a controller may say about a pod.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::list_of;
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::address;
use crate::strategy::pod::annotations;
use crate::strategy::pod::container::restart;
use crate::strategy::typed;

const PHASES: &[&str] = &["Pending", "Running", "Succeeded", "Failed", "Unknown"];
/// Conditions whose names are older than the rule for names.
const OLD_CONDITIONS: &[&str] = &["PodScheduled", "Ready", "Initialized"];
const NOT_NEGATIVE: &str = "must be a non-negative integer";

/// Checks an update of `/status`.
pub(in crate::strategy::pod) fn validate(new: &Value, old: &Value) -> Errors {
    let (has, had) = (&new["status"], &old["status"]);
    // The rest is the old one's.
    if let Err(errors) = typed::<Option<core::PodStatus>>(has) {
        return errors;
    }
    let path = Path::new("metadata").child("annotations");
    let mut errors = annotations::validate_update(&new["metadata"], &old["metadata"], &path);
    let path = Path::new("status");
    for (n, condition) in list_of(has, "conditions").iter().enumerate() {
        let path = path.child("conditions").index(n);
        errors.extend(generation(condition, &path));
        let kind = condition["type"].as_str().unwrap_or_default();
        if !OLD_CONDITIONS.contains(&kind) {
            let messages = names::qualified_name(kind);
            errors.extend(FieldError::invalid_each(&path.child("Type"), kind, &messages));
        }
    }
    let name = has["nominatedNodeName"].as_str().unwrap_or_default();
    if !name.is_empty() && has["nominatedNodeName"] != had["nominatedNodeName"] {
        let path = path.child("nominatedNodeName");
        errors.extend(FieldError::invalid_each(&path, name, &names::dns1123_subdomain(name)));
        if !old["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
            let detail = "may not be set on pods that are already bound to a node";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    errors.extend(generation(has, &path));
    if !had["qosClass"].is_null() && has["qosClass"] != had["qosClass"] {
        let value = has["qosClass"].clone();
        errors.push(FieldError::invalid(&path.child("qosClass"), value, "field is immutable"));
    }
    let phase = has["phase"].as_str().unwrap_or_default();
    if !phase.is_empty() && !PHASES.contains(&phase) {
        errors.push(FieldError::not_supported(&path.child("phase"), phase, PHASES));
    }
    errors.extend(transitions(has, old, &path));
    errors.extend(claims(has, &new["spec"], &path.child("resourceClaimStatuses")));
    errors.extend(addresses(has, had, "podIPs", &path));
    let first = list_of(has, "hostIPs").first().and_then(|first| first["ip"].as_str());
    if let Some(first) = first.filter(|first| has["hostIP"].as_str() != Some(*first)) {
        let path = path.child("hostIPs").index(0).child("ip");
        errors.push(FieldError::invalid(&path, first, "must be equal to `hostIP`"));
    }
    errors.extend(addresses(has, had, "hostIPs", &path));
    errors
}

fn generation(object: &Value, path: &Path) -> Option<FieldError> {
    let seen = object["observedGeneration"].as_i64().filter(|seen| *seen < 0)?;
    Some(FieldError::invalid(&path.child("observedGeneration"), seen, NOT_NEGATIVE))
}

/// A container that ended for good under its policy cannot come back. An init container may: it runs
/// again in every new sandbox of its pod.
fn transitions(has: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let list = "containerStatuses";
    let revived = revived(list_of(has, list), list_of(&old["status"], list));
    if revived.is_empty() {
        return errors;
    }
    let Ok(spec) = typed::<core::PodSpec>(&old["spec"]) else { return errors };
    for (n, name, code) in revived {
        let container = spec.containers.iter().find(|container| container.name == name);
        if !container.is_some_and(|container| restart::restarts(&spec, container, code)) {
            let path = path.child(list).index(n).child("state");
            let detail = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    errors
}

/// Those that had ended and have not now: place in the old list, name, exit code.
fn revived(new: &[Value], old: &[Value]) -> Vec<(usize, String, i32)> {
    let ended = |status: &Value| status["state"]["terminated"].is_object();
    let mut revived = Vec::new();
    for (n, was) in old.iter().enumerate().filter(|(_, was)| ended(was)) {
        let now = new.iter().find(|status| status["name"] == was["name"]);
        if now.is_some_and(|now| !ended(now)) {
            let code = was["state"]["terminated"]["exitCode"].as_i64().unwrap_or(0);
            let name = was["name"].as_str().unwrap_or_default().to_owned();
            revived.push((n, name, i32::try_from(code).unwrap_or(i32::MAX)));
        }
    }
    revived
}

/// Which claims were made for the pod.
fn claims(status: &Value, spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, claim) in list_of(status, "resourceClaimStatuses").iter().enumerate() {
        let (name, at) = (claim["name"].as_str().unwrap_or_default(), path.index(n));
        if !list_of(spec, "resourceClaims").iter().any(|known| known["name"] == name) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(&at.child("name"), name, detail));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        if let Some(made) = claim["resourceClaimName"].as_str() {
            let messages = names::dns1123_subdomain(made);
            errors.extend(FieldError::invalid_each(
                &at.child("resourceClaimName"),
                made,
                &messages,
            ));
        }
    }
    errors
}

/// Addresses of a pod or its host: at most one of each family. What was there may stay as it is.
fn addresses(has: &Value, had: &Value, field: &str, path: &Path) -> Errors {
    let (list, path) = (list_of(has, field), path.child(field));
    let text = |ip: &Value| ip["ip"].as_str().unwrap_or_default().to_owned();
    let known: Vec<String> = list_of(had, field).iter().map(text).collect();
    let mut errors = Errors::new();
    for (n, ip) in list.iter().map(text).enumerate().filter(|(_, ip)| !known.contains(ip)) {
        errors.extend(address::check(&ip, &path.index(n)));
    }
    let parsed: Vec<IpAddr> = list.iter().filter_map(|ip| text(ip).parse().ok()).collect();
    let both = matches!(parsed[..], [one, other] if one.is_ipv4() != other.is_ipv4());
    if list.len() > 1 && !both {
        let detail = "may specify no more than one IP for each IP family";
        let shown: Vec<Value> = list.iter().map(|ip| json!({"IP": text(ip)})).collect();
        errors.push(FieldError::invalid(&path, shown, detail));
    }
    errors
}
