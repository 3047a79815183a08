//! Security contexts of pods and containers.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};
use serde_json::json;

use super::validate::Whole;
use super::windows;
use crate::field::{Errors, FieldError, Path};

const ID_RANGE: &str = "must be between 0 and 2147483647, inclusive";
/// Bytes of the name of an AppArmor profile: the longest path, without its end.
const PROFILE_NAME: usize = 4095;
const SECCOMP_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

pub(super) fn validate_pod(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(context) = &spec.security_context else { return errors };
    let shares = spec.share_process_namespace == Some(true) && spec.host_pid == Some(true);
    // That of nearly all pods.
    if *context == PodSecurityContext::default() && !shares {
        return errors;
    }
    let path = path.child("securityContext");
    for (field, id) in [
        ("fsGroup", context.fs_group),
        ("runAsGroup", context.run_as_group),
        ("runAsUser", context.run_as_user),
    ] {
        errors.extend(id.and_then(|id| validate_id(id, &path.child(field))));
    }
    for (n, group) in context.supplemental_groups.iter().flatten().enumerate() {
        errors.extend(validate_id(*group, &path.child("supplementalGroups").index(n)));
    }
    if shares {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    errors.extend(sysctls(spec, context, &path.child("sysctls")));
    errors.extend(seccomp(context.seccomp_profile.as_ref(), &path.child("seccompProfile")));
    if let Some(options) = &context.windows_options {
        errors.extend(windows::validate(options, &path.child("windowsOptions")));
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(app_armor(profile, &path.child("appArmorProfile")));
    }
    for (field, policy, supported) in [
        ("fsGroupChangePolicy", &context.fs_group_change_policy, ["Always", "OnRootMismatch"]),
        ("supplementalGroupsPolicy", &context.supplemental_groups_policy, ["Merge", "Strict"]),
        ("seLinuxChangePolicy", &context.se_linux_change_policy, ["MountOption", "Recursive"]),
    ] {
        if let Some(policy) = policy.as_deref().filter(|policy| !supported.contains(policy)) {
            errors.push(FieldError::not_supported(&path.child(field), policy, &supported));
        }
    }
    errors
}

/// Settings of the kernel for the namespaces that the pod has for itself.
fn sysctls(spec: &PodSpec, context: &PodSecurityContext, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let (name, path) = (sysctl.name.as_str(), path.index(n).child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !is_sysctl(name) {
            let detail = "must have at most 253 characters and match regex \
                 ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(&path, name, detail));
        } else if seen.contains(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
        seen.insert(name);
        let (network, ipc) = (spec.host_network == Some(true), spec.host_ipc == Some(true));
        let shared = match namespace(name) {
            Some("net") if network => "may not be specified when 'hostNetwork' is true",
            Some("ipc") if ipc => "may not be specified when 'hostIPC' is true",
            _ => continue,
        };
        errors.push(FieldError::invalid(&path, name, shared));
    }
    errors
}

/// The namespace that has a setting for itself. Names are written with dots or with slashes, whichever
/// comes first.
/// Source: k8s.io/component-helpers/node/util/sysctl.
fn namespace(sysctl: &str) -> Option<&'static str> {
    let swap = |c: char| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    let slashes = sysctl.find(['.', '/']).is_some_and(|at| sysctl[at..].starts_with('/'));
    let name: String = if slashes { sysctl.chars().map(swap).collect() } else { sysctl.to_owned() };
    let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."];
    match name.as_str() {
        "kernel.sem" => Some("ipc"),
        name if ipc.iter().any(|prefix| name.starts_with(prefix)) => Some("ipc"),
        name if name.starts_with("net.") => Some("net"),
        _ => None,
    }
}

pub(super) fn validate_container(
    context: &SecurityContext,
    whole: &Whole<'_>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    errors.extend(context.run_as_user.and_then(|id| validate_id(id, &path.child("runAsUser"))));
    errors.extend(context.run_as_group.and_then(|id| validate_id(id, &path.child("runAsGroup"))));
    if let Some(mount) = context.proc_mount.as_deref() {
        let (supported, path) = (["Default", "Unmasked"], path.child("procMount"));
        if !supported.contains(&mount) {
            errors.push(FieldError::not_supported(&path, mount, &supported));
        }
        // Who sees all of /proc must be root of nothing but a user namespace of the pod's own.
        if mount == "Unmasked" && whole.spec.host_users != Some(false) {
            let detail = "`hostUsers` must be false to use `Unmasked`";
            errors.push(FieldError::invalid(&path, mount, detail));
        }
    }
    errors.extend(seccomp(context.seccomp_profile.as_ref(), &path.child("seccompProfile")));
    if context.allow_privilege_escalation == Some(false) {
        let shown = serde_json::to_value(context).unwrap_or_else(|_| json!({}));
        if context.privileged == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, shown.clone(), detail));
        }
        let added =
            context.capabilities.as_ref().and_then(|c| c.add.as_deref()).unwrap_or_default();
        if added.iter().any(|name| name == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, shown, detail));
        }
    }
    if let Some(options) = &context.windows_options {
        errors.extend(windows::validate(options, &path.child("windowsOptions")));
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(app_armor(profile, &path.child("appArmorProfile")));
    }
    errors
}

fn app_armor(profile: &AppArmorProfile, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (local, at) = (profile.localhost_profile.as_deref(), path.child("localhostProfile"));
    match (profile.type_.as_str(), local) {
        ("Localhost", Some(local)) if local.trim() != local => {
            errors.push(FieldError::invalid(&at, local, "must not be padded with whitespace"));
        }
        ("Localhost", None | Some("")) => {
            let detail = "must be set when AppArmor type is Localhost";
            errors.push(FieldError::required(&at, detail));
        }
        ("RuntimeDefault" | "Unconfined", Some(local)) => {
            let detail = "can only be set when AppArmor type is Localhost";
            errors.push(FieldError::invalid(&at, local, detail));
        }
        ("Localhost" | "RuntimeDefault" | "Unconfined", _) => {}
        ("", _) => {
            let detail = "type is required when appArmorProfile is set";
            errors.push(FieldError::required(&path.child("type"), detail));
        }
        (other, _) => {
            errors.push(FieldError::not_supported(&path.child("type"), other, SECCOMP_TYPES));
        }
    }
    if profile.type_ == "Localhost" && local.is_some_and(|local| local.len() > PROFILE_NAME) {
        errors.push(FieldError::too_long(&at, PROFILE_NAME));
    }
    errors
}

fn validate_id(id: i64, path: &Path) -> Option<FieldError> {
    let valid = (0..=i64::from(i32::MAX)).contains(&id);
    (!valid).then(|| FieldError::invalid(path, id, ID_RANGE))
}

fn is_sysctl(name: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 253
        && name.split(['.', '/']).all(|part| {
            let bytes = part.as_bytes();
            matches!((bytes.first(), bytes.last()), (Some(&a), Some(&z)) if alnum(a) && alnum(z))
                && bytes.iter().all(|&b| alnum(b) || matches!(b, b'-' | b'_'))
        })
}

fn seccomp(profile: Option<&SeccompProfile>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(profile) = profile else { return errors };
    let local = profile.localhost_profile.as_deref().unwrap_or_default();
    match profile.type_.as_str() {
        "" => errors.push(FieldError::required(
            &path.child("type"),
            "type is required when seccompProfile is set",
        )),
        "Localhost" if local.is_empty() => {
            let detail = "must be set when seccomp type is Localhost";
            errors.push(FieldError::required(&path.child("localhostProfile"), detail));
        }
        "Localhost" => errors.extend(super::volume::inside(local, &path.child("localhostProfile"))),
        kind if !SECCOMP_TYPES.contains(&kind) => {
            errors.push(FieldError::not_supported(&path.child("type"), kind, SECCOMP_TYPES));
        }
        _ if !local.is_empty() => {
            let detail = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::invalid(&path.child("localhostProfile"), local, detail));
        }
        _ => {}
    }
    errors
}
