//! Containers, init containers and their ports.

pub(super) mod mount;
pub(super) mod restart;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort};

use super::validate::Whole;
use super::{env, ephemeral, probe, resources, security};
use crate::field::{Errors, FieldError, Path};
use crate::names;

pub(super) const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: &[&str] = &["File", "FallbackToLogsOnError"];

/// Checks all containers of a pod.
pub(super) fn validate_all(whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let spec = whole.spec;
    let at = path.child("containers");
    if spec.containers.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    let mut seen = BTreeSet::new();
    for (n, container) in spec.containers.iter().enumerate() {
        let path = at.index(n);
        errors.extend(validate(container, whole, &path));
        errors.extend(unique(container, &mut seen, &path));
        errors.extend(probe::validate_all(container, whole, &path));
        errors.extend(restart::validate(container, &path));
    }
    errors.extend(host_ports(&spec.containers, &at));
    let at = path.child("initContainers");
    for (n, container) in spec.init_containers.iter().flatten().enumerate() {
        let path = at.index(n);
        errors.extend(validate(container, whole, &path));
        errors.extend(restart::validate_init(container, &path));
        errors.extend(unique(container, &mut seen, &path));
        // They run one after the other: each alone has the host's ports.
        errors.extend(host_ports(std::slice::from_ref(container), &at));
        errors.extend(validate_init(container, whole, &path));
    }
    let at = path.child("ephemeralContainers");
    errors.extend(ephemeral::validate_all(whole, &mut seen, &at));
    errors
}

fn unique(container: &Container, seen: &mut BTreeSet<String>, path: &Path) -> Option<FieldError> {
    let duplicate = !container.name.is_empty() && !seen.insert(container.name.clone());
    duplicate.then(|| FieldError::duplicate(&path.child("name"), container.name.as_str()))
}

/// Init containers run to their end, except sidecars (`restartPolicy: Always`).
fn validate_init(container: &Container, whole: &Whole<'_>, path: &Path) -> Errors {
    if container.restart_policy.as_deref() == Some("Always") {
        return probe::validate_all(container, whole, path);
    }
    let mut errors = Errors::new();
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
    for (n, policy) in container.resize_policy.iter().flatten().enumerate() {
        if policy.restart_policy == "RestartContainer" {
            let path = path.child("resizePolicy").index(n).child("restartPolicy");
            let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            errors.push(FieldError::invalid(&path, policy.restart_policy.as_str(), detail));
        }
    }
    errors
}

/// Checks what containers of all kinds have in common.
pub(super) fn validate(container: &Container, whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (name, at) = (container.name.as_str(), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        errors.extend(FieldError::invalid_each(&at, name, &names::dns1123_label(name)));
    }
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    } else if whole.is_pod && image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, detail));
    }
    choice(
        &mut errors,
        container.termination_message_policy.as_deref(),
        MESSAGE_POLICIES,
        &path.child("terminationMessagePolicy"),
    );
    if let Some(ports) = &container.ports {
        errors.extend(validate_ports(ports, &path.child("ports")));
    }
    errors.extend(env::validate(container, whole, path));
    errors.extend(mount::validate_mounts(container, whole, path));
    errors.extend(mount::validate_devices(container, whole, path));
    choice(
        &mut errors,
        container.image_pull_policy.as_deref(),
        PULL_POLICIES,
        &path.child("imagePullPolicy"),
    );
    if let Some(resources) = &container.resources {
        let path = path.child("resources");
        errors.extend(resources::validate(resources, resources::Of::Container, &path));
        if let Some(used) = &resources.claims {
            let path = path.child("claims");
            errors.extend(super::claims::validate_used(used, &whole.claims, &path));
        }
    }
    errors.extend(restart::validate_resize(container, whole, path));
    if let Some(context) = &container.security_context {
        let path = path.child("securityContext");
        errors.extend(security::validate_container(context, whole, &path));
    }
    errors
}

/// Refuses a value that is none of those supported, or missing.
pub(super) fn choice(errors: &mut Errors, value: Option<&str>, supported: &[&str], path: &Path) {
    match value.unwrap_or_default() {
        "" => errors.push(FieldError::required(path, "")),
        value if supported.contains(&value) => {}
        value => errors.push(FieldError::not_supported(path, value, supported)),
    }
}

fn validate_ports(ports: &[ContainerPort], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, port) in ports.iter().enumerate() {
        let path = path.index(n);
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let messages = names::port_name(name);
            if messages.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            errors.extend(FieldError::invalid_each(&path.child("name"), name, &messages));
        }
        let number = |field: &str, number: i32| -> Errors {
            let messages = names::port_number(i64::from(number));
            let path = path.child(field);
            messages.iter().map(|m| FieldError::invalid(&path, number, m)).collect()
        };
        if port.container_port == 0 {
            errors.push(FieldError::required(&path.child("containerPort"), ""));
        } else {
            errors.extend(number("containerPort", port.container_port));
        }
        if let Some(host) = port.host_port.filter(|host| *host != 0) {
            errors.extend(number("hostPort", host));
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

/// Two containers that run at once cannot both have a port of the host.
fn host_ports(containers: &[Container], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, container) in containers.iter().enumerate() {
        for (m, port) in container.ports.iter().flatten().enumerate() {
            let Some(number) = port.host_port.filter(|port| *port != 0) else { continue };
            let protocol = port.protocol.as_deref().unwrap_or_default();
            let key = format!("{protocol}/{}/{number}", port.host_ip.as_deref().unwrap_or(""));
            if !seen.insert(key.clone()) {
                let path = path.index(n).child("ports").index(m).child("hostPort");
                errors.push(FieldError::duplicate(&path, key));
            }
        }
    }
    errors
}
