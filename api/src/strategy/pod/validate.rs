//! The rules of a pod spec; what belongs to one field family is in the files beside.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PodSpec, Volume};
use serde_json::Value;

use super::{
    affinity, claims, container, dns, host_users, os, pod_level, resources, scheduling, security,
    volume,
};
use crate::field::{Errors, FieldError, Path};
use crate::names;

const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// What the rules of a part need to know of the pod that it is part of.
pub(super) struct Whole<'a> {
    pub(super) spec: &'a PodSpec,
    /// The volumes that are as they should be, by name: no other can be mounted.
    pub(super) volumes: BTreeMap<&'a str, &'a Volume>,
    /// The claims that containers may name.
    pub(super) claims: BTreeSet<&'a str>,
    /// A pod itself, not the template of one.
    pub(super) is_pod: bool,
}

/// Checks a pod spec. `pod` is the metadata of the pod; `None` for the template of a workload.
pub(in crate::strategy) fn validate_spec(
    spec: &PodSpec,
    pod: Option<&Value>,
    path: &Path,
) -> Errors {
    let (volumes, mut errors) = volume::validate_all(spec, pod, &path.child("volumes"));
    let whole = Whole { spec, volumes, claims: claims::named(spec), is_pod: pod.is_some() };
    errors.extend(claims::validate(spec, pod, path));
    errors.extend(container::validate_all(&whole, path));
    errors.extend(pod_level::validate(spec, path));
    errors.extend(host_network(&whole, path));

    let required =
        |errors: &mut Errors, field: &str, value: &Option<String>, supported: &[&str]| {
            let path = path.child(field);
            match value.as_deref().unwrap_or_default() {
                "" => errors.push(FieldError::required(&path, "")),
                value if supported.contains(&value) => {}
                value => errors.push(FieldError::not_supported(&path, value, supported)),
            }
        };
    required(&mut errors, "restartPolicy", &spec.restart_policy, RESTART_POLICIES);
    required(&mut errors, "dnsPolicy", &spec.dns_policy, DNS_POLICIES);
    for (key, value) in spec.node_selector.iter().flatten() {
        let path = path.child("nodeSelector");
        errors.extend(FieldError::invalid_each(&path, key, &names::qualified_name(key)));
        errors.extend(FieldError::invalid_each(&path, value, &names::label_value(value)));
    }
    errors.extend(security::validate_pod(spec, path));
    if let Some(affinity) = &spec.affinity {
        errors.extend(affinity::validate(affinity, &path.child("affinity")));
    }
    errors.extend(dns::validate_config(spec, path));
    errors.extend(scheduling::validate(spec, path));
    errors.extend(os::validate_host_process(spec, path));
    errors.extend(host_users::validate(spec, path));
    errors.extend(dns::validate_hostname_override(spec, path));
    errors.extend(names_and_deadlines(spec, path));
    errors.extend(scheduling::validate_tolerations(
        spec.tolerations.as_deref().unwrap_or_default(),
        &path.child("tolerations"),
    ));
    errors.extend(dns::validate_host_aliases(spec, path));
    errors.extend(scheduling::validate_preemption(spec, path));
    if let Some(overhead) = &spec.overhead {
        errors.extend(resources::validate_overhead(overhead, &path.child("overhead")));
    }
    errors.extend(os::validate(spec, path));
    errors
}

/// A pod in the network of its node has the node's ports: a container's port is the host's. In a
/// template the latter may be left out, for the pod to get it.
fn host_network(whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if whole.spec.host_network != Some(true) {
        return errors;
    }
    for (n, container) in whole.spec.containers.iter().enumerate() {
        for (m, port) in container.ports.iter().flatten().enumerate() {
            let host = port.host_port.unwrap_or(0);
            if (whole.is_pod || host != 0) && host != port.container_port {
                let path = path.child("containers").index(n).child("ports").index(m);
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&path.child("hostPort"), host, detail));
            }
        }
    }
    errors
}

/// Everything that is a name or a number of seconds.
fn names_and_deadlines(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut check = |field: &str, value: &Option<String>, rule: fn(&str) -> Vec<String>| {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            errors.extend(FieldError::invalid_each(&path.child(field), value, &rule(value)));
        }
    };
    check("serviceAccountName", &spec.service_account_name, names::dns1123_subdomain);
    check("nodeName", &spec.node_name, names::dns1123_subdomain);
    check("hostname", &spec.hostname, names::dns1123_label);
    check("subdomain", &spec.subdomain, names::dns1123_label);
    check("priorityClassName", &spec.priority_class_name, names::dns1123_subdomain);
    // An empty name is no class at all, not the lack of one.
    if let Some(class) = &spec.runtime_class_name {
        let messages = names::dns1123_subdomain(class);
        errors.extend(FieldError::invalid_each(&path.child("runtimeClassName"), class, &messages));
    }
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), seconds, detail));
    }
    errors
}
