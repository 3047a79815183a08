//! `securityContext` of pod and container: who runs, and what the kernel lets it do.

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SecurityContext};
use runtime::spec::{SeccompProfile, Security, UserSpec};

use crate::pod::status::pod_text;

/// A security context that cannot be honoured: the container stays in `CreateContainerConfigError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecurityError {
    #[error(
        "container's runAsUser breaks non-root policy (pod: \"{pod}\", container: {container})"
    )]
    RootWanted { pod: String, container: String },
    #[error(
        "container has runAsNonRoot and image will run as root (pod: \"{pod}\", container: {container})"
    )]
    ImageIsRoot { pod: String, container: String },
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: \"{pod}\", container: {container})"
    )]
    UnknownUser { user: String, pod: String, container: String },
    #[error("{field} {value} is out of range")]
    Range { field: &'static str, value: i64 },
    #[error(
        "seccomp profile of type {type_} is not supported by this node (container: {container})"
    )]
    Seccomp { type_: String, container: String },
    #[error(
        "AppArmor profile {profile:?} cannot be enforced: this node confines no container with AppArmor \
         (container: {container})"
    )]
    AppArmor { profile: String, container: String },
}

/// Where a profile was named before there was a field for it; the container's name follows.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// User, group and groups of a container. `image_user` is the image's `User`, empty for root.
pub(crate) fn user(
    pod: &Pod,
    container: &Container,
    image_user: &str,
) -> Result<UserSpec, SecurityError> {
    let (of_pod, own) = contexts(pod, container);
    let uid = number("runAsUser", own.run_as_user.or(of_pod.run_as_user))?;
    let gid = number("runAsGroup", own.run_as_group.or(of_pod.run_as_group))?;
    let non_root = own.run_as_non_root.or(of_pod.run_as_non_root).unwrap_or(false);
    let here = || (pod_text(pod), container.name.clone());
    if non_root {
        let name = image_user.split(':').next().unwrap_or_default();
        let (pod, container) = here();
        match (uid, name.parse::<u32>()) {
            (Some(0), _) => return Err(SecurityError::RootWanted { pod, container }),
            (Some(_), _) => {}
            (None, Ok(0)) => return Err(SecurityError::ImageIsRoot { pod, container }),
            (None, Ok(_)) => {}
            (None, Err(_)) if name.is_empty() => {
                return Err(SecurityError::ImageIsRoot { pod, container });
            }
            (None, Err(_)) => {
                return Err(SecurityError::UnknownUser { user: name.to_owned(), pod, container });
            }
        }
    }
    let mut groups = Vec::new();
    for group in of_pod.supplemental_groups.iter().flatten().copied().chain(of_pod.fs_group) {
        groups.extend(number("supplementalGroups", Some(group))?);
    }
    groups.dedup();
    let strict_groups = of_pod.supplemental_groups_policy.as_deref() == Some("Strict");
    let supplementary_gids = groups;
    Ok(UserSpec { uid, gid, supplementary_gids, strict_groups, must_be_non_root: non_root })
}

/// Capabilities, seccomp and friends of a container.
pub(crate) fn security(pod: &Pod, container: &Container) -> Result<Security, SecurityError> {
    if let Some(profile) = app_armor(pod, container) {
        return Err(SecurityError::AppArmor { profile, container: container.name.clone() });
    }
    let (of_pod, own) = contexts(pod, container);
    let capabilities = own.capabilities.unwrap_or_default();
    let bare = |names: Option<Vec<String>>| -> Vec<String> {
        names
            .into_iter()
            .flatten()
            .map(|name| name.to_uppercase().trim_start_matches("CAP_").to_owned())
            .collect()
    };
    let privileged = own.privileged.unwrap_or(false);
    let seccomp = match own.seccomp_profile.or(of_pod.seccomp_profile).map(|profile| profile.type_)
    {
        _ if privileged => SeccompProfile::Unconfined,
        None => SeccompProfile::RuntimeDefault,
        Some(type_) => match type_.as_str() {
            "RuntimeDefault" => SeccompProfile::RuntimeDefault,
            "Unconfined" => SeccompProfile::Unconfined,
            _ => return Err(SecurityError::Seccomp { type_, container: container.name.clone() }),
        },
    };
    Ok(Security {
        privileged,
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        add_capabilities: bare(capabilities.add),
        drop_capabilities: bare(capabilities.drop),
        seccomp,
    })
}

/// The AppArmor profile of this host's that a container insists on. `RuntimeDefault` is best effort, as it
/// is in Kubernetes: where there is no AppArmor, it means nothing.
fn app_armor(pod: &Pod, container: &Container) -> Option<String> {
    let (of_pod, own) = contexts(pod, container);
    let profile = own.app_armor_profile.or(of_pod.app_armor_profile);
    if let Some(profile) = profile {
        return (profile.type_ == "Localhost")
            .then(|| profile.localhost_profile.unwrap_or_default());
    }
    let annotation = format!("{APP_ARMOR_ANNOTATION}{}", container.name);
    let text = pod.metadata.annotations.as_ref()?.get(&annotation)?;
    text.strip_prefix("localhost/").map(str::to_owned)
}

/// `securityContext.fsGroup`: the group that owns the pod's volumes.
pub(crate) fn fs_group(pod: &Pod) -> Option<u32> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    context.fs_group.and_then(|group| u32::try_from(group).ok())
}

/// Whether a volume whose folder is the fsGroup's already is left as it is (`fsGroupChangePolicy`).
pub(crate) fn changes_on_root_mismatch(pod: &Pod) -> bool {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let policy = context.and_then(|context| context.fs_group_change_policy.as_deref());
    policy == Some("OnRootMismatch")
}

fn contexts(pod: &Pod, container: &Container) -> (PodSecurityContext, SecurityContext) {
    let of_pod =
        pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
    (of_pod, container.security_context.clone().unwrap_or_default())
}

fn number(field: &'static str, value: Option<i64>) -> Result<Option<u32>, SecurityError> {
    value
        .map(|value| u32::try_from(value).map_err(|_| SecurityError::Range { field, value }))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(of_pod: Value, own: Value) -> (Pod, Container) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"securityContext": of_pod, "containers": [{"name": "c", "securityContext": own}]}
        }))
        .unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        (pod, container)
    }

    #[test]
    fn container_wins_over_pod() {
        let (p, c) = pod(
            json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 5, "supplementalGroups": [3, 4],
                "supplementalGroupsPolicy": "Strict"}),
            json!({"runAsUser": 9}),
        );
        let user = user(&p, &c, "").unwrap();
        assert_eq!(
            user,
            UserSpec {
                uid: Some(9),
                gid: Some(2),
                supplementary_gids: vec![3, 4, 5],
                strict_groups: true,
                must_be_non_root: false
            }
        );
        assert_eq!(fs_group(&p), Some(5));
    }

    #[test]
    fn non_root_is_checked_against_user_and_image() {
        let refused = |own: Value, image: &str| {
            let (p, c) = pod(json!({"runAsNonRoot": true}), own);
            user(&p, &c, image).err().map(|error| error.to_string())
        };
        let tail = r#"(pod: "p_n(u)", container: c)"#;
        assert_eq!(
            refused(json!({}), "").unwrap(),
            format!("container has runAsNonRoot and image will run as root {tail}")
        );
        assert_eq!(
            refused(json!({}), "0:0").unwrap(),
            format!("container has runAsNonRoot and image will run as root {tail}")
        );
        assert_eq!(
            refused(json!({"runAsUser": 0}), "7").unwrap(),
            format!("container's runAsUser breaks non-root policy {tail}")
        );
        assert_eq!(
            refused(json!({}), "web").unwrap(),
            format!(
                "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root {tail}"
            )
        );
        assert_eq!(refused(json!({"runAsUser": 7}), ""), None);
        assert_eq!(refused(json!({}), "7"), None);
        assert_eq!(refused(json!({"runAsNonRoot": false}), ""), None);
    }

    #[test]
    fn capabilities_and_profiles() {
        let (p, c) = pod(
            json!({}),
            json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"add": ["NET_ADMIN", "cap_sys_time"], "drop": ["ALL"]}
            }),
        );
        let got = security(&p, &c).unwrap();
        assert_eq!(got.add_capabilities, ["NET_ADMIN", "SYS_TIME"]);
        assert_eq!(got.drop_capabilities, ["ALL"]);
        assert!(got.no_new_privs && got.read_only_root && !got.privileged);
        assert_eq!(got.seccomp, SeccompProfile::RuntimeDefault);
        let (p, c) = pod(json!({"seccompProfile": {"type": "Unconfined"}}), json!({}));
        assert_eq!(security(&p, &c).unwrap().seccomp, SeccompProfile::Unconfined);
        let (p, c) = pod(
            json!({}),
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}),
        );
        assert!(security(&p, &c).is_err());
    }
    #[test]
    fn only_a_profile_of_the_host_is_insisted_on() {
        let localhost = json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}});
        let default = json!({"appArmorProfile": {"type": "RuntimeDefault"}});
        for (of_pod, own, annotation, refused) in [
            (json!({}), json!({}), "", None),
            (localhost.clone(), json!({}), "", Some("x")),
            (json!({}), localhost.clone(), "", Some("x")),
            (localhost, default.clone(), "", None),
            (json!({}), default, "localhost/old", None),
            (json!({}), json!({}), "localhost/old", Some("old")),
            (json!({}), json!({}), "runtime/default", None),
        ] {
            let (mut p, c) = pod(of_pod, own);
            p.metadata.annotations =
                Some([(format!("{APP_ARMOR_ANNOTATION}c"), annotation.to_owned())].into());
            let error = refused.map(|profile| SecurityError::AppArmor {
                profile: profile.to_owned(),
                container: "c".to_owned(),
            });
            assert_eq!(security(&p, &c).err(), error);
        }
    }
}
