//! What changes and is added while a pod runs, and what is not let in at all.

use super::*;

#[test]
fn other_resources_are_given_in_place_or_by_a_restart() {
    let mut pod = want(RestartPolicy::OnFailure, &[("a", Role::Main), ("b", Role::Main)]);
    pod.containers[0].amounts.cpu_limit_millis = Some(500);
    let both = |a: HaveContainer| have(&[("a", a), ("b", runs(0))]);
    check("in place", &pod, &both(runs(0)), 0, &[Action::Resize], None);
    let mut busy = both(runs(0));
    busy.busy = true;
    check("is being done", &pod, &busy, 0, &[], None);
    let mut failed = both(runs(0));
    failed.retry_at = Some(at(3));
    check("failed, waits", &pod, &failed, 0, &[], Some(3));
    check("done already", &pod, &both(exited(0, 0)), 0, &[], None);

    let mut less = both(exited(0, 0));
    less.limits = Some(pod.limits.clone());
    pod.limits.cpu_limit_millis = Some(500);
    check("the pod as a whole", &pod, &less, 0, &[Action::Resize], None);
    less.limits.as_mut().unwrap().cpu_limit_millis = Some(500);
    check("has it already", &pod, &less, 0, &[], None);

    pod.containers[0].restart_for.cpu = true;
    let stop = Action::Stop {
        container: "a".into(),
        grace: Duration::from_secs(30),
        why: StopReason::Resized,
    };
    let mut more = both(runs(0));
    more.limits = Some(Default::default());
    check("by a restart, and the pod after it", &pod, &more, 0, &[stop], None);
    let stopped = HaveContainer { resizing: true, ..exited(0, 0) };
    check("again, whatever its code", &pod, &both(stopped), 0, &[start("a", 1)], None);
    check("it had ended by itself", &pod, &both(exited(0, 0)), 0, &[], None);
}

#[test]
fn ephemeral_containers_run_once_beside_the_others() {
    let roles = &[("i", Role::Init), ("a", Role::Main), ("e", Role::Ephemeral)];
    let pod = want(RestartPolicy::Always, roles);
    let waiting = HaveContainer { retry_at: Some(at(9)), ..HaveContainer::default() };
    let stuck = [("i", waiting)];
    check("whatever the others do", &pod, &have(&stuck), 0, &[start("e", 0)], Some(9));
    let all = |e| have(&[("i", exited(0, 0)), ("a", runs(0)), ("e", e)]);
    check("runs", &pod, &all(runs(0)), 0, &[], None);
    check("ended", &pod, &all(exited(0, 1)), 0, &[], None);
    assert!(is_initialized(&pod, &have(&[("i", exited(0, 0))])), "nothing waits for it");

    let mut deleted = pod.clone();
    deleted.deletion = Some(Duration::from_secs(5));
    let ending = all(runs(0));
    check("deleted", &deleted, &ending, 0, &[stop_pod("a", 5), stop_pod("e", 5)], None);
    let alone = have(&[("i", exited(0, 0)), ("a", exited(0, 0)), ("e", runs(0))]);
    check("is waited for", &deleted, &alone, 0, &[stop_pod("e", 5)], None);
    let never = want(RestartPolicy::Never, roles);
    check("ends with the pod", &never, &alone, 0, &[stop_pod("e", 30)], None);
}

#[test]
fn rejected_pod_is_ended_before_it_begins() {
    let verdict = Verdict { reason: "Why", message: "because".into(), rejected: true };
    let mut pod = want(RestartPolicy::Always, MAIN);
    pod.rejected = Some(verdict.clone());
    let mut nothing = have(&[]);
    nothing.sandbox = Sandbox::Absent { clean: false };
    check("at once", &pod, &nothing, 0, &[Action::End(verdict.clone())], None);
    nothing.verdict = Some(verdict);
    check("then it is ended", &pod, &nothing, 0, &[Action::CleanUp], None);
}
