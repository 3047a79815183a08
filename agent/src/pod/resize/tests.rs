//! What a resize takes, as tables.

use jiff::Timestamp;
use runtime::spec::{ContainerState, Exit, ExitReason};
use serde_json::{Value, json};

use super::*;
use crate::pod::model::HaveContainer;
use crate::pod::observe;

fn pod(containers: Value) -> Pod {
    let spec = json!({"restartPolicy": "Never", "containers": containers});
    let metadata = json!({"name": "p", "generation": 4});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn requirements(value: Value) -> ResourceRequirements {
    serde_json::from_value(value).unwrap()
}

fn attempt(resources: Option<Value>, wasm: bool, runs: bool) -> Attempt {
    let at = Timestamp::UNIX_EPOCH;
    let state = match runs {
        true => ContainerState::Running { pid: 1, started_at: at },
        false => ContainerState::Exited(Exit {
            code: 0,
            signal: None,
            reason: ExitReason::Completed,
            message: String::new(),
            started_at: at,
            finished_at: at,
        }),
    };
    Attempt {
        number: 0,
        id: String::new(),
        image_digest: String::new(),
        image: String::new(),
        resources: resources.map(requirements),
        wasm,
        user: None,
        state,
    }
}

fn have(name: &str, attempt: Attempt) -> Have {
    let mut have = observe::adopt(&Pod::default(), Timestamp::UNIX_EPOCH);
    let container = HaveContainer { latest: Some(attempt), ..HaveContainer::default() };
    have.containers.insert(name.to_owned(), container);
    have
}

#[test]
fn what_it_takes() {
    let (cpu, memory) = (json!({"cpu": "1"}), json!({"memory": "64Mi"}));
    let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"},
        {"resourceName": "cpu", "restartPolicy": "NotRequired"}]);
    for (case, wants, has, wasm, expected) in [
        (
            "the same",
            json!({"limits": cpu}),
            Some(json!({"limits": {"cpu": "1000m"}})),
            false,
            Need::Nothing,
        ),
        (
            "the same by default",
            json!({"limits": cpu}),
            Some(json!({"limits": cpu, "requests": cpu})),
            false,
            Need::Nothing,
        ),
        ("unknown", json!({"limits": cpu}), None, false, Need::Nothing),
        ("cpu", json!({"limits": cpu}), Some(json!({})), false, Need::InPlace),
        ("memory", json!({"limits": memory}), Some(json!({})), false, Need::Restart),
        ("a wasm host's limit", json!({"limits": cpu}), Some(json!({})), true, Need::Restart),
        ("a wasm host's request", json!({"requests": cpu}), Some(json!({})), true, Need::InPlace),
    ] {
        let pod = pod(json!([{"name": "c", "resources": wants, "resizePolicy": policy}]));
        let want = Want::of(&pod, Timestamp::UNIX_EPOCH);
        let got = need(&want.containers[0], &attempt(has, wasm, true));
        assert_eq!(got, expected, "{case}");
        let ephemeral = WantContainer { role: Role::Ephemeral, ..want.containers[0].clone() };
        let changed = attempt(Some(json!({"limits": {"cpu": "7"}})), false, true);
        assert_eq!(need(&ephemeral, &changed), Need::Nothing);
    }
}

#[test]
fn what_was_given() {
    let one = |resources: Value| pod(json!([{"name": "c", "resources": resources}]));
    let (spec, told, had) = (
        json!({"requests": {"cpu": "3"}}),
        json!({"requests": {"cpu": "2"}}),
        json!({"requests": {"cpu": "1"}}),
    );
    let asked = one(spec.clone());
    let nothing = observe::adopt(&Pod::default(), Timestamp::UNIX_EPOCH);
    let of = |pod: &Pod, have: &Have| given(pod, have)["c"].clone();
    assert_eq!(of(&asked, &nothing), requirements(spec));
    let mut reported = asked.clone();
    reported.status = serde_json::from_value(json!({"containerStatuses": [{
        "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "resources": {"requests": {"cpu": "9"}}, "allocatedResources": {"cpu": "2"}}]}))
    .unwrap();
    assert_eq!(of(&reported, &nothing), requirements(told.clone()));
    let runs = have("c", attempt(Some(had.clone()), false, true));
    assert_eq!(of(&reported, &runs), requirements(had.clone()));
    let ended = have("c", attempt(Some(had), false, false));
    assert_eq!(of(&reported, &ended), requirements(told), "what ran had less to say");
}

#[test]
fn what_was_agreed_to_takes_the_place_of_what_is_asked() {
    let asking = pod(json!([
        {"name": "a", "resources": {"requests": {"cpu": "2"}}},
        {"name": "b", "resources": {"requests": {"cpu": "1000m"}}}
    ]));
    let smaller = pod(json!([
        {"name": "a", "resources": {"requests": {"cpu": "1"}}},
        {"name": "b", "resources": {"requests": {"cpu": "1"}}}
    ]));
    let (asks, given) = (asked(&asking), asked(&smaller));
    assert!(!same(&asks, &given) && same(&asks, &asks.clone()));
    let agreed = with(&asking, &given).spec.unwrap();
    let request = |at: usize| agreed.containers[at].resources.clone().unwrap().requests.unwrap();
    assert_eq!(request(0)["cpu"].0, "1");
    assert_eq!(request(1)["cpu"].0, "1000m", "the same amount keeps its form");
}

#[test]
fn what_can_never_be() {
    let limited = pod(json!([{"name": "c", "resources": {"limits": {"cpu": "1"}}}]));
    let asks = asked(&limited);
    let with = |wasm, runs| have("c", attempt(Some(json!({})), wasm, runs));
    let why = infeasible(&limited, &with(true, true), &asks).unwrap();
    assert!(why.contains("WebAssembly"), "{why}");
    for have in [with(false, true), with(true, false)] {
        assert_eq!(infeasible(&limited, &have, &asks), None);
    }
    let mut again = limited.clone();
    again.spec.as_mut().unwrap().restart_policy = Some("Always".to_owned());
    assert_eq!(infeasible(&again, &with(true, true), &asks), None);
}

#[test]
fn events_say_what_it_is_about() {
    let pod = pod(json!([{"name": "c", "resources": {"limits": {"cpu": "1"}}}]));
    let rest = r#""containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}]"#;
    let text = event("Pod resize started", &pod, None);
    assert!(text.starts_with("Pod resize started: {"), "{text}");
    assert!(text.contains(rest) && text.contains(r#""generation":4"#), "{text}");
    assert!(event("Pod resize error", &pod, Some("no")).contains(r#""error":"no""#));
}
