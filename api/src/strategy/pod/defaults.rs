//! Defaults of pods and pod templates.

use serde_json::{Value, json};

use super::pod_level;
use crate::strategy::{each, object_at, set_default};

/// Permission bits of files from ConfigMaps, Secrets and the like: 0644.
const FILE_MODE: i64 = 0o644;

/// What sources of volumes leave out.
const SOURCES: &[(&str, &[(&str, &str)])] = &[
    ("/hostPath", &[("type", "")]),
    ("/iscsi", &[("iscsiInterface", "default")]),
    ("/rbd", &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")]),
    ("/azureDisk", &[("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")]),
    ("/scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
];

/// Defaults of a pod: those of a template, requests that follow from limits, and ports of the host that
/// follow from its network.
pub(super) fn default_pod(spec: &mut Value) {
    default_spec(spec);
    set_default(spec, "enableServiceLinks", true);
    let host_network = spec["hostNetwork"] == true;
    for list in ["/containers", "/initContainers"] {
        for container in each(spec, list) {
            if host_network {
                for port in each(container, "/ports") {
                    if port["hostPort"].as_i64().unwrap_or(0) == 0 {
                        port["hostPort"] = port["containerPort"].clone();
                    }
                }
            }
            let limits = container["resources"]["limits"].clone();
            for (name, amount) in limits.as_object().into_iter().flatten() {
                set_default(&mut container["resources"], "requests", json!({}));
                set_default(&mut container["resources"]["requests"], name, amount.clone());
            }
        }
    }
    if spec["resources"].is_object() {
        pod_level::default(spec);
    }
}

/// Defaults of the template of a workload.
pub(in crate::strategy) fn default_template(template: &mut Value) {
    set_default(template, "metadata", json!({}));
    set_default(template, "spec", json!({}));
    default_spec(&mut template["spec"]);
}

fn default_text(map: &mut Value, field: &str, value: &str) {
    if map.is_object() && map[field].as_str().unwrap_or_default().is_empty() {
        map[field] = value.into();
    }
}

fn default_spec(spec: &mut Value) {
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    default_text(spec, "schedulerName", "default-scheduler");
    set_default(spec, "securityContext", json!({}));
    set_default(spec, "terminationGracePeriodSeconds", 30);
    // The old and the new name of the same field.
    for (from, to) in
        [("serviceAccount", "serviceAccountName"), ("serviceAccountName", "serviceAccount")]
    {
        let value = spec[from].as_str().unwrap_or_default().to_owned();
        if !value.is_empty()
            && (to == "serviceAccount" || spec[to].as_str().unwrap_or_default().is_empty())
        {
            spec[to] = value.into();
        }
    }
    for list in ["/containers", "/initContainers", "/ephemeralContainers"] {
        for container in each(spec, list) {
            default_container(container);
        }
    }
    for volume in each(spec, "/volumes") {
        default_volume(volume);
    }
}

fn default_container(container: &mut Value) {
    if container["imagePullPolicy"].as_str().unwrap_or_default().is_empty() {
        let image = container["image"].as_str().unwrap_or_default();
        container["imagePullPolicy"] = pull_policy(image).into();
    }
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    for port in each(container, "/ports") {
        default_text(port, "protocol", "TCP");
    }
    for variable in each(container, "/env") {
        if let Some(source) = object_at(variable, "/valueFrom") {
            default_reference(source);
        }
    }
    for probe in ["/livenessProbe", "/readinessProbe", "/startupProbe"] {
        if let Some(probe) = object_at(container, probe) {
            default_probe(probe);
        }
    }
    for hook in ["/lifecycle/postStart", "/lifecycle/preStop"] {
        if let Some(handler) = object_at(container, hook) {
            default_handler(handler);
        }
    }
}

fn default_probe(probe: &mut Value) {
    default_handler(probe);
    for (field, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if probe.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
            probe[field] = value.into();
        }
    }
    if let Some(grpc) = object_at(probe, "/grpc") {
        set_default(grpc, "service", "");
    }
}

fn default_handler(handler: &mut Value) {
    if let Some(http) = object_at(handler, "/httpGet") {
        default_text(http, "path", "/");
        default_text(http, "scheme", "HTTP");
    }
}

/// References to fields and resources of the pod itself, in environment and volumes.
fn default_reference(source: &mut Value) {
    if let Some(reference) = object_at(source, "/fieldRef") {
        default_text(reference, "apiVersion", "v1");
    }
    if let Some(reference) = object_at(source, "/resourceFieldRef") {
        set_default(reference, "divisor", "0");
    }
}

/// `Always` for images whose name may mean something else tomorrow.
fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn default_volume(volume: &mut Value) {
    let sources = volume
        .as_object()
        .map_or(0, |v| v.iter().filter(|(k, v)| *k != "name" && !v.is_null()).count());
    if sources == 0 && volume.is_object() {
        volume["emptyDir"] = json!({});
    }
    for source in ["/secret", "/configMap", "/downwardAPI", "/projected"] {
        if let Some(source) = object_at(volume, source) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    for (source, defaults) in SOURCES {
        if let Some(source) = object_at(volume, source) {
            for (field, value) in *defaults {
                set_default(source, field, *value);
            }
        }
    }
    if let Some(disk) = object_at(volume, "/azureDisk") {
        set_default(disk, "readOnly", false);
    }
    if let Some(image) = object_at(volume, "/image") {
        let policy = pull_policy(image["reference"].as_str().unwrap_or_default());
        default_text(image, "pullPolicy", policy);
    }
    if let Some(claim) = object_at(volume, "/ephemeral/volumeClaimTemplate/spec") {
        set_default(claim, "volumeMode", "Filesystem");
    }
    for item in each(volume, "/downwardAPI/items") {
        default_reference(item);
    }
    for source in each(volume, "/projected/sources") {
        if let Some(token) = object_at(source, "/serviceAccountToken") {
            set_default(token, "expirationSeconds", 3600);
        }
        for item in each(source, "/downwardAPI/items") {
            default_reference(item);
        }
    }
}
