//! `status.phase`, as the kubelet's getPhase counts it out of the container statuses.

use k8s_openapi::api::core::v1::ContainerStatus;

use crate::pod::model::{RestartPolicy, Role, Want};

#[derive(Default)]
struct Count {
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
}

/// The phase of a pod; `terminal` says that nothing of it will start any more and nothing runs.
pub(super) fn phase(
    want: &Want,
    inits: &[ContainerStatus],
    mains: &[ContainerStatus],
    terminal: bool,
) -> &'static str {
    let (mut pending_init, mut failed_init) = (0, 0);
    for status in inits.iter().filter(|status| role(want, &status.name) == Role::Init) {
        match last_exit(status) {
            _ if is_running(status) => pending_init += 1,
            None => pending_init += 1,
            Some(0) => {}
            Some(_) => failed_init += 1,
        }
    }
    let mut count = Count::default();
    for status in mains {
        let terminated = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        match terminated {
            _ if is_running(status) => count.running += 1,
            Some(ended) => {
                count.stopped += 1;
                count.succeeded += usize::from(ended.exit_code == 0);
            }
            None if last_exit(status).is_some() => count.stopped += 1,
            None => count.waiting += 1,
        }
    }
    if failed_init > 0 && want.restart == RestartPolicy::Never {
        return "Failed";
    }
    if terminal && count.running == 0 {
        let all_well = pending_init + failed_init == 0
            && count.waiting == 0
            && count.stopped == count.succeeded;
        return if all_well { "Succeeded" } else { "Failed" };
    }
    if pending_init + failed_init > 0 && count.running + count.stopped == 0 || count.waiting > 0 {
        return "Pending";
    }
    match (count.running, want.restart) {
        (1.., _) | (0, RestartPolicy::Always) => "Running",
        _ if count.stopped == count.succeeded => "Succeeded",
        (_, RestartPolicy::Never) => "Failed",
        _ => "Running",
    }
}

fn role(want: &Want, name: &str) -> Role {
    want.containers.iter().find(|c| c.name == name).map_or(Role::Main, |c| c.role)
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn last_exit(status: &ContainerStatus) -> Option<i32> {
    let of = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.as_ref()).map(|ended| ended.exit_code)
    };
    of(&status.state).or_else(|| of(&status.last_state))
}
