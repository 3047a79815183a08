//! What to do next for one pod: a pure function of what it wants and what there is.
//!
//! A pod on this node is in one of three situations, looked at in this order:
//!
//! * **Ending**: its object is being deleted or gone, the node gave a verdict (deadline), or it has
//!   finished by its own restart policy. Starts in flight are cancelled, main containers are stopped
//!   together, sidecars after them in reverse order; once all have ended *and the API server has
//!   accepted the final status*, sandbox, address and volumes go; a deleted pod's object goes last.
//! * **Without a living sandbox**: one is made; a dead one (host reboot, lost shim) is removed first.
//! * **Running**: init containers run one after the other, sidecars must have started before the
//!   next one, then the main containers run side by side. Ended containers start again as the restart
//!   policy says, after their back-off; a container whose liveness or startup probe failed is stopped
//!   and then falls under the same rule. Ephemeral containers start whenever they come, once. Containers
//!   that are to have other resources get them while they run, or by a restart.
//!
//! Called by the worker after every change and at [`Plan::wake`]. It never repeats an action whose
//! operation is in flight, so it may be called any number of times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::model::{
    Have, HaveContainer, Operation, ProbeKind, Role, Sandbox, Verdict, Want, WantContainer,
};
use super::resize::{self, Need};

/// Shortest grace a sidecar gets after the main containers used up the pod's (as the kubelet).
const SIDECAR_GRACE: Duration = Duration::from_secs(2);
/// Shortest grace of a deleted pod (as the kubelet).
const LEAST_GRACE: Duration = Duration::from_secs(1);

/// Why a container is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The pod as a whole ends.
    PodEnds,
    /// This probe failed; the container will be started again.
    Probe(ProbeKind),
    /// Its image was replaced in the spec.
    Changed,
    /// It gets other resources, and wants to be restarted for that.
    Resized,
}

/// One step towards what the pod wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Mount volumes, take an address, make the sandbox.
    CreateSandbox,
    /// Remove a sandbox that lost its shim; volumes stay.
    ReplaceSandbox,
    /// Remove sandbox, address and volumes for good.
    CleanUp,
    /// Get the image, build the configuration, start.
    Start { container: String, attempt: u32 },
    /// Stop within `grace`.
    Stop { container: String, grace: Duration, why: StopReason },
    /// Give containers that run, and the pod as a whole, what was agreed to.
    Resize,
    /// Drop a start in flight.
    CancelStart { container: String },
    /// The node ends the pod.
    End(Verdict),
    /// Delete the pod's object: everything is gone from this node.
    DeleteObject,
    /// Nothing is left to do for this pod, ever.
    Forget,
}

/// The actions to begin now, and when to look again if nothing happens before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    pub(crate) wake: Option<Timestamp>,
}

impl Plan {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Decides what to do for a pod at `now`.
pub(crate) fn plan(want: &Want, have: &Have, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if is_ending(want, have) {
        ending(want, have, now, &mut plan);
        return plan;
    }
    if let (Some(rejected), Sandbox::Absent { .. }) = (&want.rejected, have.sandbox) {
        plan.actions.push(Action::End(rejected.clone()));
        return plan;
    }
    if let Some(deadline) = want.deadline {
        if now >= deadline {
            plan.actions.push(Action::End(Verdict {
                reason: "DeadlineExceeded",
                message: "Pod was active on the node longer than the specified deadline".into(),
                rejected: false,
            }));
            return plan;
        }
        plan.wake_at(deadline);
    }
    match have.sandbox {
        Sandbox::Alive => running(want, have, now, &mut plan),
        Sandbox::Absent { .. } => when_free(have, now, &mut plan, Action::CreateSandbox),
        Sandbox::Dead => {
            cancel_starts(want, have, &mut plan);
            when_free(have, now, &mut plan, Action::ReplaceSandbox);
        }
    }
    plan
}

/// Whether nothing of this pod will be started any more.
pub(crate) fn is_ending(want: &Want, have: &Have) -> bool {
    want.gone || want.deletion.is_some() || have.verdict.is_some() || is_finished(want, have)
}

/// Whether the pod has come to its end by its own restart policy.
pub(crate) fn is_finished(want: &Want, have: &Have) -> bool {
    let ended =
        |c: &&WantContainer| have.containers.get(&c.name).is_some_and(|state| has_ended(c, state));
    let mut mains = want.containers.iter().filter(|c| c.role == Role::Main).peekable();
    let mains_done = mains.peek().is_some() && mains.all(|c| ended(&c));
    let init_failed =
        want.containers.iter().filter(|c| c.role == Role::Init).any(|c| {
            ended(&c) && have.container(&c.name).exit().is_some_and(|exit| exit.code != 0)
        });
    want.finished || mains_done || init_failed
}

/// Whether a container is started again after ending with `code`.
pub(crate) fn restarts(container: &WantContainer, code: i32) -> bool {
    match container.role {
        Role::Main => container.restart.follows(code),
        Role::Sidecar => true,
        Role::Init => code != 0 && container.restart.follows(code),
        Role::Ephemeral => false,
    }
}

/// Whether a container has ended and is not started again; one with a new image always is, and one that
/// was ended for a resize.
pub(crate) fn has_ended(container: &WantContainer, state: &HaveContainer) -> bool {
    state.exit().is_some_and(|exit| !restarts(container, exit.code))
        && !state.outdated(container)
        && !state.resizing
}

/// Whether a main container was started in the present sandbox: init containers are behind us then.
pub(crate) fn is_initialized(want: &Want, have: &Have) -> bool {
    let current = |c: &&WantContainer| {
        have.containers
            .get(&c.name)
            .filter(|h| h.latest.is_some() && !h.from_earlier_sandbox)
            .cloned()
    };
    let mut mains = want.containers.iter().filter(|c| c.role == Role::Main);
    if mains.any(|c| current(&c).is_some()) {
        return true;
    }
    want.containers.iter().filter(|c| c.role.comes_first()).all(|c| match (c.role, current(&c)) {
        (_, None) => false,
        (Role::Init, Some(have)) => have.exit().is_some_and(|exit| exit.code == 0),
        (_, Some(have)) => have.running() && have.health.started,
    })
}

fn when_free(have: &Have, now: Timestamp, plan: &mut Plan, action: Action) {
    match have.retry_at {
        _ if have.busy => {}
        Some(at) if at > now => plan.wake_at(at),
        _ => plan.actions.push(action),
    }
}

fn cancel_starts(want: &Want, have: &Have, plan: &mut Plan) {
    for container in &want.containers {
        if have.container(&container.name).is_only_starting() {
            plan.actions.push(Action::CancelStart { container: container.name.clone() });
        }
    }
}

/// Drops starts whose attempt has ended already: what is left of them is a postStart hook that takes
/// its time, and a deletion does not wait for that.
fn cancel_hooks(want: &Want, have: &Have, plan: &mut Plan) {
    for container in &want.containers {
        let state = have.container(&container.name);
        let starting = matches!(state.operation, Some(Operation::Starting { .. }));
        if starting && !state.running() && !state.is_only_starting() {
            plan.actions.push(Action::CancelStart { container: container.name.clone() });
        }
    }
}

fn ending(want: &Want, have: &Have, now: Timestamp, plan: &mut Plan) {
    cancel_starts(want, have, plan);
    if want.gone || want.deletion.is_some() {
        cancel_hooks(want, have, plan);
    }
    let grace = want.deletion.map_or(want.grace, |grace| grace.max(LEAST_GRACE));
    let alive = |role: Role| {
        want.containers
            .iter()
            .rev()
            .filter(move |c| c.role == role && have.container(&c.name).running())
    };
    let others = [Role::Main, Role::Init, Role::Ephemeral].map(|role| alive(role).count());
    for container in want.containers.iter().filter(|c| c.role != Role::Sidecar) {
        stop(container, have, grace, StopReason::PodEnds, plan);
    }
    if others.iter().sum::<usize>() > 0 {
        return;
    }
    if let Some(sidecar) = alive(Role::Sidecar).next() {
        let spent =
            have.stopping_since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
        let left = grace
            .saturating_sub(Duration::try_from(spent).unwrap_or_default())
            .max(SIDECAR_GRACE.min(grace));
        // A stop in flight keeps its grace: the shrinking rest is no wish for a shorter one.
        if !matches!(have.container(&sidecar.name).operation, Some(Operation::Stopping { grace: begun }) if begun <= grace)
        {
            stop(sidecar, have, left, StopReason::PodEnds, plan);
        }
        return;
    }
    let starting = want.containers.iter().any(|c| have.container(&c.name).operation.is_some());
    if starting || have.busy {
        return;
    }
    let final_status_known = want.gone || have.reported;
    match have.sandbox {
        Sandbox::Absent { clean: true } if want.gone => plan.actions.push(Action::Forget),
        Sandbox::Absent { clean: true } if want.deletion.is_some() && have.reported => {
            when_free(have, now, plan, Action::DeleteObject);
        }
        Sandbox::Absent { clean: true } => {}
        _ if final_status_known => when_free(have, now, plan, Action::CleanUp),
        _ => {}
    }
}

/// Stops a running container unless it is being stopped already with no more than this grace.
fn stop(container: &WantContainer, have: &Have, grace: Duration, why: StopReason, plan: &mut Plan) {
    let state = have.container(&container.name);
    let under_way =
        matches!(state.operation, Some(Operation::Stopping { grace: begun }) if begun <= grace);
    if state.running() && !under_way {
        plan.actions.push(Action::Stop { container: container.name.clone(), grace, why });
    }
}

fn running(want: &Want, have: &Have, now: Timestamp, plan: &mut Plan) {
    // Whoever looks into a pod that does not get on cannot wait for it.
    for container in want.containers.iter().filter(|c| c.role == Role::Ephemeral) {
        keep_up(container, want, have, now, plan);
    }
    if resize::is_due(want, have) {
        when_free(have, now, plan, Action::Resize);
    }
    let mains_began = want.containers.iter().any(|c| {
        c.role == Role::Main
            && have
                .containers
                .get(&c.name)
                .is_some_and(|h| h.latest.is_some() && !h.from_earlier_sandbox)
    });
    for container in want.containers.iter().filter(|c| c.role.comes_first()) {
        if mains_began && container.role == Role::Init {
            continue;
        }
        keep_up(container, want, have, now, plan);
        if !mains_began && !lets_next_start(container, have) {
            return;
        }
    }
    for container in want.containers.iter().filter(|c| c.role == Role::Main) {
        keep_up(container, want, have, now, plan);
    }
}

/// Whether the container after this init container or sidecar may start.
fn lets_next_start(container: &WantContainer, have: &Have) -> bool {
    let state = have.container(&container.name);
    if state.from_earlier_sandbox {
        return false;
    }
    match container.role {
        Role::Sidecar => state.running() && state.health.started,
        _ => state.exit().is_some_and(|exit| exit.code == 0),
    }
}

/// Starts a container that should run and does not; stops one that its probes gave up on.
fn keep_up(container: &WantContainer, want: &Want, have: &Have, now: Timestamp, plan: &mut Plan) {
    let state = have.container(&container.name);
    if state.operation.is_some() {
        return;
    }
    if state.running() {
        if state.outdated(container) {
            stop(container, have, want.grace, StopReason::Changed, plan);
        } else if state.resize(container) == Need::Restart {
            stop(container, have, want.grace, StopReason::Resized, plan);
        } else if let Some(probe) = state.health.failed {
            let grace = container.probe_grace.unwrap_or(want.grace);
            stop(container, have, grace, StopReason::Probe(probe), plan);
        }
        return;
    }
    let start_at = match state.exit() {
        // Init containers run again in a new sandbox, whatever became of them in the old one.
        Some(_) if state.from_earlier_sandbox && container.role == Role::Init => None,
        Some(_) if has_ended(container, &state) => return,
        Some(exit) => state.crashes.retry_at(exit.finished_at),
        None => None,
    };
    match start_at.max(state.retry_at) {
        Some(at) if at > now => plan.wake_at(at),
        _ => plan.actions.push(Action::Start {
            container: container.name.clone(),
            attempt: state.next_attempt(),
        }),
    }
}

#[cfg(test)]
mod tests;
