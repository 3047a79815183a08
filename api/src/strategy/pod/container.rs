//! Containers, init containers and their ports.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort, Lifecycle, PodSpec, VolumeMount};

use super::{env, ephemeral, probe, resources, security};
use crate::field::{Errors, FieldError, Path};
use crate::names;

const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: &[&str] = &["File", "FallbackToLogsOnError"];
const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];

/// Checks all containers of a pod.
pub(super) fn validate_all(spec: &PodSpec, volumes: &BTreeSet<&str>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let at = path.child("containers");
    if spec.containers.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return errors;
    }
    let mut seen = BTreeSet::new();
    let host_network = spec.host_network == Some(true);
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (n, container) in spec.containers.iter().enumerate() {
        let path = at.index(n);
        errors.extend(validate(container, volumes, host_network, &path));
        errors.extend(unique(container, &mut seen, &path));
        errors.extend(probe::validate_all(container, &path));
        errors.extend(lifecycle(container.lifecycle.as_ref(), &path.child("lifecycle")));
        if container.restart_policy.is_some() {
            let detail = "may not be set for non-init containers";
            errors.push(FieldError::forbidden(&path.child("restartPolicy"), detail));
        }
    }
    errors.extend(host_ports(&spec.containers, &at));
    let at = path.child("initContainers");
    for (n, container) in init.iter().enumerate() {
        let path = at.index(n);
        errors.extend(validate(container, volumes, host_network, &path));
        errors.extend(unique(container, &mut seen, &path));
        errors.extend(validate_init(container, &path));
    }
    let at = path.child("ephemeralContainers");
    errors.extend(ephemeral::validate_all(spec, volumes, &mut seen, &at));
    errors
}

fn unique(container: &Container, seen: &mut BTreeSet<String>, path: &Path) -> Option<FieldError> {
    let duplicate = !container.name.is_empty() && !seen.insert(container.name.clone());
    duplicate.then(|| FieldError::duplicate(&path.child("name"), container.name.as_str()))
}

/// Init containers run to their end, except sidecars (`restartPolicy: Always`).
fn validate_init(container: &Container, path: &Path) -> Errors {
    match container.restart_policy.as_deref() {
        Some("Always") => {
            let mut errors = probe::validate_all(container, path);
            errors.extend(lifecycle(container.lifecycle.as_ref(), &path.child("lifecycle")));
            errors
        }
        policy => {
            let mut errors = Errors::new();
            if let Some(policy) = policy.filter(|policy| !matches!(*policy, "Never" | "OnFailure"))
            {
                let supported = ["Always", "Never", "OnFailure"];
                errors.push(FieldError::not_supported(
                    &path.child("restartPolicy"),
                    policy,
                    &supported,
                ));
            }
            let detail = "may not be set for init containers without restartPolicy=Always";
            for (field, given) in [
                ("lifecycle", container.lifecycle.is_some()),
                ("livenessProbe", container.liveness_probe.is_some()),
                ("readinessProbe", container.readiness_probe.is_some()),
                ("startupProbe", container.startup_probe.is_some()),
            ] {
                if given {
                    errors.push(FieldError::forbidden(&path.child(field), detail));
                }
            }
            errors
        }
    }
}

/// Checks what containers of all kinds have in common.
pub(super) fn validate(
    container: &Container,
    volumes: &BTreeSet<&str>,
    host_network: bool,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    if container.name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else {
        let messages = names::dns1123_label(&container.name);
        errors.extend(
            messages
                .iter()
                .map(|m| FieldError::invalid(&path.child("name"), container.name.as_str(), m)),
        );
    }
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, detail));
    }
    choice(
        &mut errors,
        container.termination_message_policy.as_deref(),
        MESSAGE_POLICIES,
        &path.child("terminationMessagePolicy"),
    );
    choice(
        &mut errors,
        container.image_pull_policy.as_deref(),
        PULL_POLICIES,
        &path.child("imagePullPolicy"),
    );
    let ports = container.ports.as_deref().unwrap_or_default();
    errors.extend(validate_ports(ports, host_network, &path.child("ports")));
    errors.extend(env::validate(container, path));
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    errors.extend(validate_mounts(mounts, volumes, &path.child("volumeMounts")));
    for (n, device) in container.volume_devices.iter().flatten().enumerate() {
        let path = path.child("volumeDevices").index(n);
        if !volumes.contains(device.name.as_str()) {
            errors.push(FieldError::not_found(&path.child("name"), device.name.as_str()));
        }
        if device.device_path.is_empty() {
            errors.push(FieldError::required(&path.child("devicePath"), ""));
        }
    }
    if let Some(resources) = &container.resources {
        errors.extend(resources::validate(resources, &path.child("resources")));
    }
    if let Some(context) = &container.security_context {
        errors.extend(security::validate_container(context, &path.child("securityContext")));
    }
    errors
}

fn choice(errors: &mut Errors, value: Option<&str>, supported: &[&str], path: &Path) {
    match value.unwrap_or_default() {
        "" => errors.push(FieldError::required(path, "")),
        value if supported.contains(&value) => {}
        value => errors.push(FieldError::not_supported(path, value, supported)),
    }
}

fn validate_ports(ports: &[ContainerPort], host_network: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, port) in ports.iter().enumerate() {
        let path = path.index(n);
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let messages = names::port_name(name);
            if messages.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            errors
                .extend(messages.iter().map(|m| FieldError::invalid(&path.child("name"), name, m)));
        }
        let number = port.container_port;
        if number == 0 {
            errors.push(FieldError::required(&path.child("containerPort"), ""));
        } else {
            let messages = names::port_number(i64::from(number));
            errors.extend(
                messages
                    .iter()
                    .map(|m| FieldError::invalid(&path.child("containerPort"), number, m)),
            );
        }
        let host_port = port.host_port.unwrap_or(0);
        if host_port != 0 {
            let messages = names::port_number(i64::from(host_port));
            errors.extend(
                messages.iter().map(|m| FieldError::invalid(&path.child("hostPort"), host_port, m)),
            );
            if host_network && host_port != number {
                let detail = "must match `hostPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&path.child("containerPort"), number, detail));
            }
        }
        if let Some(ip) = port.host_ip.as_deref().filter(|ip| !ip.is_empty())
            && ip.parse::<std::net::IpAddr>().is_err()
        {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(&path.child("hostIP"), ip, detail));
        }
        choice(
            &mut errors,
            port.protocol.as_deref(),
            &["SCTP", "TCP", "UDP"],
            &path.child("protocol"),
        );
    }
    errors
}

/// Two containers of one pod cannot both have a port of the host.
fn host_ports(containers: &[Container], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, container) in containers.iter().enumerate() {
        for (m, port) in container.ports.iter().flatten().enumerate() {
            let Some(number) = port.host_port.filter(|port| *port != 0) else { continue };
            let ip = port.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
            let key = format!("{}/{ip}/{number}", port.protocol.as_deref().unwrap_or("TCP"));
            if !seen.insert(key.clone()) {
                let path = path.index(n).child("ports").index(m).child("hostPort");
                errors.push(FieldError::duplicate(&path, key));
            }
        }
    }
    errors
}

fn validate_mounts(mounts: &[VolumeMount], volumes: &BTreeSet<&str>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, mount) in mounts.iter().enumerate() {
        let path = path.index(n);
        if mount.name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else if !volumes.contains(mount.name.as_str()) {
            errors.push(FieldError::not_found(&path.child("name"), mount.name.as_str()));
        }
        if mount.mount_path.is_empty() {
            errors.push(FieldError::required(&path.child("mountPath"), ""));
        } else if mount.mount_path.contains(['\0', ':']) {
            errors.push(FieldError::invalid(
                &path.child("mountPath"),
                mount.mount_path.as_str(),
                "must not contain ':'",
            ));
        }
        if !seen.insert(mount.mount_path.as_str()) {
            let detail = "must be unique";
            errors.push(FieldError::invalid(
                &path.child("mountPath"),
                mount.mount_path.as_str(),
                detail,
            ));
        }
        let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        for (field, sub) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if let Some(sub) = sub.as_deref().filter(|sub| !sub.is_empty()) {
                errors.extend(super::volume::inside(sub, &path.child(field)));
            }
        }
        if given(&mount.sub_path) && given(&mount.sub_path_expr) {
            let sub = mount.sub_path_expr.as_deref().unwrap_or_default();
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&path.child("subPathExpr"), sub, detail));
        }
        if let Some(propagation) =
            mount.mount_propagation.as_deref().filter(|p| !PROPAGATIONS.contains(p))
        {
            errors.push(FieldError::not_supported(
                &path.child("mountPropagation"),
                propagation,
                PROPAGATIONS,
            ));
        }
    }
    errors
}

fn lifecycle(lifecycle: Option<&Lifecycle>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(lifecycle) = lifecycle else { return errors };
    for (field, handler) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)]
    {
        if let Some(handler) = handler {
            errors.extend(probe::validate_hook(handler, &path.child(field)));
        }
    }
    errors
}
