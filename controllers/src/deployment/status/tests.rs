use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

const START: &str = "2026-01-01T00:00:00Z";

fn at(seconds: i64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn deployment(spec: Value) -> Deployment {
    let mut value = json!({
        "metadata": {"name": "web", "generation": 2},
        "spec": {"replicas": 2, "selector": {}, "template": {}, "progressDeadlineSeconds": 60,
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}});
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    serde_json::from_value(value).unwrap()
}

/// A ReplicaSet that asks for and has so many pods.
fn set(name: &str, replicas: i32, available: i32) -> Arc<ReplicaSet> {
    let status = json!({"replicas": replicas, "readyReplicas": available,
        "availableReplicas": available, "terminatingReplicas": 1});
    let spec = json!({"replicas": replicas, "selector": {}});
    let value = json!({"metadata": {"name": name}, "spec": spec, "status": status});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn sets(old: (i32, i32), new: (i32, i32)) -> Sets {
    Sets { new: Some(set("new", new.0, new.1)), old: vec![set("old", old.0, old.1)] }
}

/// Type, status and reason of a condition.
fn condition_of(status: &DeploymentStatus, kind: &str) -> String {
    let found = find(status.conditions.as_deref().unwrap(), kind);
    found.map_or("none".to_owned(), |c| format!("{} {}", c.status, c.reason.as_deref().unwrap()))
}

/// Lets the Deployment see one state of its sets after the other.
struct Story {
    deployment: Deployment,
}

impl Story {
    fn goes_on(&mut self, sets: &Sets, outcome: &Outcome, seconds: i64) -> String {
        let told = status(&self.deployment, sets, outcome, at(seconds));
        self.deployment.status = Some(told.clone());
        condition_of(&told, PROGRESSING)
    }
}

#[test]
fn a_rollout_is_told_from_start_to_end() {
    let mut story = Story { deployment: deployment(json!({})) };
    let nothing = &Outcome::Nothing;
    let created = Outcome::Created("new".to_owned());
    let empty = Sets { new: None, old: vec![] };
    assert_eq!(story.goes_on(&empty, &created, 0), "True NewReplicaSetCreated");
    let s = story.goes_on(&sets((0, 0), (2, 0)), nothing, 1);
    assert_eq!(s, "True ReplicaSetUpdated");
    let s = story.goes_on(&sets((0, 0), (2, 1)), nothing, 50);
    assert_eq!(s, "True ReplicaSetUpdated");
    let s = story.goes_on(&sets((0, 0), (2, 1)), nothing, 100);
    assert_eq!(s, "True ReplicaSetUpdated", "the deadline counts from the last progress");
    let s = story.goes_on(&sets((0, 0), (2, 2)), nothing, 101);
    assert_eq!(s, "True NewReplicaSetAvailable");
    let s = story.goes_on(&sets((0, 0), (2, 1)), nothing, 300);
    assert_eq!(s, "True NewReplicaSetAvailable", "done is done");
    let conditions = story.deployment.status.unwrap().conditions.unwrap();
    let told = find(&conditions, PROGRESSING).unwrap();
    assert_eq!(told.message.as_deref(), Some("ReplicaSet \"new\" has successfully progressed."));
    assert_eq!(told.last_transition_time, Some(Time(at(0))), "it was true all the time");
    assert_eq!(told.last_update_time, Some(Time(at(101))));
}

#[test]
fn what_does_not_move_times_out_and_may_recover() {
    let mut story = Story { deployment: deployment(json!({})) };
    let nothing = &Outcome::Nothing;
    let stuck = sets((2, 2), (1, 0));
    assert_eq!(story.goes_on(&stuck, nothing, 0), "True ReplicaSetUpdated");
    let told = story.deployment.status.clone().unwrap();
    let wait = recheck(&story.deployment, &told, at(10));
    assert_eq!(wait, Some(Duration::from_secs(51)), "a second after the deadline");
    assert_eq!(story.goes_on(&stuck, nothing, 60), "True ReplicaSetUpdated");
    assert_eq!(story.goes_on(&stuck, nothing, 61), "False ProgressDeadlineExceeded");
    let told = story.deployment.status.clone().unwrap();
    assert_eq!(recheck(&story.deployment, &told, at(70)), None);
    assert_eq!(story.goes_on(&stuck, nothing, 600), "False ProgressDeadlineExceeded");
    let s = story.goes_on(&sets((2, 2), (1, 1)), nothing, 700);
    assert_eq!(s, "True ReplicaSetUpdated");
}

#[test]
fn pauses_stop_the_clock() {
    let mut story = Story { deployment: deployment(json!({})) };
    let nothing = &Outcome::Nothing;
    let state = sets((2, 2), (1, 0));
    story.goes_on(&state, nothing, 0);
    story.deployment.spec.as_mut().unwrap().paused = Some(true);
    assert_eq!(story.goes_on(&state, nothing, 10), "Unknown DeploymentPaused");
    assert_eq!(story.goes_on(&state, nothing, 1000), "Unknown DeploymentPaused");
    story.deployment.spec.as_mut().unwrap().paused = Some(false);
    assert_eq!(story.goes_on(&state, nothing, 1001), "Unknown DeploymentResumed");
    assert_eq!(story.goes_on(&state, nothing, 1002), "Unknown DeploymentResumed");
    let s = story.goes_on(&sets((1, 1), (2, 1)), nothing, 1003);
    assert_eq!(s, "True ReplicaSetUpdated");
}

#[test]
fn failures_collisions_and_no_deadline() {
    let mut story = Story { deployment: deployment(json!({})) };
    let empty = Sets { new: None, old: vec![set("old", 2, 2)] };
    let failed = Outcome::Failed("no room".to_owned());
    assert_eq!(story.goes_on(&empty, &failed, 0), "False ReplicaSetCreateError");
    story.goes_on(&empty, &Outcome::Collided, 1);
    let told = story.deployment.status.clone().unwrap();
    assert_eq!(told.collision_count, Some(1));

    let mut broken = (*set("new", 1, 0)).clone();
    let failure = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "quota", "lastTransitionTime": START}]);
    broken.status.as_mut().unwrap().conditions = Some(serde_json::from_value(failure).unwrap());
    let broken = Sets { new: Some(Arc::new(broken)), old: vec![set("old", 2, 2)] };
    story.goes_on(&broken, &Outcome::Nothing, 2);
    let told = story.deployment.status.clone().unwrap();
    assert_eq!(condition_of(&told, FAILURE), "True FailedCreate");
    story.goes_on(&sets((2, 2), (1, 0)), &Outcome::Nothing, 3);
    let told = story.deployment.status.clone().unwrap();
    assert_eq!(condition_of(&told, FAILURE), "none");

    let endless = deployment(json!({"progressDeadlineSeconds": NO_DEADLINE}));
    let told = status(&endless, &sets((0, 0), (2, 2)), &Outcome::Nothing, at(0));
    assert_eq!(condition_of(&told, PROGRESSING), "none");
}

#[test]
fn counts_and_availability() {
    for (old, new, available) in [
        ((2, 2), (1, 0), "True MinimumReplicasAvailable"),
        ((1, 1), (2, 0), "False MinimumReplicasUnavailable"),
    ] {
        let told = status(&deployment(json!({})), &sets(old, new), &Outcome::Nothing, at(0));
        assert_eq!(condition_of(&told, "Available"), available);
    }
    let told = status(&deployment(json!({})), &sets((1, 1), (2, 1)), &Outcome::Nothing, at(0));
    let mut told = serde_json::to_value(told).unwrap();
    told["conditions"] = Value::Null;
    assert_eq!(
        told,
        json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "readyReplicas": 2,
            "availableReplicas": 2, "unavailableReplicas": 1, "terminatingReplicas": 2,
            "conditions": null})
    );
}

#[test]
fn an_unchanged_state_is_an_unchanged_status() {
    let mut deployment = deployment(json!({}));
    let state = sets((2, 2), (1, 0));
    deployment.status = Some(status(&deployment, &state, &Outcome::Nothing, at(0)));
    let again = status(&deployment, &state, &Outcome::Nothing, at(5));
    assert_eq!(deployment.status, Some(again));
}
