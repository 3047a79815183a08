//! `status.containerStatuses`: one per container of the spec, whether it ever ran or not.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, ContainerUser, LinuxContainerUser, Pod,
    VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use runtime::spec::{ContainerState as Observed, ExitReason, Identity};

use crate::pod::containers;
use crate::pod::model::{Attempt, Have, HaveContainer, Role, Want};
use crate::pod::plan;

/// What every status of a pod is built from.
pub(super) struct Context<'a> {
    pub(super) pod: &'a Pod,
    pub(super) want: &'a Want,
    pub(super) have: &'a Have,
    pub(super) now: Timestamp,
    pub(super) initialized: bool,
    pub(super) ending: bool,
}

impl Context<'_> {
    pub(super) fn statuses(&self, containers: &[Container]) -> Vec<ContainerStatus> {
        containers.iter().map(|container| self.status(container)).collect()
    }

    fn status(&self, container: &Container) -> ContainerStatus {
        let role = self
            .want
            .containers
            .iter()
            .find(|c| c.name == container.name)
            .map_or(Role::Main, |c| c.role);
        let Some(have) = self.have.containers.get(&container.name) else {
            return self.reported(container, role);
        };
        let state = self.state(&container.name, role, have);
        let last = match (&state.waiting, &have.latest) {
            // It waits to run again: its newest attempt is its last state.
            (Some(_), latest) => latest.as_ref(),
            (None, _) => have.previous.as_ref(),
        };
        let running = state.running.is_some();
        let started = running && have.health.started;
        let ready = match role {
            Role::Init => state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0),
            Role::Ephemeral => false,
            _ => started && have.health.ready,
        };
        let asked = container.image.clone().unwrap_or_default();
        let (image, image_id) = match &have.latest {
            Some(latest) => image(&asked, latest),
            None => (asked, String::new()),
        };
        // What it has, as long as it runs; else what it is going to have.
        let has = have.latest.as_ref().filter(|_| running).and_then(|l| l.resources.clone());
        let agreed = container.resources.clone().unwrap_or_default();
        let ever = have.latest.is_some();
        ContainerStatus {
            name: container.name.clone(),
            image_id,
            image,
            allocated_resources: agreed.requests.clone().filter(|_| ever),
            resources: ever.then(|| has.unwrap_or(agreed)),
            user: have.latest.as_ref().and_then(|latest| latest.user.as_ref()).map(user),
            volume_mounts: volume_mounts(container),
            container_id: have.latest.as_ref().map(|latest| container_id(&latest.id)),
            restart_count: have
                .latest
                .as_ref()
                .map_or(0, |latest| i32::try_from(latest.number).unwrap_or(i32::MAX)),
            last_state: Some(last.and_then(terminated_state).unwrap_or_default()),
            ready,
            started: (role != Role::Ephemeral).then_some(started),
            state: Some(state),
            ..ContainerStatus::default()
        }
    }

    /// A container this agent has seen nothing of: what was reported before, or that it waits.
    fn reported(&self, container: &Container, role: Role) -> ContainerStatus {
        let old = containers::statuses(self.pod).find(|old| old.name == container.name);
        if let Some(old) = old.filter(|_| self.ending) {
            return old.clone();
        }
        ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            started: (role != Role::Ephemeral).then_some(false),
            volume_mounts: volume_mounts(container),
            last_state: Some(ContainerState::default()),
            state: Some(self.default_waiting(role)),
            ..ContainerStatus::default()
        }
    }

    fn default_waiting(&self, role: Role) -> ContainerState {
        let behind_inits =
            role == Role::Main && !self.initialized || self.has_inits() && role != Role::Main;
        waiting(if behind_inits { "PodInitializing" } else { "ContainerCreating" }, None)
    }

    fn has_inits(&self) -> bool {
        self.want.containers.iter().any(|c| c.role.comes_first())
    }

    fn state(&self, name: &str, role: Role, have: &HaveContainer) -> ContainerState {
        let Some(latest) = &have.latest else {
            return match &have.waiting {
                Some(why) => waiting(&why.reason, Some(&why.message)),
                None => self.default_waiting(role),
            };
        };
        let Some(exit) = latest.exit() else {
            return running_state(latest);
        };
        let spec = self.want.containers.iter().find(|c| c.name == name);
        let ended = spec.is_some_and(|spec| plan::has_ended(spec, have));
        let again = !self.ending
            && (!ended || have.from_earlier_sandbox && role == Role::Init)
            && !(role == Role::Init && self.initialized);
        if !again {
            return terminated_state(latest).unwrap_or_default();
        }
        if let Some(why) = &have.waiting {
            return waiting(&why.reason, Some(&why.message));
        }
        if have.from_earlier_sandbox {
            return self.default_waiting(role);
        }
        match have.crashes.retry_at(exit.finished_at) {
            Some(at) if at > self.now && !have.is_only_starting() => waiting(
                "CrashLoopBackOff",
                Some(&self.crash_loop(name, have.crashes.delay(exit.finished_at))),
            ),
            _ => terminated_state(latest).unwrap_or_default(),
        }
    }

    fn crash_loop(&self, container: &str, delay: Duration) -> String {
        format!(
            "back-off {} restarting failed container={} pod={}",
            go_duration(delay),
            container,
            pod_text(self.pod)
        )
    }
}

/// `name_namespace(uid)`, as the kubelet writes pods in messages.
pub(crate) fn pod_text(pod: &Pod) -> String {
    format!(
        "{}_{}({})",
        pod.metadata.name.as_deref().unwrap_or_default(),
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod.metadata.uid.as_deref().unwrap_or_default()
    )
}

/// `wharf://…`, the form of a container id in the API.
pub(crate) fn container_id(id: &str) -> String {
    format!("wharf://{id}")
}

/// Whole seconds as Go prints a duration: `10s`, `2m40s`, `5m0s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

/// The whole name of the image that an attempt was made from, and its id: repository and digest, for the
/// tag says nothing about the bytes. `asked` is the name in the spec.
fn image(asked: &str, attempt: &Attempt) -> (String, String) {
    let name = Some(attempt.image.as_str()).filter(|name| !name.is_empty()).unwrap_or(asked);
    let digest = &attempt.image_digest;
    match name.parse::<runtime::image::Reference>() {
        Ok(reference) => {
            let id = format!("{}/{}@{digest}", reference.registry(), reference.repository());
            (reference.to_string(), id)
        }
        Err(_) => (name.to_owned(), digest.clone()),
    }
}

fn user(identity: &Identity) -> ContainerUser {
    let groups = identity.groups.iter().map(|group| i64::from(*group)).collect();
    let linux = LinuxContainerUser {
        uid: identity.uid.into(),
        gid: identity.gid.into(),
        supplemental_groups: Some(groups),
    };
    ContainerUser { linux: Some(linux) }
}

/// What became of the mounts: one that is read-only is so with everything under it, for whoever asked for
/// that and for everybody else.
fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let status = |mount: &k8s_openapi::api::core::v1::VolumeMount| {
        let read_only = mount.read_only == Some(true);
        let asked = mount.recursive_read_only.as_deref();
        let recursive = match asked {
            Some("Enabled" | "IfPossible") => "Enabled",
            _ => "Disabled",
        };
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: read_only.then_some(true),
            recursive_read_only: read_only.then(|| recursive.to_owned()),
            volume_status: None,
        }
    };
    let all: Vec<_> = container.volume_mounts.iter().flatten().map(status).collect();
    Some(all).filter(|all| !all.is_empty())
}

fn waiting(reason: &str, message: Option<&str>) -> ContainerState {
    let message = message.filter(|message| !message.is_empty()).map(str::to_owned);
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.into()), message }),
        ..ContainerState::default()
    }
}

fn running_state(attempt: &Attempt) -> ContainerState {
    let started_at = match &attempt.state {
        Observed::Running { started_at, .. } => Some(Time(*started_at)),
        Observed::Exited(_) => None,
    };
    ContainerState {
        running: Some(ContainerStateRunning { started_at }),
        ..ContainerState::default()
    }
}

/// Kubernetes' word for how a container ended.
fn reason_word(reason: ExitReason) -> &'static str {
    match reason {
        ExitReason::Completed => "Completed",
        ExitReason::Error => "Error",
        ExitReason::OOMKilled => "OOMKilled",
        ExitReason::WasmTrap => "WasmTrap",
        ExitReason::WasmLinkError => "WasmLinkError",
        ExitReason::StartError => "StartError",
        ExitReason::ContainerStatusUnknown => "ContainerStatusUnknown",
    }
}

fn terminated_state(attempt: &Attempt) -> Option<ContainerState> {
    let exit = attempt.exit()?;
    let terminated = ContainerStateTerminated {
        container_id: Some(container_id(&attempt.id)).filter(|_| !attempt.id.is_empty()),
        exit_code: exit.code,
        signal: exit.signal,
        reason: Some(reason_word(exit.reason).to_owned()),
        message: Some(exit.message.clone()).filter(|message| !message.is_empty()),
        started_at: Some(Time(exit.started_at)),
        finished_at: Some(Time(exit.finished_at)),
    };
    Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() })
}
