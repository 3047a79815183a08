//! Annotations that mean something to Kubernetes: of mirror pods, of what a pod's end costs, and the old
//! way to name security profiles.

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile};
use serde_json::{Map, Value};

use super::members::members;
use crate::field::{Errors, FieldError, Path, go_quote};

/// Names the pod of a node's own manifest that this pod is the picture of.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(super) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// An annotation in an object's metadata.
pub(super) fn annotation<'a>(metadata: &'a Value, key: &str) -> Option<&'a str> {
    metadata["annotations"].get(key)?.as_str()
}

fn all(metadata: &Value) -> Option<&Map<String, Value>> {
    metadata["annotations"].as_object().filter(|all| !all.is_empty())
}

/// Checks the annotations in the metadata of a pod or template; `path` is theirs.
pub(in crate::strategy) fn validate(metadata: &Value, spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(all) = all(metadata) else { return errors };
    if let Some(value) = annotation(metadata, MIRROR)
        && spec.node_name.as_deref().unwrap_or_default().is_empty()
    {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(&path.key(MIRROR), value, detail));
    }
    if let Some(cost) = annotation(metadata, DELETION_COST)
        && !is_cost(cost)
    {
        let detail = "must be a 32bit integer";
        errors.push(FieldError::invalid(&path.key(DELETION_COST), cost, detail));
    }
    for (key, value) in all {
        let value = value.as_str().unwrap_or_default();
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            errors.extend(seccomp(value, &path.child(key)));
        }
        let Some(container) = key.strip_prefix(APP_ARMOR) else { continue };
        if !members(spec).any(|member| member.name == container) {
            errors.push(FieldError::invalid(&path.key(key), container, "container not found"));
        }
        if !matches!(value, "" | "runtime/default" | "unconfined")
            && !value.starts_with("localhost/")
        {
            let detail = format!("invalid AppArmor profile name: {}", go_quote(value));
            errors.push(FieldError::invalid(&path.key(key), value, &detail));
        }
    }
    errors
}

/// A number of 32 bits, written in one way only.
fn is_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok() && (text == "0" || !text.starts_with(['+', '0']))
}

fn seccomp(profile: &str, path: &Path) -> Errors {
    match profile.strip_prefix("localhost/") {
        Some(file) => super::volume::inside(file, path),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {
            Errors::new()
        }
        None => vec![FieldError::invalid(path, profile, "must be a valid seccomp profile")],
    }
}

/// Checks that what annotations say of security profiles is what the fields say; `path` is that of the
/// spec.
pub(in crate::strategy) fn validate_profiles(
    metadata: &Value,
    spec: &PodSpec,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    if all(metadata).is_none() {
        return errors;
    }
    let context = spec.security_context.as_ref();
    let of_pod = context.and_then(|context| context.seccomp_profile.as_ref());
    if let (Some(value), Some(profile)) = (annotation(metadata, SECCOMP_POD), of_pod) {
        let at = path.child("securityContext").child("seccompProfile");
        errors.extend(same("seccomp", value, &Profile::from(profile), &at));
    }
    let linux = spec.os.as_ref().is_none_or(|os| os.name != "windows");
    let of_pod = context.and_then(|context| context.app_armor_profile.as_ref());
    for member in members(spec) {
        let at = member.path(path).child("securityContext");
        let own = member.security.and_then(|context| context.seccomp_profile.as_ref());
        let value = annotation(metadata, &format!("{SECCOMP_CONTAINER}{}", member.name));
        if let (Some(value), Some(profile)) = (value, own) {
            let at = at.child("seccompProfile");
            errors.extend(same("seccomp", value, &Profile::from(profile), &at));
        }
        let own = member.security.and_then(|context| context.app_armor_profile.as_ref());
        let value = annotation(metadata, &format!("{APP_ARMOR}{}", member.name));
        if let (Some(value), Some(profile)) = (value.filter(|_| linux), own.or(of_pod)) {
            let at = at.child("appArmorProfile");
            errors.extend(same("apparmor", value, &Profile::from(profile), &at));
        }
    }
    errors
}

/// What the two kinds of profile have in common.
struct Profile<'a> {
    kind: &'a str,
    local: Option<&'a str>,
}

impl<'a> From<&'a SeccompProfile> for Profile<'a> {
    fn from(profile: &'a SeccompProfile) -> Self {
        Self { kind: &profile.type_, local: profile.localhost_profile.as_deref() }
    }
}

impl<'a> From<&'a AppArmorProfile> for Profile<'a> {
    fn from(profile: &'a AppArmorProfile) -> Self {
        Self { kind: &profile.type_, local: profile.localhost_profile.as_deref() }
    }
}

fn same(what: &str, annotation: &str, field: &Profile<'_>, path: &Path) -> Option<FieldError> {
    let local = annotation.strip_prefix("localhost/");
    let agree = match field.kind {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => {
            annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default")
        }
        "Localhost" => local.is_some(),
        _ => true,
    };
    if !agree {
        let detail = format!("{what} type in annotation and field must match");
        return Some(FieldError::forbidden(&path.child("type"), &detail));
    }
    if field.kind == "Localhost" && local != field.local {
        let detail = format!("{what} profile in annotation and field must match");
        return Some(FieldError::forbidden(&path.child("localhostProfile"), &detail));
    }
    None
}

/// Checks which annotations of a pod changed; `path` is theirs.
pub(super) fn validate_update(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let refuse = |verb: &str, key: &str| -> Option<FieldError> {
        let detail = match key {
            MIRROR => format!("may not {verb} mirror pod annotation"),
            key if key.starts_with(APP_ARMOR) => format!("may not {verb} AppArmor annotations"),
            _ => return None,
        };
        Some(FieldError::forbidden(&path.key(key), &detail))
    };
    let (has, had) = (&new["annotations"], &old["annotations"]);
    for (key, value) in had.as_object().into_iter().flatten() {
        if has.get(key) != Some(value) {
            errors.extend(refuse("remove or update", key));
        }
    }
    for (key, _) in has.as_object().into_iter().flatten() {
        if had.get(key).is_none() {
            errors.extend(refuse("add", key));
        }
    }
    errors
}
