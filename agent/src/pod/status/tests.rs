//! Statuses as tables: what kubectl will show for the situations of a pod.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ContainerStatus;
use runtime::spec::{ContainerState, Exit, ExitReason, Identity};
use serde_json::{Value, json};

use super::super::model::{Attempt, HaveContainer, Health, Resize, Sandbox, Verdict, Waiting};
use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn pod(spec: Value, status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3}, "spec": spec, "status": status
    }))
    .unwrap()
}

fn one(policy: &str) -> Pod {
    pod(
        json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "hello"}]}),
        json!({}),
    )
}

fn have(containers: Vec<(&str, HaveContainer)>) -> Have {
    Have {
        sandbox: Sandbox::Alive,
        busy: false,
        retry_at: None,
        pod_ip: Some("10.0.0.2".parse().unwrap()),
        containers: containers.into_iter().map(|(name, c)| (name.to_owned(), c)).collect(),
        verdict: None,
        resize: Resize::default(),
        limits: None,
        reported: true,
        stopping_since: None,
    }
}

fn attempt(number: u32, state: ContainerState) -> Attempt {
    Attempt {
        number,
        id: format!("u-a-{number}"),
        image_digest: format!("sha256:{}", "0".repeat(64)),
        image: String::new(),
        resources: None,
        wasm: false,
        user: None,
        state,
    }
}

fn running(number: u32) -> HaveContainer {
    let state = ContainerState::Running { pid: 1, started_at: at(0) };
    HaveContainer { latest: Some(attempt(number, state)), ..HaveContainer::default() }
}

fn ended(number: u32, code: i32, reason: ExitReason) -> HaveContainer {
    let exit = Exit {
        code,
        signal: None,
        reason,
        message: "why".into(),
        started_at: at(0),
        finished_at: at(1),
    };
    HaveContainer {
        latest: Some(attempt(number, ContainerState::Exited(exit))),
        ..HaveContainer::default()
    }
}

fn status(pod: &Pod, have: &Have, now: i64) -> PodStatus {
    let node = NodeFacts { ip: "192.0.2.1".parse().unwrap() };
    build(pod, &Want::of(pod, at(0)), have, node, at(0), at(now))
}

fn first(status: &PodStatus) -> &ContainerStatus {
    &status.container_statuses.as_ref().unwrap()[0]
}

fn waiting(status: &ContainerStatus) -> (String, String) {
    let waiting = status.state.as_ref().unwrap().waiting.clone().expect("it should be waiting");
    (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default())
}

fn condition(status: &PodStatus, type_: &str) -> (String, String, String) {
    let found = status.conditions.iter().flatten().find(|c| c.type_ == type_).expect(type_).clone();
    (found.status, found.reason.unwrap_or_default(), found.message.unwrap_or_default())
}

fn text(values: (&str, &str, &str)) -> (String, String, String) {
    (values.0.into(), values.1.into(), values.2.into())
}

#[test]
fn phases() {
    use ExitReason::{Completed, Error};
    let cases: Vec<(&str, &str, HaveContainer, &str)> = vec![
        ("nothing yet", "Always", HaveContainer::default(), "Pending"),
        ("runs", "Always", running(0), "Running"),
        ("crashed, comes again", "Always", ended(0, 1, Error), "Running"),
        ("on failure, failed", "OnFailure", ended(0, 1, Error), "Running"),
        ("on failure, done", "OnFailure", ended(0, 0, Completed), "Succeeded"),
        ("never, done", "Never", ended(0, 0, Completed), "Succeeded"),
        ("never, failed", "Never", ended(0, 1, Error), "Failed"),
    ];
    for (case, policy, container, expected) in cases {
        let status = status(&one(policy), &have(vec![("a", container)]), 2);
        assert_eq!(status.phase.as_deref(), Some(expected), "{case}");
    }
    // The container's own policy goes before the pod's.
    for (of_pod, own, code, expected) in [
        ("Always", "Never", 1, "Failed"),
        ("Always", "OnFailure", 0, "Succeeded"),
        ("Never", "OnFailure", 1, "Running"),
    ] {
        let mut pod = one(of_pod);
        pod.spec.as_mut().unwrap().containers[0].restart_policy = Some(own.to_owned());
        let status = status(&pod, &have(vec![("a", ended(0, code, Error))]), 2);
        assert_eq!(status.phase.as_deref(), Some(expected), "{of_pod} {own} {code}");
    }
    let mut deleted = one("Always");
    deleted.metadata.deletion_timestamp = Some(Time(at(0)));
    let of = |code| status(&deleted, &have(vec![("a", ended(0, code, Error))]), 2).phase.unwrap();
    assert_eq!((of(0), of(143)), ("Succeeded".to_owned(), "Failed".to_owned()));
    assert_eq!(
        status(&deleted, &have(vec![("a", running(0))]), 2).phase.as_deref(),
        Some("Running")
    );
}

#[test]
fn running_pod() {
    let pod = one("Always");
    let status = status(&pod, &have(vec![("a", running(2))]), 5);
    let container = first(&status);
    assert_eq!(container.container_id.as_deref(), Some("wharf://u-a-2"));
    assert_eq!(container.image_id, format!("docker.io/library/hello@sha256:{}", "0".repeat(64)));
    assert_eq!(
        (container.ready, container.started, container.restart_count),
        (true, Some(true), 2)
    );
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.2"));
    assert_eq!(status.host_ip.as_deref(), Some("192.0.2.1"));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    for type_ in
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    {
        assert_eq!(condition(&status, type_).0, "True", "{type_}");
    }
}

#[test]
fn probes_decide_readiness() {
    let pod = one("Always");
    let with = |health| status(&pod, &have(vec![("a", HaveContainer { health, ..running(0) })]), 5);
    let starting = with(Health { started: false, ready: true, failed: None });
    assert_eq!((first(&starting).ready, first(&starting).started), (false, Some(false)));
    let unready = with(Health { started: true, ready: false, failed: None });
    assert_eq!((first(&unready).ready, first(&unready).started), (false, Some(true)));
    let expected = text(("False", "ContainersNotReady", "containers with unready status: [a]"));
    assert_eq!(condition(&unready, "Ready"), expected);
    assert_eq!(condition(&unready, "ContainersReady"), expected);
}

#[test]
fn what_waiting_says() {
    let pod = one("Always");
    let of = |container: HaveContainer, now| {
        let status = status(&pod, &have(vec![("a", container)]), now);
        waiting(first(&status))
    };
    assert_eq!(of(HaveContainer::default(), 0).0, "ContainerCreating");
    let pull = Waiting { reason: "ErrImagePull".into(), message: "no such host".into() };
    let failing = HaveContainer { waiting: Some(pull), ..HaveContainer::default() };
    assert_eq!(of(failing, 0), ("ErrImagePull".into(), "no such host".into()));
    let mut crashed = ended(1, 1, ExitReason::Error);
    crashed.crashes.retried(at(0), at(0));
    let (reason, message) = of(crashed.clone(), 5);
    assert_eq!(reason, "CrashLoopBackOff");
    assert_eq!(message, "back-off 10s restarting failed container=a pod=p_n(u)");
    let status = status(&pod, &have(vec![("a", crashed)]), 5);
    let last = first(&status).last_state.clone().unwrap().terminated.unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref(), last.message.as_deref()),
        (1, Some("Error"), Some("why"))
    );
    assert_eq!(first(&status).restart_count, 1);
}

#[test]
fn how_it_ended() {
    for (code, reason, word) in [
        (0, ExitReason::Completed, "Completed"),
        (3, ExitReason::Error, "Error"),
        (137, ExitReason::OOMKilled, "OOMKilled"),
        (134, ExitReason::WasmTrap, "WasmTrap"),
        (1, ExitReason::WasmLinkError, "WasmLinkError"),
        (128, ExitReason::StartError, "StartError"),
        (137, ExitReason::ContainerStatusUnknown, "ContainerStatusUnknown"),
    ] {
        let status = status(&one("Never"), &have(vec![("a", ended(0, code, reason))]), 2);
        let ended = first(&status).state.clone().unwrap().terminated.unwrap();
        assert_eq!((ended.exit_code, ended.reason.as_deref()), (code, Some(word)));
        assert_eq!(ended.container_id.as_deref(), Some("wharf://u-a-0"));
        assert_eq!((first(&status).ready, first(&status).started), (false, Some(false)));
    }
}

#[test]
fn previous_attempt_is_the_last_state() {
    let mut container = running(1);
    container.previous = ended(0, 9, ExitReason::Error).latest;
    let status = status(&one("Always"), &have(vec![("a", container)]), 2);
    assert_eq!(first(&status).last_state.clone().unwrap().terminated.unwrap().exit_code, 9);
}

#[test]
fn init_containers() {
    let pod = pod(
        json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]}),
        json!({}),
    );
    let first_runs = status(&pod, &have(vec![("i", running(0))]), 0);
    assert_eq!(first_runs.phase.as_deref(), Some("Pending"));
    let inits = first_runs.init_container_statuses.clone().unwrap();
    assert_eq!((inits[0].started, inits[0].ready), (Some(true), false));
    assert_eq!(waiting(&inits[1]).0, "PodInitializing");
    assert_eq!(waiting(first(&first_runs)).0, "PodInitializing");
    assert_eq!(
        condition(&first_runs, "Initialized"),
        text(("False", "ContainersNotInitialized", "containers with incomplete status: [i j]"))
    );
    let failed = status(&pod, &have(vec![("i", ended(0, 1, ExitReason::Error))]), 2);
    assert_eq!(failed.phase.as_deref(), Some("Failed"));
    let done = have(vec![
        ("i", ended(0, 0, ExitReason::Completed)),
        ("j", ended(0, 0, ExitReason::Completed)),
        ("a", running(0)),
    ]);
    let done = status(&pod, &done, 2);
    assert_eq!(done.phase.as_deref(), Some("Running"));
    assert_eq!(condition(&done, "Initialized").0, "True");
    assert!(done.init_container_statuses.unwrap().iter().all(|init| init.ready));
}

#[test]
fn finished_pod() {
    let succeeded =
        status(&one("Never"), &have(vec![("a", ended(0, 0, ExitReason::Completed))]), 2);
    assert_eq!(condition(&succeeded, "Ready"), text(("False", "PodCompleted", "")));
    assert_eq!(condition(&succeeded, "Initialized"), text(("True", "PodCompleted", "")));
    // After an agent restart nothing is on disk: what was reported stays.
    let mut found = one("Never");
    found.status = Some(succeeded.clone());
    let mut nothing = have(vec![]);
    nothing.sandbox = Sandbox::Absent { clean: true };
    let again = status(&found, &nothing, 99);
    assert_eq!(again.phase, succeeded.phase);
    assert_eq!(again.container_statuses, succeeded.container_statuses);
}

#[test]
fn deadline_verdict() {
    let mut state = have(vec![("a", running(0))]);
    let (reason, message) = ("DeadlineExceeded", "too long".to_owned());
    state.verdict = Some(Verdict { reason, message, rejected: false });
    let status = status(&one("Always"), &state, 2);
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("DeadlineExceeded"))
    );
}

#[test]
fn conditions_of_others_and_transition_times_survive() {
    let mut pod = one("Always");
    pod.spec.as_mut().unwrap().readiness_gates =
        serde_json::from_value(json!([{"conditionType": "example.com/up"}])).unwrap();
    let before = status(&pod, &have(vec![("a", running(0))]), 10);
    assert_eq!(
        condition(&before, "Ready"),
        text((
            "False",
            "ReadinessGatesNotReady",
            "corresponding condition of pod readiness gate \"example.com/up\" does not exist."
        ))
    );
    let mut conditions = before.conditions.clone().unwrap();
    conditions
        .push(serde_json::from_value(json!({"type": "example.com/up", "status": "True"})).unwrap());
    pod.status = Some(PodStatus { conditions: Some(conditions), ..before });
    let after = status(&pod, &have(vec![("a", running(0))]), 20);
    assert_eq!(condition(&after, "Ready").0, "True");
    assert_eq!(condition(&after, "example.com/up").0, "True");
    let time = |type_: &str| {
        after
            .conditions
            .iter()
            .flatten()
            .find(|c| c.type_ == type_)
            .unwrap()
            .last_transition_time
            .clone()
            .unwrap()
            .0
    };
    assert_eq!(time("ContainersReady"), at(10), "unchanged");
    assert_eq!(time("Ready"), at(10) + SignedDuration::from_secs(10), "changed now");
}

#[test]
fn rejected_pod() {
    let sysctls = json!([{"name": "kernel.msgmax", "value": "1"}]);
    let pod = pod(
        json!({"securityContext": {"sysctls": sysctls}, "containers": [{"name": "a"}]}),
        json!({}),
    );
    let mut nothing = have(vec![]);
    nothing.sandbox = Sandbox::Absent { clean: false };
    nothing.verdict = Want::of(&pod, at(0)).rejected;
    let status = status(&pod, &nothing, 2);
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref(), status.message.as_deref()),
        (
            Some("Failed"),
            Some("SysctlForbidden"),
            Some("Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted")
        )
    );
    assert_eq!(status.container_statuses, None, "there never was a container");
}

#[test]
fn what_a_container_has() {
    let mount = |name: &str, read_only, recursive: Value| json!({"name": name, "mountPath": "/m", "readOnly": read_only, "recursiveReadOnly": recursive});
    let mounts = [
        mount("w", false, Value::Null),
        mount("r", true, Value::Null),
        mount("rr", true, json!("IfPossible")),
    ];
    let resources = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}});
    let pod = pod(
        json!({"containers": [
            {"name": "a", "image": "b:2", "resources": resources, "volumeMounts": mounts}]}),
        json!({}),
    );
    let had = json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}});
    let of = |mut container: HaveContainer| {
        let latest = container.latest.as_mut().unwrap();
        latest.image = "b:1".into();
        latest.resources = Some(serde_json::from_value(had.clone()).unwrap());
        latest.user = Some(Identity { uid: 5, gid: 6, groups: vec![6, 7] });
        serde_json::to_value(first(&status(&pod, &have(vec![("a", container)]), 2))).unwrap()
    };
    let runs = of(running(0));
    assert_eq!((&runs["resources"], &runs["allocatedResources"]), (&had, &resources["requests"]));
    assert_eq!(runs["user"], json!({"linux": {"uid": 5, "gid": 6, "supplementalGroups": [6, 7]}}));
    assert_eq!(runs["image"], "docker.io/library/b:1", "what runs, by its whole name");
    let told = json!([
        {"name": "w", "mountPath": "/m"},
        {"name": "r", "mountPath": "/m", "readOnly": true, "recursiveReadOnly": "Disabled"},
        {"name": "rr", "mountPath": "/m", "readOnly": true, "recursiveReadOnly": "Enabled"},
    ]);
    assert_eq!(runs["volumeMounts"], told);
    let ended = of(ended(0, 1, ExitReason::Error));
    assert_eq!(ended["resources"], resources, "what it is going to have");
    let never = serde_json::to_value(first(&status(&pod, &have(vec![]), 2))).unwrap();
    assert_eq!((&never["image"], &never["volumeMounts"]), (&json!("b:2"), &told));
    assert!(never["resources"].is_null() && never["user"].is_null(), "{never}");
}

#[test]
fn ephemeral_containers() {
    let pod = pod(
        json!({"containers": [{"name": "a", "image": "x"}],
            "ephemeralContainers": [{"name": "e", "image": "x"}, {"name": "f", "image": "x"}]}),
        json!({}),
    );
    let status = status(&pod, &have(vec![("a", running(0)), ("e", running(0))]), 2);
    let told = status.ephemeral_container_statuses.as_ref().unwrap();
    assert!(told[0].state.as_ref().unwrap().running.is_some());
    assert_eq!((told[0].ready, told[0].started), (false, None));
    assert_eq!(waiting(&told[1]).0, "ContainerCreating");
    assert_eq!(status.phase.as_deref(), Some("Running"), "it does not count");
    assert_eq!(condition(&status, "Ready").0, "True");
}

#[test]
fn resizes_are_told_of() {
    let asked = json!({"limits": {"cpu": "2"}});
    let scheduled = json!({"type": "PodScheduled", "status": "True", "observedGeneration": 1});
    let pod = pod(
        json!({"containers": [{"name": "a", "image": "x", "resources": asked}]}),
        json!({"conditions": [scheduled]}),
    );
    let mut container = running(0);
    container.latest.as_mut().unwrap().resources = Some(Default::default());
    let mut state = have(vec![("a", container)]);
    let in_progress = status(&pod, &state, 2);
    assert_eq!(condition(&in_progress, "PodResizeInProgress"), text(("True", "", "")));
    state.resize.error = Some("no".into());
    let failed = status(&pod, &state, 2);
    assert_eq!(condition(&failed, "PodResizeInProgress"), text(("True", "Error", "no")));
    state.resize.pending = Some(("Deferred", "later".into()));
    let pending = status(&pod, &state, 2);
    assert_eq!(condition(&pending, "PodResizePending"), text(("True", "Deferred", "later")));
    let generations = pending.conditions.iter().flatten().map(|c| c.observed_generation);
    assert!(generations.clone().all(|generation| generation == Some(3)), "{pending:#?}");

    let mut told = pod.clone();
    told.status = Some(pending);
    let (latest, has) = (running(0).latest, serde_json::from_value(asked).unwrap());
    let latest = latest.map(|latest| Attempt { resources: Some(has), ..latest });
    let done = have(vec![("a", HaveContainer { latest, ..HaveContainer::default() })]);
    let done = super::build(
        &told,
        &Want::of(&told, at(0)),
        &done,
        NodeFacts { ip: "192.0.2.1".parse().unwrap() },
        at(0),
        at(3),
    );
    let left = done.conditions.iter().flatten().find(|c| c.type_.starts_with("PodResize"));
    assert_eq!(left, None);
}
