//! Brings what the runtime's records say into [`Have`], and what the API server was told before.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use runtime::spec::{ContainerState, Exit, ExitReason, Identity, SandboxStatus};

use super::containers;
use super::model::{Attempt, Have, HaveContainer, Resize, Sandbox};
use crate::network;

/// Code of a container whose end nobody saw.
const UNKNOWN_CODE: i32 = 137;

/// Label of a container's record: its image as the spec named it.
pub(crate) const IMAGE_LABEL: &str = "image";
/// Label of a container's record: its `resources` as it has them, JSON.
pub(crate) const RESOURCES_LABEL: &str = "resources";
/// Label of a Wasm container's record.
pub(crate) const WASM_LABEL: &str = "wasm";

/// What is known of a pod when its worker begins: what the API server was told, as of earlier sandboxes.
pub(crate) fn adopt(pod: &Pod, now: Timestamp) -> Have {
    let containers = containers::statuses(pod)
        .filter_map(|status| Some((status.name.clone(), carried(status, now)?)))
        .collect();
    let pod_ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    Have {
        sandbox: Sandbox::Absent { clean: false },
        busy: false,
        retry_at: None,
        pod_ip: pod_ip.and_then(|ip| ip.parse().ok()),
        containers,
        verdict: None,
        resize: Resize::default(),
        limits: None,
        reported: false,
        stopping_since: None,
    }
}

fn carried(status: &ContainerStatus, now: Timestamp) -> Option<HaveContainer> {
    let id = status.container_id.as_deref()?.trim_start_matches("wharf://").to_owned();
    let image_digest = status.image_id.rsplit_once('@').map_or("", |(_, digest)| digest).to_owned();
    let number = u32::try_from(status.restart_count).unwrap_or(0);
    let state = status.state.as_ref();
    let terminated = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        state.and_then(|state| state.terminated.clone())
    };
    let last = terminated(status.last_state.as_ref());
    let (exit, before) = match (terminated(state), state.and_then(|state| state.running.as_ref())) {
        (Some(ended), _) => (exit(&ended, now), last),
        (None, Some(running)) => {
            let started_at = running.started_at.as_ref().map_or(now, |time| time.0);
            (lost(started_at, now), last)
        }
        (None, None) => (exit(&last?, now), None),
    };
    let attempt = |number, id: &str, exit| Attempt {
        number,
        id: id.to_owned(),
        image_digest: image_digest.clone(),
        image: String::new(),
        resources: None,
        wasm: false,
        user: status.user.as_ref().and_then(user),
        state: ContainerState::Exited(exit),
    };
    Some(HaveContainer {
        latest: Some(attempt(number, &id, exit)),
        previous: before.map(|ended| {
            let id = ended.container_id.clone().unwrap_or_default();
            attempt(
                number.saturating_sub(1),
                id.trim_start_matches("wharf://"),
                self::exit(&ended, now),
            )
        }),
        from_earlier_sandbox: true,
        ..HaveContainer::default()
    })
}

fn user(told: &k8s_openapi::api::core::v1::ContainerUser) -> Option<Identity> {
    let linux = told.linux.as_ref()?;
    let groups = linux.supplemental_groups.iter().flatten();
    Some(Identity {
        uid: linux.uid.try_into().ok()?,
        gid: linux.gid.try_into().ok()?,
        groups: groups.filter_map(|group| u32::try_from(*group).ok()).collect(),
    })
}

fn lost(started_at: Timestamp, now: Timestamp) -> Exit {
    Exit {
        code: UNKNOWN_CODE,
        signal: None,
        reason: ExitReason::ContainerStatusUnknown,
        message: "The container could not be located when the pod was restarted".to_owned(),
        started_at,
        finished_at: now,
    }
}

fn exit(ended: &ContainerStateTerminated, now: Timestamp) -> Exit {
    let time = |time: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
        time.as_ref().map_or(now, |time| time.0)
    };
    let reason = match ended.reason.as_deref() {
        Some("Completed") => ExitReason::Completed,
        Some("OOMKilled") => ExitReason::OOMKilled,
        Some("WasmTrap") => ExitReason::WasmTrap,
        Some("WasmLinkError") => ExitReason::WasmLinkError,
        Some("StartError") => ExitReason::StartError,
        Some("ContainerStatusUnknown") => ExitReason::ContainerStatusUnknown,
        _ if ended.exit_code == 0 => ExitReason::Completed,
        _ => ExitReason::Error,
    };
    Exit {
        code: ended.exit_code,
        signal: ended.signal,
        reason,
        message: ended.message.clone().unwrap_or_default(),
        started_at: time(&ended.started_at),
        finished_at: time(&ended.finished_at),
    }
}

/// Updates `have` from the runtime's record of the pod's sandbox.
pub(crate) fn observe(have: &mut Have, sandbox: Option<&SandboxStatus>) {
    let Some(sandbox) = sandbox else {
        if !matches!(have.sandbox, Sandbox::Absent { .. }) {
            have.sandbox = Sandbox::Absent { clean: false };
        }
        have.limits = None;
        for container in have.containers.values_mut() {
            container.from_earlier_sandbox = true;
        }
        return;
    };
    have.sandbox = if sandbox.alive { Sandbox::Alive } else { Sandbox::Dead };
    have.limits = Some(sandbox.spec.resources.clone());
    have.pod_ip = network::address_of(&sandbox.spec.network).or(have.pod_ip);
    for status in &sandbox.containers {
        let attempt = Attempt {
            number: status.spec.attempt,
            id: status.id.clone(),
            image_digest: status.image_digest.clone(),
            image: status.spec.labels.get(IMAGE_LABEL).cloned().unwrap_or_default(),
            resources: status
                .spec
                .labels
                .get(RESOURCES_LABEL)
                .and_then(|text| serde_json::from_str(text).ok()),
            wasm: status.spec.labels.contains_key(WASM_LABEL),
            user: status.user.clone(),
            state: status.state.clone(),
        };
        let container = have.containers.entry(status.spec.name.clone()).or_default();
        match &container.latest {
            Some(known) if known.number > attempt.number => {}
            Some(known) if known.number == attempt.number => container.latest = Some(attempt),
            _ => {
                container.previous = container.latest.replace(attempt);
                container.waiting = None;
                container.retry_at = None;
                container.resizing = false;
            }
        }
    }
    for (name, container) in &mut have.containers {
        let number = container.latest.as_ref().map(|latest| latest.number);
        let here = sandbox
            .containers
            .iter()
            .any(|status| status.spec.name == *name && Some(status.spec.attempt) == number);
        container.from_earlier_sandbox = !here;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::spec::{
        ContainerSpec, ContainerStatus as Record, Network, Resources, SandboxSpec, Security,
        UserSpec,
    };
    use serde_json::json;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn sandbox(containers: Vec<Record>) -> SandboxStatus {
        SandboxStatus {
            spec: SandboxSpec {
                id: "u".into(),
                labels: Default::default(),
                hostname: "p".into(),
                network: Network::Loopback { address: "127.64.0.2".parse().unwrap() },
                namespaces: Default::default(),
                sysctls: Default::default(),
                hosts: String::new(),
                resolv_conf: String::new(),
                resources: Resources::default(),
                log_dir: "/tmp".into(),
            },
            alive: true,
            created_at: now(),
            containers,
        }
    }

    fn record(name: &str, attempt: u32, state: ContainerState) -> Record {
        Record {
            spec: ContainerSpec {
                name: name.into(),
                attempt,
                image: "i".into(),
                command: Vec::new(),
                args: Vec::new(),
                env: Vec::new(),
                working_dir: None,
                user: UserSpec::default(),
                mounts: Vec::new(),
                resources: Resources::default(),
                security: Security::default(),
                http_port: None,
                stdio: Default::default(),
                pid_of: None,
                labels: Default::default(),
            },
            image_digest: "sha256:1".into(),
            user: None,
            id: format!("u-{name}-{attempt}"),
            state,
            log_path: "/tmp/x".into(),
        }
    }

    fn running() -> ContainerState {
        ContainerState::Running { pid: 1, started_at: now() }
    }

    #[test]
    fn restarted_agent_adopts_running_containers_and_counts_on() {
        let pod: Pod = serde_json::from_value(json!({"status": {"podIP": "127.64.0.2", "containerStatuses": [
            {"name": "a", "image": "i", "imageID": "x@sha256:1", "ready": true, "restartCount": 1, "containerID": "wharf://u-a-1",
             "state": {"running": {"startedAt": "2026-11-21T01:00:00Z"}},
             "lastState": {"terminated": {"exitCode": 3, "reason": "Error", "containerID": "wharf://u-a-0"}}}
        ]}}))
        .unwrap();
        let mut have = adopt(&pod, now());
        observe(&mut have, Some(&sandbox(vec![record("a", 1, running())])));
        let a = &have.containers["a"];
        assert!(a.running() && !a.from_earlier_sandbox);
        assert_eq!(a.previous.as_ref().unwrap().exit().unwrap().code, 3);
        assert_eq!(a.next_attempt(), 2);
        assert_eq!(have.sandbox, Sandbox::Alive);
    }

    #[test]
    fn what_is_not_on_disk_any_more_is_lost() {
        let pod: Pod = serde_json::from_value(json!({"status": {"containerStatuses": [
            {"name": "a", "image": "i", "imageID": "", "ready": true, "restartCount": 4, "containerID": "wharf://x", "state": {"running": {}}},
            {"name": "b", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}
        ]}}))
        .unwrap();
        let mut have = adopt(&pod, now());
        observe(&mut have, None);
        let a = &have.containers["a"];
        assert!(a.from_earlier_sandbox);
        assert_eq!(a.exit().unwrap().reason, ExitReason::ContainerStatusUnknown);
        assert_eq!(a.next_attempt(), 5);
        assert!(!have.containers.contains_key("b"), "b never ran");
    }

    #[test]
    fn new_attempt_replaces_what_waited() {
        let mut have = adopt(&Pod::default(), now());
        observe(&mut have, Some(&sandbox(vec![record("a", 0, running())])));
        have.containers.get_mut("a").unwrap().waiting =
            Some(super::super::model::Waiting { reason: "x".into(), message: String::new() });
        let ended = ContainerState::Exited(lost(now(), now()));
        observe(&mut have, Some(&sandbox(vec![record("a", 0, ended), record("a", 1, running())])));
        let a = &have.containers["a"];
        assert_eq!(
            (a.latest.as_ref().unwrap().number, a.previous.as_ref().unwrap().number),
            (1, 0)
        );
        assert_eq!(a.waiting, None);
        assert!(
            a.previous.as_ref().unwrap().exit().is_some(),
            "the first attempt's end was seen on the way"
        );
        observe(&mut have, None);
        assert!(have.containers["a"].from_earlier_sandbox);
        assert_eq!(have.sandbox, Sandbox::Absent { clean: false });
    }
}
