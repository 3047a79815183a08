//! The plan as a table: situations of a pod and what must follow.

use k8s_openapi::api::core::v1::ResourceRequirements;
use runtime::spec::{ContainerState, Exit, ExitReason};

use super::super::model::{Attempt, Health, Resize, RestartPolicy, Waiting};
use super::super::resize::RestartFor;
use super::super::restart::Restart;
use super::*;
use crate::translate::resources::ContainerQuantities;

mod changes;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn want(restart: RestartPolicy, containers: &[(&str, Role)]) -> Want {
    let containers = containers.iter().map(|(name, role)| WantContainer {
        name: (*name).into(),
        role: *role,
        restart: Restart::by(restart),
        image: "i:1".into(),
        probe_grace: None,
        amounts: ContainerQuantities::default(),
        restart_for: RestartFor::default(),
    });
    Want {
        containers: containers.collect(),
        limits: Default::default(),
        rejected: None,
        grace: Duration::from_secs(30),
        deletion: None,
        gone: false,
        finished: false,
        deadline: None,
    }
}

fn have(containers: &[(&str, HaveContainer)]) -> Have {
    Have {
        sandbox: Sandbox::Alive,
        busy: false,
        retry_at: None,
        pod_ip: None,
        containers: containers
            .iter()
            .map(|(name, container)| ((*name).into(), container.clone()))
            .collect(),
        verdict: None,
        resize: Resize::default(),
        limits: None,
        reported: true,
        stopping_since: None,
    }
}

fn attempt(number: u32, state: ContainerState) -> HaveContainer {
    let latest = Attempt {
        number,
        id: format!("c-{number}"),
        image_digest: "sha256:0".into(),
        image: "i:1".into(),
        resources: Some(ResourceRequirements::default()),
        wasm: false,
        user: None,
        state,
    };
    HaveContainer { latest: Some(latest), ..HaveContainer::default() }
}

fn runs(number: u32) -> HaveContainer {
    attempt(number, ContainerState::Running { pid: 7, started_at: at(0) })
}

fn exited(number: u32, code: i32) -> HaveContainer {
    let exit = Exit {
        code,
        signal: None,
        reason: if code == 0 { ExitReason::Completed } else { ExitReason::Error },
        message: String::new(),
        started_at: at(-5),
        finished_at: at(0),
    };
    attempt(number, ContainerState::Exited(exit))
}

/// The same container, `n` retries into its back-off.
fn crashed(mut container: HaveContainer, retries: u32) -> HaveContainer {
    for _ in 0..retries {
        container.crashes.retried(at(0), at(0));
    }
    container
}

fn start(name: &str, attempt: u32) -> Action {
    Action::Start { container: name.into(), attempt }
}

fn stop_pod(name: &str, grace: u64) -> Action {
    Action::Stop {
        container: name.into(),
        grace: Duration::from_secs(grace),
        why: StopReason::PodEnds,
    }
}

fn check(case: &str, want: &Want, have: &Have, now: i64, actions: &[Action], wake: Option<i64>) {
    let planned = plan(want, have, at(now));
    assert_eq!(planned.actions, actions, "{case}");
    assert_eq!(planned.wake, wake.map(at), "{case}: wake");
}

const MAIN: &[(&str, Role)] = &[("a", Role::Main)];
const INITS: &[(&str, Role)] =
    &[("i1", Role::Init), ("i2", Role::Init), ("a", Role::Main), ("b", Role::Main)];
const SIDECAR: &[(&str, Role)] =
    &[("i", Role::Init), ("s", Role::Sidecar), ("j", Role::Init), ("a", Role::Main)];

#[test]
fn sandbox_comes_first() {
    let pod = want(RestartPolicy::Always, MAIN);
    let mut none = have(&[]);
    none.sandbox = Sandbox::Absent { clean: true };
    check("none", &pod, &none, 0, &[Action::CreateSandbox], None);
    none.busy = true;
    check("being made", &pod, &none, 0, &[], None);
    none.busy = false;
    none.retry_at = Some(at(5));
    check("failed, waits", &pod, &none, 0, &[], Some(5));
    check("failed, retry", &pod, &none, 5, &[Action::CreateSandbox], None);
    let mut dead = have(&[(
        "a",
        HaveContainer { operation: Some(Operation::Starting { attempt: 1 }), ..exited(0, 1) },
    )]);
    dead.sandbox = Sandbox::Dead;
    check(
        "dead",
        &pod,
        &dead,
        0,
        &[Action::CancelStart { container: "a".into() }, Action::ReplaceSandbox],
        None,
    );
}

#[test]
fn main_containers_start_side_by_side() {
    let pod = want(RestartPolicy::Always, &[("a", Role::Main), ("b", Role::Main)]);
    check("both", &pod, &have(&[]), 0, &[start("a", 0), start("b", 0)], None);
    let starting = HaveContainer {
        operation: Some(Operation::Starting { attempt: 0 }),
        ..HaveContainer::default()
    };
    check("one in flight", &pod, &have(&[("a", starting)]), 0, &[start("b", 0)], None);
    check("one runs", &pod, &have(&[("a", runs(0))]), 0, &[start("b", 0)], None);
    check("both run", &pod, &have(&[("a", runs(0)), ("b", runs(3))]), 0, &[], None);
    let waiting = Waiting { reason: "ErrImagePull".into(), message: String::new() };
    let failing = HaveContainer {
        waiting: Some(waiting),
        retry_at: Some(at(10)),
        ..HaveContainer::default()
    };
    check(
        "image back-off",
        &pod,
        &have(&[("a", failing.clone()), ("b", runs(0))]),
        9,
        &[],
        Some(10),
    );
    check(
        "image retry",
        &pod,
        &have(&[("a", failing), ("b", runs(0))]),
        10,
        &[start("a", 0)],
        None,
    );
}

#[test]
fn restart_policy_and_back_off() {
    use RestartPolicy::{Always, Never, OnFailure};
    type Row<'a> = (&'a str, RestartPolicy, HaveContainer, i64, &'a [Action], Option<i64>);
    let cases: &[Row<'_>] = &[
        ("first crash restarts at once", Always, exited(0, 1), 0, &[start("a", 1)], None),
        ("clean exit too", Always, exited(0, 0), 0, &[start("a", 1)], None),
        ("second waits ten seconds", Always, crashed(exited(1, 1), 1), 9, &[], Some(10)),
        ("and then starts", Always, crashed(exited(1, 1), 1), 10, &[start("a", 2)], None),
        ("sixth waits five minutes", Always, crashed(exited(6, 1), 6), 0, &[], Some(300)),
        ("on failure restarts failures", OnFailure, exited(0, 1), 0, &[start("a", 1)], None),
        ("on failure ends on success", OnFailure, exited(0, 0), 0, &[Action::CleanUp], None),
        ("never", Never, exited(0, 1), 0, &[Action::CleanUp], None),
    ];
    for (case, policy, container, now, actions, wake) in cases {
        check(case, &want(*policy, MAIN), &have(&[("a", container.clone())]), *now, actions, *wake);
    }
    let mut own = want(Always, MAIN);
    own.containers[0].restart = Restart::by(Never);
    check("its own policy", &own, &have(&[("a", exited(0, 1))]), 0, &[Action::CleanUp], None);
    let pod = want(OnFailure, &[("a", Role::Main), ("b", Role::Main)]);
    check(
        "one done, other runs",
        &pod,
        &have(&[("a", exited(0, 0)), ("b", runs(0))]),
        0,
        &[],
        None,
    );
}

#[test]
fn init_containers_run_in_order() {
    let pod = want(RestartPolicy::Always, INITS);
    check("first", &pod, &have(&[]), 0, &[start("i1", 0)], None);
    check("first runs", &pod, &have(&[("i1", runs(0))]), 0, &[], None);
    check("second", &pod, &have(&[("i1", exited(0, 0))]), 0, &[start("i2", 0)], None);
    check(
        "second failed",
        &pod,
        &have(&[("i1", exited(0, 0)), ("i2", crashed(exited(1, 1), 1))]),
        0,
        &[],
        Some(10),
    );
    let done = have(&[("i1", exited(0, 0)), ("i2", exited(0, 0))]);
    check("mains", &pod, &done, 0, &[start("a", 0), start("b", 0)], None);
    let mains = have(&[("i1", exited(0, 1)), ("a", runs(0)), ("b", runs(0))]);
    check("init is behind once a main began", &pod, &mains, 0, &[], None);
    let never = want(RestartPolicy::Never, INITS);
    check(
        "failed init ends a Never pod",
        &never,
        &have(&[("i1", exited(0, 1))]),
        0,
        &[Action::CleanUp],
        None,
    );
}

#[test]
fn new_sandbox_runs_init_again_and_counts_on() {
    let pod = want(RestartPolicy::Always, INITS);
    let earlier =
        |container: HaveContainer| HaveContainer { from_earlier_sandbox: true, ..container };
    let state = have(&[
        ("i1", earlier(exited(0, 0))),
        ("i2", earlier(exited(2, 0))),
        ("a", earlier(exited(3, 137))),
    ]);
    check("init again", &pod, &state, 0, &[start("i1", 1)], None);
    let state = have(&[
        ("i1", exited(1, 0)),
        ("i2", exited(3, 0)),
        ("a", earlier(exited(3, 137))),
        ("b", earlier(exited(0, 137))),
    ]);
    check("mains count on", &pod, &state, 0, &[start("a", 4), start("b", 1)], None);
    let mut lost = have(&[("a", earlier(exited(0, 137)))]);
    lost.sandbox = Sandbox::Absent { clean: false };
    check(
        "a Never pod is not resurrected",
        &want(RestartPolicy::Never, MAIN),
        &lost,
        0,
        &[Action::CleanUp],
        None,
    );
}

#[test]
fn sidecars_start_in_order_and_stay() {
    let pod = want(RestartPolicy::Always, SIDECAR);
    let not_started =
        HaveContainer { health: Health { started: false, ..Health::default() }, ..runs(0) };
    check("sidecar after init", &pod, &have(&[("i", exited(0, 0))]), 0, &[start("s", 0)], None);
    check(
        "waits for its startup",
        &pod,
        &have(&[("i", exited(0, 0)), ("s", not_started)]),
        0,
        &[],
        None,
    );
    check("next", &pod, &have(&[("i", exited(0, 0)), ("s", runs(0))]), 0, &[start("j", 0)], None);
    let ready = have(&[("i", exited(0, 0)), ("s", runs(0)), ("j", exited(0, 0))]);
    check("main", &pod, &ready, 0, &[start("a", 0)], None);
    let crashed_sidecar =
        have(&[("i", exited(0, 0)), ("s", exited(0, 1)), ("j", exited(0, 0)), ("a", runs(0))]);
    check("comes back beside main", &pod, &crashed_sidecar, 0, &[start("s", 1)], None);
    let never = want(RestartPolicy::Never, SIDECAR);
    let done =
        have(&[("i", exited(0, 0)), ("s", runs(0)), ("j", exited(0, 0)), ("a", exited(0, 0))]);
    check("ends with the last main", &never, &done, 0, &[stop_pod("s", 30)], None);
}

#[test]
fn failed_probe_restarts_the_container() {
    let mut pod = want(RestartPolicy::Always, MAIN);
    let sick = HaveContainer {
        health: Health { failed: Some(ProbeKind::Liveness), ..Health::default() },
        ..runs(0)
    };
    let stop = |grace| Action::Stop {
        container: "a".into(),
        grace: Duration::from_secs(grace),
        why: StopReason::Probe(ProbeKind::Liveness),
    };
    check("stop", &pod, &have(&[("a", sick.clone())]), 0, &[stop(30)], None);
    pod.containers[0].probe_grace = Some(Duration::from_secs(3));
    check("the probe's own grace", &pod, &have(&[("a", sick.clone())]), 0, &[stop(3)], None);
    let stopping = HaveContainer {
        operation: Some(Operation::Stopping { grace: Duration::from_secs(3) }),
        ..sick
    };
    check("in flight", &pod, &have(&[("a", stopping)]), 0, &[], None);
}

#[test]
fn replaced_image_restarts_the_container() {
    let mut pod = want(RestartPolicy::Never, MAIN);
    pod.containers[0].image = "i:2".into();
    let stop = Action::Stop {
        container: "a".into(),
        grace: Duration::from_secs(30),
        why: StopReason::Changed,
    };
    check("stop", &pod, &have(&[("a", runs(0))]), 0, &[stop], None);
    check(
        "start, whatever the policy",
        &pod,
        &have(&[("a", exited(0, 143))]),
        0,
        &[start("a", 1)],
        None,
    );
    let mut unknown = runs(0);
    unknown.latest.as_mut().unwrap().image = String::new();
    check("of an unknown image nothing follows", &pod, &have(&[("a", unknown)]), 0, &[], None);
}

#[test]
fn deletion_stops_reports_cleans_deletes() {
    let mut pod = want(RestartPolicy::Always, &[("a", Role::Main), ("b", Role::Main)]);
    pod.deletion = Some(Duration::from_secs(5));
    let starting = HaveContainer {
        operation: Some(Operation::Starting { attempt: 0 }),
        ..HaveContainer::default()
    };
    let both = have(&[("a", runs(0)), ("b", starting)]);
    check(
        "stop and cancel",
        &pod,
        &both,
        0,
        &[Action::CancelStart { container: "b".into() }, stop_pod("a", 5)],
        None,
    );
    let stopping = |grace| HaveContainer {
        operation: Some(Operation::Stopping { grace: Duration::from_secs(grace) }),
        ..runs(0)
    };
    check("in flight", &pod, &have(&[("a", stopping(5))]), 0, &[], None);
    check("shorter wish wins", &pod, &have(&[("a", stopping(30))]), 0, &[stop_pod("a", 5)], None);
    pod.deletion = Some(Duration::ZERO);
    check("at least a second", &pod, &have(&[("a", runs(0))]), 0, &[stop_pod("a", 1)], None);

    let mut ended = have(&[("a", exited(0, 143))]);
    ended.reported = false;
    check("status first", &pod, &ended, 0, &[], None);
    ended.reported = true;
    check("then clean up", &pod, &ended, 0, &[Action::CleanUp], None);
    ended.busy = true;
    check("once", &pod, &ended, 0, &[], None);
    ended.busy = false;
    ended.sandbox = Sandbox::Absent { clean: true };
    check("then the object", &pod, &ended, 0, &[Action::DeleteObject], None);
    ended.retry_at = Some(at(3));
    check("object, later", &pod, &ended, 0, &[], Some(3));
    pod.gone = true;
    check("then forget", &pod, &ended, 0, &[Action::Forget], None);
}

#[test]
fn start_that_made_an_attempt_is_left_to_end_by_itself() {
    let pod = want(RestartPolicy::Never, MAIN);
    let ended =
        HaveContainer { operation: Some(Operation::Starting { attempt: 0 }), ..exited(0, 0) };
    check("quicker than its start", &pod, &have(&[("a", ended.clone())]), 0, &[], None);
    let mut deleted = want(RestartPolicy::Never, MAIN);
    deleted.deletion = Some(Duration::from_secs(5));
    let cancel = Action::CancelStart { container: "a".into() };
    check("deleted in its postStart hook", &deleted, &have(&[("a", ended)]), 0, &[cancel], None);
}

#[test]
fn gone_pod_is_removed_without_reports() {
    let mut pod = want(RestartPolicy::Always, MAIN);
    pod.gone = true;
    let mut state = have(&[("a", runs(0))]);
    state.reported = false;
    check("stop", &pod, &state, 0, &[stop_pod("a", 30)], None);
    let mut state = have(&[("a", exited(0, 137))]);
    state.reported = false;
    check("clean", &pod, &state, 0, &[Action::CleanUp], None);
}

#[test]
fn sidecars_stop_after_mains_in_reverse_with_the_rest_of_the_grace() {
    let mut pod = want(
        RestartPolicy::Always,
        &[("s1", Role::Sidecar), ("s2", Role::Sidecar), ("a", Role::Main)],
    );
    pod.deletion = Some(Duration::from_secs(30));
    let mut state = have(&[("s1", runs(0)), ("s2", runs(0)), ("a", runs(0))]);
    state.stopping_since = Some(at(0));
    check("main first", &pod, &state, 0, &[stop_pod("a", 30)], None);
    state.containers.insert("a".into(), exited(0, 0));
    check("last sidecar", &pod, &state, 10, &[stop_pod("s2", 20)], None);
    check("never less than two seconds", &pod, &state, 100, &[stop_pod("s2", 2)], None);
    let begun = HaveContainer {
        operation: Some(Operation::Stopping { grace: Duration::from_secs(20) }),
        ..runs(0)
    };
    state.containers.insert("s2".into(), begun);
    check("left alone while it stops", &pod, &state, 15, &[], None);
    state.containers.insert("s2".into(), exited(0, 0));
    check("then the first", &pod, &state, 15, &[stop_pod("s1", 15)], None);
}

#[test]
fn deadline_gives_a_verdict() {
    let mut pod = want(RestartPolicy::Always, MAIN);
    pod.deadline = Some(at(60));
    let mut state = have(&[("a", runs(0))]);
    check("wakes for it", &pod, &state, 0, &[], Some(60));
    let planned = plan(&pod, &state, at(60));
    let [Action::End(verdict)] = planned.actions.as_slice() else { panic!("{planned:?}") };
    assert_eq!(verdict.reason, "DeadlineExceeded");
    state.verdict = Some(verdict.clone());
    check("then stops", &pod, &state, 60, &[stop_pod("a", 30)], None);
    let mut ended = have(&[("a", exited(0, 137))]);
    ended.verdict = state.verdict;
    check("cleans, and keeps the object", &pod, &ended, 61, &[Action::CleanUp], None);
    ended.sandbox = Sandbox::Absent { clean: true };
    check("rests", &pod, &ended, 61, &[], None);
}

#[test]
fn finished_pod_found_after_a_restart_only_gets_cleaned() {
    let mut pod = want(RestartPolicy::Always, MAIN);
    pod.finished = true;
    let mut state = have(&[]);
    state.sandbox = Sandbox::Absent { clean: false };
    check("clean", &pod, &state, 0, &[Action::CleanUp], None);
    state.sandbox = Sandbox::Absent { clean: true };
    check("rest", &pod, &state, 0, &[], None);
}

#[test]
fn initialized_once_inits_are_done() {
    let pod = want(RestartPolicy::Always, SIDECAR);
    assert!(is_initialized(&want(RestartPolicy::Always, MAIN), &have(&[])));
    assert!(!is_initialized(&pod, &have(&[("i", exited(0, 0)), ("s", runs(0))])));
    assert!(is_initialized(
        &pod,
        &have(&[("i", exited(0, 0)), ("s", runs(0)), ("j", exited(0, 0))])
    ));
    assert!(is_initialized(&pod, &have(&[("a", exited(0, 1))])), "a main container has run");
}
