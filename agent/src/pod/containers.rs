//! The containers of a pod, whichever list of its spec they are in.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, EphemeralContainer, Pod};

/// All of them: init containers, then the main ones, then the ephemeral ones.
pub(crate) fn all(pod: &Pod) -> impl Iterator<Item = Cow<'_, Container>> {
    pod.spec.iter().flat_map(|spec| {
        let made_with = spec.init_containers.iter().flatten().chain(&spec.containers);
        let added = spec.ephemeral_containers.iter().flatten();
        made_with.map(Cow::Borrowed).chain(added.map(|added| Cow::Owned(of_ephemeral(added))))
    })
}

/// The container of that name.
pub(crate) fn find<'p>(pod: &'p Pod, name: &str) -> Option<Cow<'p, Container>> {
    all(pod).find(|container| container.name == name)
}

/// What the pod's status says of all of them.
pub(crate) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        lists.into_iter().flat_map(|list| list.iter().flatten())
    })
}

/// The container among whose processes an ephemeral one wants to be (`targetContainerName`).
pub(crate) fn target<'p>(pod: &'p Pod, name: &str) -> Option<&'p str> {
    let mut ephemeral = pod.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten());
    let found = ephemeral.find(|container| container.name == name)?;
    found.target_container_name.as_deref().filter(|target| !target.is_empty())
}

/// An ephemeral container as the container that it is once it has been added.
pub(crate) fn of_ephemeral(ephemeral: &EphemeralContainer) -> Container {
    let EphemeralContainer {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        target_container_name: _,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = ephemeral.clone();
    Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_list_counts() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {
                "initContainers": [{"name": "i"}], "containers": [{"name": "a"}],
                "ephemeralContainers": [
                    {"name": "e", "image": "x", "tty": true, "targetContainerName": "a"},
                    {"name": "f", "targetContainerName": ""}
                ]
            },
            "status": {
                "ephemeralContainerStatuses":
                    [{"name": "e", "image": "", "imageID": "", "ready": false, "restartCount": 0}]
            }
        }))
        .unwrap();
        let names: Vec<String> = all(&pod).map(|container| container.name.clone()).collect();
        assert_eq!(names, ["i", "a", "e", "f"]);
        let e = find(&pod, "e").unwrap();
        assert_eq!((e.image.as_deref(), e.tty), (Some("x"), Some(true)));
        assert!(find(&pod, "g").is_none());
        let targets = ["a", "e", "f"].map(|name| target(&pod, name));
        assert_eq!(targets, [None, Some("a"), None]);
        assert_eq!(statuses(&pod).count(), 1);
    }
}
