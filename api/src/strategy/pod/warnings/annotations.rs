//! Annotations that have become fields. Some mean nothing any more, some are still read.

use serde_json::Value;

use super::containers;
use crate::field::Path;
use crate::strategy::pod::annotations::{APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD, annotation};

const SYSCTLS: &str = "non-functional in v1.11+; use the \"sysctls\" field instead";
const OLD: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", SYSCTLS),
    ("security.alpha.kubernetes.io/unsafe-sysctls", SYSCTLS),
];
const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const PROFILE: &str = "deprecated since v1.30; use the \"appArmorProfile\" field instead";

fn says(key: &str, message: &str, root: &Path) -> String {
    format!("{}: {message}", root.child("metadata.annotations").key(key))
}

/// About annotations that mean nothing, whatever the spec says.
pub(super) fn of_old_fields(pod: &Value, root: &Path) -> Vec<String> {
    if pod["metadata"]["annotations"].is_null() {
        return Vec::new();
    }
    let given = OLD.iter().filter(|(key, _)| annotation(&pod["metadata"], key).is_some());
    given.map(|(key, message)| says(key, message, root)).collect()
}

/// About the seccomp profile of a pod that has it in an annotation only.
pub(super) fn of_seccomp_of_pod(pod: &Value, root: &Path) -> Option<String> {
    let field = &pod["spec"]["securityContext"]["seccompProfile"];
    let old = field.is_null() && annotation(&pod["metadata"], SECCOMP_POD).is_some();
    old.then(|| says(SECCOMP_POD, SECCOMP, root))
}

/// About the seccomp profile of a container that has it in an annotation only.
pub(super) fn of_seccomp(pod: &Value, container: &Value, root: &Path) -> Option<String> {
    let key = key_of(pod, SECCOMP_CONTAINER, container)?;
    let field = &container["securityContext"]["seccompProfile"];
    field.is_null().then(|| says(&key, SECCOMP, root))
}

/// About the AppArmor profile of a container of a template that has it in an annotation only.
pub(super) fn of_profile(template: &Value, container: &Value, root: &Path) -> Option<String> {
    let key = key_of(template, APP_ARMOR, container)?;
    let of_pod = &template["spec"]["securityContext"]["appArmorProfile"];
    let own = &container["securityContext"]["appArmorProfile"];
    (of_pod.is_null() && own.is_null()).then(|| says(&key, PROFILE, root))
}

/// About the AppArmor profiles of the containers of a pod: an annotation that repeats what the field
/// of the pod says is none to warn about.
pub(super) fn of_profiles_of_pod(pod: &Value) -> Vec<String> {
    let spec = &pod["spec"];
    if pod["metadata"]["annotations"].is_null() || spec["os"]["name"] == "windows" {
        return Vec::new();
    }
    let of_pod = &spec["securityContext"]["appArmorProfile"];
    let root = Path::root();
    containers(spec, &root)
        .filter(|(_, container)| container["securityContext"]["appArmorProfile"].is_null())
        .filter_map(|(_, container)| {
            let key = key_of(pod, APP_ARMOR, container)?;
            let same = repeats(annotation(&pod["metadata"], &key)?, of_pod);
            (!same).then(|| says(&key, PROFILE, &root))
        })
        .collect()
}

/// The annotation about a container whose keys begin so, if there is one.
fn key_of(pod: &Value, prefix: &str, container: &Value) -> Option<String> {
    // Nearly all pods are done here.
    pod["metadata"]["annotations"].as_object().filter(|all| !all.is_empty())?;
    let key = format!("{prefix}{}", container["name"].as_str().unwrap_or_default());
    annotation(&pod["metadata"], &key).is_some().then_some(key)
}

fn repeats(annotation: &str, profile: &Value) -> bool {
    match profile["type"].as_str() {
        Some("Unconfined") => annotation == "unconfined",
        Some("RuntimeDefault") => annotation == "runtime/default",
        Some("Localhost") => annotation
            .strip_prefix("localhost/")
            .is_some_and(|name| !name.is_empty() && profile["localhostProfile"] == name),
        _ => false,
    }
}
