//! Security contexts of pods and containers.

use k8s_openapi::api::core::v1::{PodSpec, SeccompProfile, SecurityContext};
use serde_json::json;

use crate::field::{Errors, FieldError, Path};

const ID_RANGE: &str = "must be between 0 and 2147483647, inclusive";
const SECCOMP_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

pub(super) fn validate_pod(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(context) = &spec.security_context else { return errors };
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
    if let Some(policy) = context.fs_group_change_policy.as_deref() {
        let supported = ["Always", "OnRootMismatch"];
        if !supported.contains(&policy) {
            errors.push(FieldError::not_supported(
                &path.child("fsGroupChangePolicy"),
                policy,
                &supported,
            ));
        }
    }
    if let Some(policy) = context.supplemental_groups_policy.as_deref() {
        let supported = ["Merge", "Strict"];
        if !supported.contains(&policy) {
            errors.push(FieldError::not_supported(
                &path.child("supplementalGroupsPolicy"),
                policy,
                &supported,
            ));
        }
    }
    for (n, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let path = path.child("sysctls").index(n).child("name");
        if sysctl.name.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !is_sysctl(&sysctl.name) {
            let detail = "must have at most 253 characters and match regex \
                 ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(&path, sysctl.name.as_str(), detail));
        }
        if spec.host_network == Some(true) && sysctl.name.starts_with("net") {
            let detail = "may not be specified when 'hostNetwork' is true";
            errors.push(FieldError::invalid(&path, sysctl.name.as_str(), detail));
        }
    }
    errors.extend(seccomp(context.seccomp_profile.as_ref(), &path.child("seccompProfile")));
    errors
}

/// A container that sees all of /proc must be root of nothing but its own user namespace.
pub(super) fn validate_proc_mounts(spec: &PodSpec, path: &Path) -> Errors {
    if spec.host_users == Some(false) {
        return Errors::new();
    }
    let of = |field: &str, contexts: Vec<Option<&SecurityContext>>| -> Errors {
        let unmasked = |context: &Option<&SecurityContext>| {
            context.is_some_and(|context| context.proc_mount.as_deref() == Some("Unmasked"))
        };
        let found = contexts.iter().enumerate().filter(|(_, context)| unmasked(context));
        let at = |n| path.child(field).index(n).child("securityContext").child("procMount");
        let detail = "`hostUsers` must be false to use `Unmasked`";
        found.map(|(n, _)| FieldError::invalid(&at(n), "Unmasked", detail)).collect()
    };
    let inits = spec.init_containers.iter().flatten().map(|c| c.security_context.as_ref());
    let mains = spec.containers.iter().map(|c| c.security_context.as_ref());
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let ephemeral = ephemeral.map(|c| c.security_context.as_ref());
    let mut errors = of("initContainers", inits.collect());
    errors.extend(of("containers", mains.collect()));
    errors.extend(of("ephemeralContainers", ephemeral.collect()));
    errors
}

pub(super) fn validate_container(context: &SecurityContext, path: &Path) -> Errors {
    let mut errors = Errors::new();
    errors.extend(context.run_as_user.and_then(|id| validate_id(id, &path.child("runAsUser"))));
    errors.extend(context.run_as_group.and_then(|id| validate_id(id, &path.child("runAsGroup"))));
    if let Some(mount) = context.proc_mount.as_deref()
        && !matches!(mount, "Default" | "Unmasked")
    {
        let supported = ["Default", "Unmasked"];
        errors.push(FieldError::not_supported(&path.child("procMount"), mount, &supported));
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
