//! A pod with users of its own (`hostUsers: false`) shares little else with its node.

use k8s_openapi::api::core::v1::PodSpec;

use super::members::members;
use crate::field::{Errors, FieldError, Path};

const DETAIL: &str = "when `hostUsers` is false";

/// Checks what a user namespace excludes. The paths of two fields are spelled as Kubernetes does.
pub(super) fn validate(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if spec.host_users != Some(false) {
        return errors;
    }
    for (field, shared) in
        [("hostNetwork", spec.host_network), ("HostPID", spec.host_pid), ("HostIPC", spec.host_ipc)]
    {
        if shared == Some(true) {
            errors.push(FieldError::forbidden(&path.child(field), DETAIL));
        }
    }
    for member in members(spec).filter(|member| !member.devices.is_empty()) {
        let path = member.path(path).child("volumeDevices");
        errors.push(FieldError::forbidden(&path, DETAIL));
    }
    errors
}
