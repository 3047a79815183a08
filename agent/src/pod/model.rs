//! The two inputs of the plan: what a pod asks for ([`Want`]) and what there is ([`Have`]).
//!
//! `Want` is cut out of the API object; `Have` is put together by the worker from the runtime's
//! records, its operations in flight, its back-offs and the probes' verdicts. Both are plain data,
//! so that planning and status are functions that a table can test.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use runtime::spec::{ContainerState, Exit, Identity, Resources};

use super::backoff::Backoff;
use super::resize::{Need, RestartFor};
use super::restart::Restart;
use super::{containers, resize};
use crate::translate::resources::{ContainerQuantities, of_pod, quantities};
use crate::translate::sysctl;

/// `spec.restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    fn of(pod: &Pod) -> Self {
        let name = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        name.and_then(Self::named).unwrap_or(Self::Always)
    }

    /// The policy of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "Always" => Some(Self::Always),
            "OnFailure" => Some(Self::OnFailure),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }

    /// Whether a container that ended with `code` is started again.
    pub(crate) fn restarts(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// Which of the pod's lists a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to completion before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: stays beside the main containers.
    Sidecar,
    /// One of `spec.containers`.
    Main,
    /// One of `spec.ephemeralContainers`: runs once beside the others, and nothing depends on it.
    Ephemeral,
}

impl Role {
    /// Role of one of `spec.initContainers`.
    pub(crate) fn of_init(container: &Container) -> Self {
        if container.restart_policy.as_deref() == Some("Always") {
            Self::Sidecar
        } else {
            Self::Init
        }
    }

    /// Whether a container of this role has its turn before the main ones.
    pub(crate) fn comes_first(self) -> bool {
        matches!(self, Self::Init | Self::Sidecar)
    }
}

/// What the plan needs of one container of the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantContainer {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// When it is started again after it ended.
    pub(crate) restart: Restart,
    /// Image as the spec names it.
    pub(crate) image: String,
    /// Grace of a restart after a failed liveness or startup probe, where the probe has its own.
    pub(crate) probe_grace: Option<Duration>,
    /// What it is to have of the node.
    pub(crate) amounts: ContainerQuantities,
    /// Which changes of that need a restart.
    pub(crate) restart_for: RestartFor,
}

/// What a pod asks of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// Init containers in their order, then the main ones, then the ephemeral ones.
    pub(crate) containers: Vec<WantContainer>,
    /// What it is to have as a whole.
    pub(crate) limits: Resources,
    /// Why this node does not take the pod at all.
    pub(crate) rejected: Option<Verdict>,
    /// `spec.terminationGracePeriodSeconds`.
    pub(crate) grace: Duration,
    /// Set when the pod is being deleted: the grace that the deletion asked for.
    pub(crate) deletion: Option<Duration>,
    /// The object no longer exists: nothing can be reported, everything must go.
    pub(crate) gone: bool,
    /// The API server's phase is Succeeded or Failed already: nothing starts any more.
    pub(crate) finished: bool,
    /// `status.startTime` + `spec.activeDeadlineSeconds`.
    pub(crate) deadline: Option<Timestamp>,
}

impl Want {
    /// Cuts the plan's input out of a pod. `started` is when this node first took notice of it.
    pub(crate) fn of(pod: &Pod, started: Timestamp) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let roles = spec.init_containers.iter().flatten().map(Role::of_init);
        let roles = roles.chain(spec.containers.iter().map(|_| Role::Main));
        let roles = roles.chain(std::iter::repeat(Role::Ephemeral));
        let containers = containers::all(pod)
            .zip(roles)
            .map(|(container, role)| WantContainer {
                name: container.name.clone(),
                role,
                restart: Restart::of(&container, RestartPolicy::of(pod)),
                image: container.image.clone().unwrap_or_default(),
                probe_grace: probe_grace(&container),
                amounts: quantities(&container),
                restart_for: RestartFor::of(&container),
            })
            .collect();
        let rejected = sysctl::forbidden(&spec).map(|message| Verdict {
            reason: "SysctlForbidden",
            message,
            rejected: true,
        });
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        Self {
            containers,
            limits: of_pod(&spec),
            rejected,
            grace: seconds(spec.termination_grace_period_seconds.unwrap_or(30)),
            deletion: pod
                .metadata
                .deletion_timestamp
                .as_ref()
                .map(|_| seconds(pod.metadata.deletion_grace_period_seconds.unwrap_or(30))),
            gone: false,
            finished: matches!(phase, Some("Succeeded" | "Failed")),
            deadline: spec
                .active_deadline_seconds
                .and_then(|after| started.checked_add(SignedDuration::from_secs(after)).ok()),
        }
    }
}

fn probe_grace(container: &Container) -> Option<Duration> {
    let of = |probe: &Option<k8s_openapi::api::core::v1::Probe>| {
        probe.as_ref().and_then(|p| p.termination_grace_period_seconds)
    };
    of(&container.liveness_probe).or_else(|| of(&container.startup_probe)).map(seconds)
}

fn seconds(value: i64) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or(0))
}

/// Where the pod's sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// There is none. `clean` says that volumes and address are gone too.
    Absent { clean: bool },
    /// The shim lives.
    Alive,
    /// Its record is on disk but the shim is lost.
    Dead,
}

/// Something the worker has begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Image, configuration, start of this attempt.
    Starting { attempt: u32 },
    /// preStop, stop signal, at the end SIGKILL; began with this grace.
    Stopping { grace: Duration },
}

/// One attempt of a container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    /// The runtime's id, without scheme.
    pub(crate) id: String,
    pub(crate) image_digest: String,
    /// Image as the spec named it then; empty if that is not known.
    pub(crate) image: String,
    /// What it has of the node; `None` if that is not known.
    pub(crate) resources: Option<ResourceRequirements>,
    /// It is a Wasm container, whose host has limits of its own.
    pub(crate) wasm: bool,
    /// Who its first process became.
    pub(crate) user: Option<Identity>,
    pub(crate) state: ContainerState,
}

impl Attempt {
    /// How it ended, if it did.
    pub(crate) fn exit(&self) -> Option<&Exit> {
        match &self.state {
            ContainerState::Exited(exit) => Some(exit),
            ContainerState::Running { .. } => None,
        }
    }
}

/// Why a container is not running, in the words of `state.waiting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Which probe of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    /// The word in events: `Liveness probe failed: …`.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// What the probes say of the attempt that runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Health {
    /// No startup probe, or it has passed.
    pub(crate) started: bool,
    /// No readiness probe, or it passes.
    pub(crate) ready: bool,
    /// The probe that asks for a restart.
    pub(crate) failed: Option<ProbeKind>,
}

impl Default for Health {
    fn default() -> Self {
        Self { started: true, ready: true, failed: None }
    }
}

/// One container as observed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HaveContainer {
    /// The newest attempt that was ever made.
    pub(crate) latest: Option<Attempt>,
    /// The newest attempt was made in an earlier sandbox.
    pub(crate) from_earlier_sandbox: bool,
    /// How the attempt before the newest ended.
    pub(crate) previous: Option<Attempt>,
    /// The newest attempt was ended to be started again with other resources.
    pub(crate) resizing: bool,
    /// What is in flight.
    pub(crate) operation: Option<Operation>,
    /// Why the last try to start it failed.
    pub(crate) waiting: Option<Waiting>,
    /// Earliest moment of the next try to start it.
    pub(crate) retry_at: Option<Timestamp>,
    /// Back-off of its crashes.
    pub(crate) crashes: Backoff,
    /// What its probes say.
    pub(crate) health: Health,
}

impl HaveContainer {
    pub(crate) fn running(&self) -> bool {
        matches!(&self.latest, Some(attempt) if attempt.exit().is_none())
    }

    /// How the newest attempt ended; `None` while it runs or was never made.
    pub(crate) fn exit(&self) -> Option<&Exit> {
        self.latest.as_ref().and_then(Attempt::exit)
    }

    /// Whether a start is in flight that has not made an attempt yet, so that dropping it undoes it.
    pub(crate) fn is_only_starting(&self) -> bool {
        let made = self.latest.as_ref().map(|latest| latest.number);
        matches!(self.operation, Some(Operation::Starting { attempt }) if Some(attempt) != made)
    }

    /// Whether the newest attempt runs an image that the spec has replaced meanwhile.
    pub(crate) fn outdated(&self, want: &WantContainer) -> bool {
        self.latest
            .as_ref()
            .is_some_and(|latest| !latest.image.is_empty() && latest.image != want.image)
    }

    /// What it takes to give the attempt that runs the resources that it is to have.
    pub(crate) fn resize(&self, want: &WantContainer) -> Need {
        match &self.latest {
            Some(latest) if latest.exit().is_none() => resize::need(want, latest),
            _ => Need::Nothing,
        }
    }

    /// Number of the next attempt: counts on across sandboxes.
    pub(crate) fn next_attempt(&self) -> u32 {
        self.latest.as_ref().map_or(0, |attempt| attempt.number + 1)
    }
}

/// The node ended the pod, against its will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// It was not even let in.
    pub(crate) rejected: bool,
}

/// How far a resize of the pod has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resize {
    /// The node does not give what is asked for: `Deferred` or `Infeasible`, and why.
    pub(crate) pending: Option<(&'static str, String)>,
    /// The last try to give what was agreed to failed.
    pub(crate) error: Option<String>,
}

/// What there is of a pod on this node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Have {
    pub(crate) sandbox: Sandbox,
    /// An operation on the pod as a whole is in flight: sandbox, clean-up, deletion of the object.
    pub(crate) busy: bool,
    /// Earliest moment of the next such operation, after one failed.
    pub(crate) retry_at: Option<Timestamp>,
    /// The pod's address while there is a sandbox.
    pub(crate) pod_ip: Option<IpAddr>,
    pub(crate) containers: BTreeMap<String, HaveContainer>,
    /// Set once the node has decided to end the pod.
    pub(crate) verdict: Option<Verdict>,
    /// How far a resize has come.
    pub(crate) resize: Resize,
    /// What the pod has as a whole, while there is a sandbox.
    pub(crate) limits: Option<Resources>,
    /// The last status was accepted by the API server.
    pub(crate) reported: bool,
    /// When the containers of a terminating pod were first told to stop.
    pub(crate) stopping_since: Option<Timestamp>,
}

impl Have {
    /// The container's state, or that of one never seen.
    pub(crate) fn container(&self, name: &str) -> std::borrow::Cow<'_, HaveContainer> {
        match self.containers.get(name) {
            Some(container) => std::borrow::Cow::Borrowed(container),
            None => std::borrow::Cow::Owned(HaveContainer::default()),
        }
    }
}
