//! What is odd about a pod, alone or as the template of a workload, and accepted all the same: old
//! fields, fields that hide or contradict each other, values that mean something else than they say.
//!
//! Works on the JSON as it is: it is called for every pod that is made, and nearly all of them are
//! told nothing. Source: k8s.io/kubernetes/pkg/api/pod/warnings.go, whose order is kept.

mod annotations;
mod containers;
mod paths;
mod ports;
mod scheduling;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{Path, go_quote};
use crate::strategy::warnings;

/// What is compared with all before it (ports, paths) is compared with so many at most, and no more
/// than [`MOST`] of the same sort are told: a client is shown 4,096 characters, and a long list must
/// not cost the square of its length.
const COMPARED: usize = 1000;
/// See [`COMPARED`].
const MOST: usize = 100;

/// Warnings about a new pod.
pub(super) fn of_pod(pod: &Value) -> Vec<String> {
    let mut told = annotations::of_profiles_of_pod(pod);
    told.extend(warnings::of_host_name(pod, "the Pod's hostname"));
    told.extend(of_spec(pod, &Path::root(), false));
    told
}

/// Warnings about the addresses that the status of a pod shows.
pub(super) fn of_status(pod: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for list in ["podIPs", "hostIPs"] {
        for (n, entry) in items(&pod["status"][list]).enumerate() {
            let path = Path::new("status").child(list).index(n).child("ip");
            told.extend(warnings::of_address(text(entry, "ip"), &path));
        }
    }
    told
}

/// Warnings about a template of pods; `path` is the template's.
pub(in crate::strategy) fn of_template(template: &Value, path: &Path) -> Vec<String> {
    of_spec(template, path, true)
}

fn of_spec(pod: &Value, root: &Path, template: bool) -> Vec<String> {
    let (spec, path) = (&pod["spec"], root.child("spec"));
    let mut told = scheduling::of_nodes(spec, &path);
    told.extend(annotations::of_old_fields(pod, root));
    told.extend(volumes::of_sources(spec, &path));
    told.extend(paths::of_volumes(spec));
    told.extend(repeated(&spec["hostAliases"], "ip", &path.child("hostAliases")));
    let secrets = path.child("imagePullSecrets");
    told.extend(repeated(&spec["imagePullSecrets"], "name", &secrets));
    for (n, secret) in items(&spec["imagePullSecrets"]).enumerate() {
        if text(secret, "name").is_empty() {
            told.push(format!("{}: invalid empty name \"\"", secrets.index(n).child("name")));
        }
    }
    for amount in containers::BYTES {
        told.extend(warnings::of_fraction(&spec["overhead"], amount, &path.child("overhead")));
    }
    told.extend(annotations::of_seccomp_of_pod(pod, root));
    told.extend(containers::of_each(pod, root, template));
    told.extend(ports::of_all(spec, &path));
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        let at = path.child("terminationGracePeriodSeconds");
        told.push(format!(
            "{at}: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    told.extend(scheduling::of_peers(spec, &path));
    for (n, server) in items(&spec["dnsConfig"]["nameservers"]).enumerate() {
        let at = path.child("dnsConfig.nameservers").index(n);
        told.extend(warnings::of_address(server.as_str().unwrap_or_default(), &at));
    }
    for (n, alias) in items(&spec["hostAliases"]).enumerate() {
        let at = path.child("hostAliases").index(n).child("ip");
        told.extend(warnings::of_address(text(alias, "ip"), &at));
    }
    told
}

/// About items of a list that say in a field what one before them has said.
fn repeated(list: &Value, field: &str, path: &Path) -> Vec<String> {
    let mut seen = HashSet::new();
    let again = items(list).enumerate().filter(|(_, item)| !seen.insert(text(item, field)));
    again
        .map(|(n, item)| {
            let value = go_quote(text(item, field));
            format!("{}: duplicate {field} {value}", path.index(n).child(field))
        })
        .collect()
}

/// Init containers, containers, ephemeral containers, with their paths; `path` is that of the spec.
fn containers<'a>(spec: &'a Value, path: &'a Path) -> impl Iterator<Item = (Path, &'a Value)> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |list| {
        let path = path.child(list);
        items(&spec[list]).enumerate().map(move |(n, container)| (path.index(n), container))
    })
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}
