//! `status.conditions`: those that the kubelet owns, beside those of others, which stay as they are. Five of
//! them are always there, the two about a resize while there is one.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pod::model::{Have, Role, Sandbox, Want};
use crate::pod::resize;

/// A resize that the node does not agree to.
const PENDING: &str = "PodResizePending";
/// A resize that is being carried out.
const IN_PROGRESS: &str = "PodResizeInProgress";

/// Types that are always written here; every other condition but the two above belongs to somebody else.
const OWNED: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// What the conditions are built from.
pub(super) struct Input<'a> {
    pub(super) pod: &'a Pod,
    pub(super) want: &'a Want,
    pub(super) have: &'a Have,
    pub(super) phase: &'a str,
    pub(super) initialized: bool,
    pub(super) init_statuses: &'a [ContainerStatus],
    pub(super) main_statuses: &'a [ContainerStatus],
    pub(super) now: Timestamp,
}

/// One verdict before it is compared with what was said before.
struct Verdict {
    status: bool,
    reason: Option<String>,
    message: Option<String>,
}

impl Verdict {
    fn yes() -> Self {
        Self { status: true, reason: None, message: None }
    }

    fn no(reason: &str, message: String) -> Self {
        Self {
            status: false,
            reason: Some(reason.into()),
            message: Some(message).filter(|m| !m.is_empty()),
        }
    }
}

pub(super) fn build(input: &Input<'_>) -> Vec<PodCondition> {
    let containers_ready = containers_ready(input);
    let ready = ready(input, &containers_ready);
    let alive = input.have.sandbox == Sandbox::Alive && input.have.pod_ip.is_some();
    let verdicts = [
        Verdict { status: alive, reason: None, message: None },
        initialized(input),
        ready,
        containers_ready,
        Verdict::yes(),
    ];
    let old: Vec<&PodCondition> =
        input.pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    let mut conditions: Vec<PodCondition> = OWNED
        .iter()
        .zip(verdicts)
        .map(|(type_, verdict)| {
            let before = old.iter().copied().find(|condition| condition.type_ == *type_);
            // The scheduler's own word is kept as it is.
            match before {
                Some(before) if *type_ == "PodScheduled" && before.status == "True" => {
                    PodCondition {
                        observed_generation: input.pod.metadata.generation,
                        ..before.clone()
                    }
                }
                _ => condition(type_, verdict, before, input),
            }
        })
        .collect();
    for (type_, verdict) in resizes(input) {
        let before = old.iter().copied().find(|condition| condition.type_ == type_);
        conditions.push(condition(type_, verdict, before, input));
    }
    let owned = |type_: &str| OWNED.contains(&type_) || [PENDING, IN_PROGRESS].contains(&type_);
    conditions.extend(old.into_iter().filter(|condition| !owned(&condition.type_)).cloned());
    conditions
}

/// What there is to say about a resize.
fn resizes(input: &Input<'_>) -> Vec<(&'static str, Verdict)> {
    let mut found = Vec::new();
    if matches!(input.phase, "Succeeded" | "Failed") {
        return found;
    }
    let verdict = |reason: Option<&str>, message: Option<String>| Verdict {
        status: true,
        reason: reason.map(str::to_owned),
        message,
    };
    if let Some((reason, message)) = &input.have.resize.pending {
        found.push((PENDING, verdict(Some(reason), Some(message.clone()))));
    }
    if resize::in_progress(input.want, input.have) {
        let error = input.have.resize.error.clone();
        found.push((IN_PROGRESS, verdict(error.as_ref().map(|_| "Error"), error)));
    }
    found
}

fn condition(
    type_: &str,
    verdict: Verdict,
    before: Option<&PodCondition>,
    input: &Input<'_>,
) -> PodCondition {
    let status = if verdict.status { "True" } else { "False" };
    let unchanged = before
        .filter(|before| before.status == status)
        .and_then(|before| before.last_transition_time.clone());
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason,
        message: verdict.message,
        last_probe_time: None,
        last_transition_time: Some(unchanged.unwrap_or(Time(input.now))),
        observed_generation: input.pod.metadata.generation,
    }
}

fn initialized(input: &Input<'_>) -> Verdict {
    if input.phase == "Succeeded" {
        return Verdict { status: true, reason: Some("PodCompleted".into()), message: None };
    }
    if input.initialized {
        return Verdict::yes();
    }
    let incomplete = input.init_statuses.iter().filter(|status| {
        let sidecar =
            input.want.containers.iter().any(|c| c.name == status.name && c.role == Role::Sidecar);
        if sidecar { status.started != Some(true) } else { !status.ready }
    });
    let names: Vec<&str> = incomplete.map(|status| status.name.as_str()).collect();
    Verdict::no(
        "ContainersNotInitialized",
        format!("containers with incomplete status: [{}]", names.join(" ")),
    )
}

fn containers_ready(input: &Input<'_>) -> Verdict {
    match input.phase {
        "Succeeded" => {
            return Verdict { status: false, reason: Some("PodCompleted".into()), message: None };
        }
        "Failed" => {
            return Verdict { status: false, reason: Some("PodFailed".into()), message: None };
        }
        _ => {}
    }
    let sidecars = input.init_statuses.iter().filter(|status| {
        input.want.containers.iter().any(|c| c.name == status.name && c.role == Role::Sidecar)
    });
    let unready: Vec<&str> = sidecars
        .chain(input.main_statuses)
        .filter(|status| !status.ready)
        .map(|status| status.name.as_str())
        .collect();
    if unready.is_empty() {
        return Verdict::yes();
    }
    Verdict::no(
        "ContainersNotReady",
        format!("containers with unready status: [{}]", unready.join(" ")),
    )
}

fn ready(input: &Input<'_>, containers: &Verdict) -> Verdict {
    if !containers.status {
        return Verdict {
            status: false,
            reason: containers.reason.clone(),
            message: containers.message.clone(),
        };
    }
    let gates = input.pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let conditions = input
        .pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let complaints: Vec<String> = gates
        .filter_map(|gate| {
            match conditions.iter().find(|condition| condition.type_ == gate.condition_type) {
                None => Some(format!(
                    "corresponding condition of pod readiness gate {:?} does not exist.",
                    gate.condition_type
                )),
                Some(condition) if condition.status != "True" => Some(format!(
                    "the status of pod readiness gate {:?} is not \"True\", but {}",
                    gate.condition_type, condition.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    if complaints.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ReadinessGatesNotReady", complaints.join(", "))
    }
}
