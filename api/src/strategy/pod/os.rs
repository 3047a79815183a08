//! What a pod of one operating system cannot say, and pods that are processes of a Windows host.

use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec, SecurityContext};

use super::members::{Member, members};
use crate::field::{Errors, FieldError, Path};

const NOT_LINUX: &str = "windows options cannot be set for a linux pod";
const NOT_WINDOWS: &str = "cannot be set for a windows pod";

/// Checks the fields that only one operating system knows, if the pod names its own.
pub(super) fn validate(spec: &PodSpec, path: &Path) -> Errors {
    let Some(os) = &spec.os else { return Errors::new() };
    match os.name.as_str() {
        "linux" => linux(spec, path),
        "windows" => windows(spec, path),
        "" => vec![FieldError::required(&path.child("os").child("name"), "")],
        name => vec![FieldError::not_supported(&path.child("os"), name, &["linux", "windows"])],
    }
}

fn linux(spec: &PodSpec, path: &Path) -> Errors {
    let options = |path: &Path| {
        let path = path.child("securityContext").child("windowsOptions");
        FieldError::forbidden(&path, NOT_LINUX)
    };
    let of_pod = spec.security_context.as_ref().is_some_and(|c| c.windows_options.is_some());
    let of_member =
        |member: &Member<'_>| member.security.is_some_and(|c| c.windows_options.is_some());
    let mut errors: Errors = of_pod.then(|| options(path)).into_iter().collect();
    errors.extend(members(spec).filter(of_member).map(|member| options(&member.path(path))));
    errors
}

fn windows(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut refuse = |path: &Path, fields: &[(&str, bool)]| {
        let given = fields.iter().filter(|(_, given)| *given);
        errors.extend(given.map(|(f, _)| FieldError::forbidden(&path.child(f), NOT_WINDOWS)));
    };
    let at = path.child("securityContext");
    if let Some(context) = &spec.security_context {
        refuse(&at, &of_pod(context));
    }
    refuse(
        path,
        &[
            ("hostUsers", spec.host_users.is_some()),
            ("hostPID", spec.host_pid == Some(true)),
            ("hostIPC", spec.host_ipc == Some(true)),
            ("shareProcessNamespace", spec.share_process_namespace.is_some()),
        ],
    );
    for member in members(spec) {
        if let Some(context) = member.security {
            refuse(&member.path(path).child("securityContext"), &of_container(context));
        }
    }
    errors
}

/// The fields of a pod's context that Windows does not know, and whether each is there.
fn of_pod(context: &PodSecurityContext) -> [(&'static str, bool); 11] {
    [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("fsGroup", context.fs_group.is_some()),
        ("fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
        ("sysctls", context.sysctls.as_ref().is_some_and(|all| !all.is_empty())),
        ("runAsUser", context.run_as_user.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
        ("supplementalGroups", context.supplemental_groups.is_some()),
        ("supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
        ("seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
    ]
}

/// Like [`of_pod`], of a container's context.
fn of_container(context: &SecurityContext) -> [(&'static str, bool); 10] {
    [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("capabilities", context.capabilities.is_some()),
        ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
        ("privileged", context.privileged.is_some()),
        ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
        ("procMount", context.proc_mount.is_some()),
        ("runAsUser", context.run_as_user.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
    ]
}

/// A pod is processes of its Windows host or it is not: all containers, with the host's network.
pub(super) fn validate_host_process(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let pod = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
    let pod = pod.and_then(|options| options.host_process);
    let (mut all, mut host) = (0, 0);
    for member in members(spec) {
        let own = member.security.and_then(|context| context.windows_options.as_ref());
        let own = own.and_then(|options| options.host_process);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let at = member.path(path).child("securityContext").child("windowsOptions");
            let detail =
                format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.push(FieldError::invalid(&at.child("hostProcess"), own, &detail));
        }
        all += 1;
        host += usize::from(own.or(pod) == Some(true));
    }
    if host == 0 {
        return errors;
    }
    if host != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path, "", detail));
    }
    if spec.host_network != Some(true) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(&path.child("hostNetwork"), false, detail));
    }
    errors
}
