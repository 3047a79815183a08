//! `status.phase`, as the kubelet's getPhase counts it out of the container statuses.

use k8s_openapi::api::core::v1::ContainerStatus;

use crate::pod::model::{Role, Want, WantContainer};
use crate::pod::plan::restarts;

#[derive(Default)]
struct Count {
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
    /// Of those that stopped, the ones that are started again.
    returning: usize,
}

/// The phase of a pod; `terminal` says that nothing of it will start any more and nothing runs.
pub(super) fn phase(
    want: &Want,
    inits: &[ContainerStatus],
    mains: &[ContainerStatus],
    terminal: bool,
) -> &'static str {
    let named = |name: &str| want.containers.iter().find(|container| container.name == name);
    let returns = |name: &str, code| named(name).is_some_and(|container| restarts(container, code));
    let is_init =
        |container: Option<&WantContainer>| container.is_some_and(|c| c.role == Role::Init);
    let (mut pending_init, mut failed_init, mut lost_init) = (0, 0, 0);
    for status in inits.iter().filter(|status| is_init(named(&status.name))) {
        match last_exit(status) {
            _ if is_running(status) => pending_init += 1,
            None => pending_init += 1,
            Some(0) => {}
            Some(code) => {
                failed_init += 1;
                lost_init += usize::from(!returns(&status.name, code));
            }
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
        let code = last_exit(status).filter(|_| !is_running(status));
        count.returning += usize::from(code.is_some_and(|code| returns(&status.name, code)));
    }
    if lost_init > 0 {
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
    match count.running + count.returning {
        1.. => "Running",
        0 if count.stopped == count.succeeded => "Succeeded",
        0 => "Failed",
    }
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
