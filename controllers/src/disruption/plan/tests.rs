use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:10:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
    let mut value = json!({"metadata": {"name": "b", "namespace": "n", "generation": 4},
        "spec": {"selector": {"matchLabels": {"a": "b"}}}, "status": status});
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str, ready: bool, going: bool) -> Arc<Pod> {
    let mut value = json!({"metadata": {"name": name, "labels": {"a": "b"}}, "status": {
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}});
    if going {
        value["metadata"]["deletionTimestamp"] = NOW.into();
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn ready(count: usize) -> Vec<Arc<Pod>> {
    (0..count).map(|n| pod(&n.to_string(), true, false)).collect()
}

fn known(count: i32) -> Option<Scale> {
    Some(Scale::Known { count, unmanaged: Vec::new() })
}

#[test]
fn disruptions_are_what_healthy_pods_leave() {
    let none = json!({"disruptionsAllowed": 0});
    for (spec, scale, pods, [expected, desired, healthy, allowed]) in [
        (json!({"minAvailable": 2}), None, ready(3), [3, 2, 3, 1]),
        (json!({"minAvailable": 3}), None, ready(2), [2, 3, 2, 0]),
        (json!({"minAvailable": "50%"}), known(5), ready(5), [5, 3, 5, 2]),
        (json!({"maxUnavailable": 1}), known(3), ready(3), [3, 2, 3, 1]),
        (json!({"maxUnavailable": 5}), known(3), ready(3), [3, 0, 3, 3]),
        (json!({"maxUnavailable": "30%"}), known(10), ready(9), [10, 7, 9, 2]),
        (json!({"maxUnavailable": 1}), known(0), ready(2), [0, 0, 2, 0]),
        (json!({}), None, ready(2), [2, 0, 2, 2]),
        (
            json!({"minAvailable": 1}),
            None,
            vec![pod("a", true, false), pod("b", false, false), pod("c", true, true)],
            [3, 1, 1, 0],
        ),
        (json!({"minAvailable": 0}), None, vec![], [0, 0, 0, 0]),
    ] {
        let plan = plan(&budget(spec.clone(), none.clone()), &pods, scale, now());
        let status = &plan.status;
        let counts = [
            status.expected_pods,
            status.desired_healthy,
            status.current_healthy,
            status.disruptions_allowed,
        ];
        assert_eq!(counts, [expected, desired, healthy, allowed].map(Some), "{spec}");
        assert_eq!(status.observed_generation, Some(4));
        let condition = &status.conditions.as_ref().unwrap()[0];
        let said = (condition.status.as_str(), condition.reason.as_str());
        let wanted =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        assert_eq!(said, wanted, "{spec}");
        let reasons: Vec<_> = plan.events.iter().map(|event| event.reason).collect();
        assert_eq!(reasons, if pods.is_empty() { vec!["NoPods"] } else { vec![] });
    }
}

#[test]
fn evicted_pods_do_not_count_until_they_are_given_up() {
    let status = json!({"disruptionsAllowed": 0, "disruptedPods": {"0": "2026-01-01T00:09:00Z",
        "1": "2026-01-01T00:07:59Z", "gone": NOW}});
    let plan = plan(&budget(json!({"minAvailable": 1}), status), &ready(3), None, now());
    let left: Vec<_> = plan.status.disrupted_pods.as_ref().unwrap().keys().collect();
    assert_eq!(left, ["0"]);
    assert_eq!(plan.status.current_healthy, Some(2));
    assert_eq!(plan.recheck, Some(Duration::from_millis(60_001)));
    assert_eq!(plan.events[0].reason, "NotDeleted");
}

#[test]
fn what_cannot_be_told_allows_nothing() {
    let status = json!({"disruptionsAllowed": 2, "currentHealthy": 3, "conditions": [
        {"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    let share = budget(json!({"maxUnavailable": 1}), status);
    assert!(is_a_share(&share) && !is_a_share(&budget(json!({"minAvailable": 1}), json!(null))));
    let why = "jobs.batch does not implement the scale subresource";
    let unknown = plan(&share, &ready(1), Some(Scale::Unknown(why.to_owned())), now());
    assert_eq!(unknown.status.disruptions_allowed, Some(0));
    let condition = &unknown.status.conditions.as_ref().unwrap()[0];
    assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("SyncFailed", why));
    assert_eq!(condition.last_transition_time.0.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(unknown.events[0].reason, "CalculateExpectedPodCountFailed");

    let some = Some(Scale::Known { count: 1, unmanaged: vec!["x".to_owned()] });
    let events = plan(&share, &ready(2), some, now()).events;
    assert_eq!(events[0].reason, "UnmanagedPods");
    assert!(events[0].message.contains("(selector: a=b)"), "{}", events[0].message);
}

#[test]
fn budgets_cover_by_label() {
    let pod = pod("p", true, false);
    let with = |selector: Value| covers(&budget(json!({"selector": selector}), json!(null)), &pod);
    assert!(with(json!({"matchLabels": {"a": "b"}})));
    assert!(!with(json!({"matchLabels": {"a": "c"}})));
    assert!(with(json!({})));
    assert!(!with(json!(null)));
}
