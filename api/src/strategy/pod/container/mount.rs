//! Where a container has the volumes of its pod: as folders, or as devices.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use crate::field::{Errors, FieldError, Path};
use crate::strategy::pod::validate::Whole;
use crate::strategy::pod::volume::inside;

const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];
const RECURSIVE: &[&str] = &["Disabled", "Enabled", "IfPossible"];

/// Checks the mounts of a container. Like Kubernetes, the paths of some fields leave out which mount.
pub(in crate::strategy::pod) fn validate_mounts(
    container: &Container,
    whole: &Whole<'_>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let Some(mounts) = &container.volume_mounts else { return errors };
    let path = &path.child("volumeMounts");
    let mut seen = BTreeSet::new();
    for (n, mount) in mounts.iter().enumerate() {
        let at = path.index(n);
        let (name, target) = (mount.name.as_str(), mount.mount_path.as_str());
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        if !whole.volumes.contains_key(name) {
            errors.push(FieldError::not_found(&at.child("name"), name));
        }
        if target.is_empty() {
            errors.push(FieldError::required(&at.child("mountPath"), ""));
        } else if target.contains('\0') {
            let detail = "must not contain a NUL character";
            errors.push(FieldError::invalid(&at.child("mountPath"), target, detail));
        }
        if !seen.insert(target) {
            errors.push(FieldError::invalid(&at.child("mountPath"), target, "must be unique"));
        }
        let devices = container.volume_devices.as_deref().unwrap_or_default();
        if devices.iter().any(|device| device.name == name) {
            let detail = "must not already exist in volumeDevices";
            errors.push(FieldError::invalid(&at.child("name"), name, detail));
        }
        if devices.iter().any(|device| device.device_path == target) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(&at.child("mountPath"), target, detail));
        }
        let sub = mount.sub_path.as_deref().filter(|sub| !sub.is_empty());
        let expression = mount.sub_path_expr.as_deref().filter(|sub| !sub.is_empty());
        if let Some(sub) = sub {
            errors.extend(inside(sub, &path.child("subPath")));
        }
        if let Some(expression) = expression {
            if sub.is_some() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                errors.push(FieldError::invalid(&at.child("subPathExpr"), expression, detail));
            }
            errors.extend(inside(expression, &path.child("subPathExpr")));
        }
        if mount.mount_propagation.is_some() {
            errors.extend(propagation(mount, container, &path.child("mountPropagation")));
        }
        if mount.recursive_read_only.is_some() {
            errors.extend(recursive_read_only(mount, &path.child("recursiveReadOnly")));
        }
    }
    errors
}

fn propagation(mount: &VolumeMount, container: &Container, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let propagation = mount.mount_propagation.as_deref().unwrap_or_default();
    if !PROPAGATIONS.contains(&propagation) {
        errors.push(FieldError::not_supported(path, propagation, PROPAGATIONS));
    }
    let privileged =
        container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
    if propagation == "Bidirectional" && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(path, detail));
    }
    errors
}

/// What is read-only with all below it must be so itself, and nothing may be mounted into it later.
fn recursive_read_only(mount: &VolumeMount, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match mount.recursive_read_only.as_deref().unwrap_or_default() {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if mount.read_only != Some(true) {
                let detail = "may only be specified when readOnly is true";
                errors.push(FieldError::forbidden(path, detail));
            }
            if mount.mount_propagation.as_deref().is_some_and(|way| way != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(path, detail));
            }
        }
        other => errors.push(FieldError::not_supported(path, other, RECURSIVE)),
    }
    errors
}

/// Checks the devices of a container: claims that are not formatted.
pub(in crate::strategy::pod) fn validate_devices(
    container: &Container,
    whole: &Whole<'_>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let Some(devices) = &container.volume_devices else { return errors };
    let path = path.child("volumeDevices");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    for (n, device) in devices.iter().enumerate() {
        let (name, target, path) = (device.name.as_str(), &device.device_path, path.index(n));
        let (at_name, at_path) = (path.child("name"), path.child("devicePath"));
        if name.is_empty() {
            errors.push(FieldError::required(&at_name, ""));
        }
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::invalid(&at_name, name, "must be unique"));
        }
        match whole.volumes.get(name) {
            None => errors.push(FieldError::not_found(&at_name, name)),
            Some(volume)
                if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() =>
            {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(&at_name, name, detail));
            }
            Some(_) => {}
        }
        if target.is_empty() {
            errors.push(FieldError::required(&at_path, ""));
        }
        if paths.contains(target) {
            errors.push(FieldError::invalid(&at_path, target.as_str(), "must be unique"));
        }
        if target.split('/').any(|part| part == "..") {
            let detail = "can not contain backsteps ('..')";
            errors.push(FieldError::invalid(&at_path, target.as_str(), detail));
        } else {
            paths.insert(target);
        }
        if mounts.iter().any(|mount| mount.name == name) {
            let detail = "must not already exist in volumeMounts";
            errors.push(FieldError::invalid(&at_name, name, detail));
        }
        if mounts.iter().any(|mount| mount.mount_path == *target) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(&at_path, target.as_str(), detail));
        }
    }
    errors
}
