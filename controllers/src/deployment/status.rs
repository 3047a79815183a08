//! What a Deployment reports: counts, and the conditions that `kubectl rollout status` reads. Pure.
//!
//! - `Available`: as many pods as the update strategy asks for are available.
//! - `Progressing`: a rollout goes on (`NewReplicaSetCreated`, `ReplicaSetUpdated`), is done
//!   (`NewReplicaSetAvailable`), is paused, or has not moved for `progressDeadlineSeconds`
//!   (`ProgressDeadlineExceeded`).
//! - `ReplicaFailure`: pods cannot be created or deleted.
//!
//! Source: k8s.io/kubernetes/pkg/controller/deployment/progress.go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::limits::{self, Limits};
use super::plan::Sets;

const PROGRESSING: &str = "Progressing";
const FAILURE: &str = "ReplicaFailure";
const DONE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// A Deployment whose deadline is this has none.
const NO_DEADLINE: i32 = i32::MAX;

/// How the step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was nothing to tell.
    Nothing,
    /// A ReplicaSet of this name was created.
    Created(String),
    /// It could not be.
    Failed(String),
    /// Its name is another's.
    Collided,
}

fn deadline(deployment: &Deployment) -> Option<SignedDuration> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds?;
    (seconds != NO_DEADLINE).then(|| SignedDuration::from_secs(i64::from(seconds)))
}

fn find<'a>(conditions: &'a [DeploymentCondition], kind: &str) -> Option<&'a DeploymentCondition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn has_reason(condition: Option<&DeploymentCondition>, reason: &str) -> bool {
    condition.is_some_and(|condition| condition.reason.as_deref() == Some(reason))
}

fn condition(
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// Puts a condition in the place of the one of its type, unless that says the same.
fn set(conditions: &mut Vec<DeploymentCondition>, mut new: DeploymentCondition) {
    if let Some(old) = find(conditions, &new.type_) {
        if old.status == new.status && old.reason == new.reason {
            return;
        }
        if old.status == new.status {
            new.last_transition_time.clone_from(&old.last_transition_time);
        }
    }
    remove(conditions, &new.type_);
    conditions.push(new);
}

fn remove(conditions: &mut Vec<DeploymentCondition>, kind: &str) {
    conditions.retain(|condition| condition.type_ != kind);
}

/// Whether all pods wanted are of the present template and available, and no others are left.
pub(super) fn is_complete(deployment: &Deployment, status: Option<&DeploymentStatus>) -> bool {
    let Some(status) = status else { return false };
    let wanted = Some(Limits::of(deployment).replicas);
    let zero = |count: Option<i32>| Some(count.unwrap_or(0));
    zero(status.updated_replicas) == wanted
        && zero(status.replicas) == wanted
        && zero(status.available_replicas) == wanted
        && status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0)
}

/// Whether something has moved since the last report.
fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let zero = |count: Option<i32>| count.unwrap_or(0);
    let outdated =
        |status: &DeploymentStatus| zero(status.replicas) - zero(status.updated_replicas);
    zero(new.updated_replicas) > zero(old.updated_replicas)
        || outdated(new) < outdated(old)
        || zero(new.ready_replicas) > zero(old.ready_replicas)
        || zero(new.available_replicas) > zero(old.available_replicas)
}

/// When the deadline passes, counted from the last progress; none while nothing is going on.
fn due(deployment: &Deployment, conditions: &[DeploymentCondition]) -> Option<Timestamp> {
    let current = find(conditions, PROGRESSING)?;
    if [DONE, TIMED_OUT, PAUSED].iter().any(|reason| has_reason(Some(current), reason)) {
        return None;
    }
    let since = current.last_update_time.as_ref()?.0;
    since.checked_add(deadline(deployment)?).ok()
}

/// When to look again because the deadline will have passed.
pub(super) fn recheck(
    deployment: &Deployment,
    status: &DeploymentStatus,
    now: Timestamp,
) -> Option<Duration> {
    let due = due(deployment, status.conditions.as_deref().unwrap_or_default())?;
    let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
    Some(wait + Duration::from_secs(1))
}

/// The status to write. `outcome` tells what came of the plan's step.
pub(super) fn status(
    deployment: &Deployment,
    sets: &Sets,
    outcome: &Outcome,
    now: Timestamp,
) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    let going = deployment.metadata.deletion_timestamp.is_some();
    if deadline(deployment).is_some() && !going {
        note_pause(&mut conditions, paused, now);
        note_outcome(&mut conditions, sets, outcome, now);
    }
    let mut status = counts(deployment, sets);
    if *outcome == Outcome::Collided {
        status.collision_count = Some(old.collision_count.unwrap_or(0).saturating_add(1));
    }
    let limits = Limits::of(deployment);
    let enough = status.available_replicas.unwrap_or(0) >= limits.fewest_available();
    let available = if enough {
        let message = "Deployment has minimum availability.".to_owned();
        condition("Available", "True", "MinimumReplicasAvailable", message, now)
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        condition("Available", "False", "MinimumReplicasUnavailable", message, now)
    };
    set(&mut conditions, available);
    if !paused && !going {
        // What could not even begin neither moves nor times out.
        if !matches!(outcome, Outcome::Failed(_)) {
            note_progress(&mut conditions, deployment, sets, (&old, &status), now);
        }
        match failure(sets) {
            Some(failure) => set(&mut conditions, failure),
            None => remove(&mut conditions, FAILURE),
        }
    }
    status.conditions = Some(conditions);
    status
}

fn counts(deployment: &Deployment, sets: &Sets) -> DeploymentStatus {
    let sum = |count: &dyn Fn(&ReplicaSet) -> i32| sets.all().map(|set| count(set)).sum::<i32>();
    let available = sum(&limits::available);
    let of = |set: &ReplicaSet| set.status.clone().unwrap_or_default();
    let terminating: Option<i32> = sets.all().map(|set| of(set).terminating_replicas).sum();
    // Zero is left out, as Kubernetes does, except for what may be unknown.
    let some = |n: i32| Some(n).filter(|n| *n > 0);
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(&limits::actual)),
        updated_replicas: some(sets.new.as_ref().map_or(0, |new| limits::actual(new))),
        ready_replicas: some(sum(&|set| of(set).ready_replicas.unwrap_or(0))),
        available_replicas: some(available),
        unavailable_replicas: some(sets.replicas() - available),
        terminating_replicas: terminating,
        collision_count: deployment.status.as_ref().and_then(|status| status.collision_count),
        conditions: None,
    }
}

/// Time does not pass for what is paused.
fn note_pause(conditions: &mut Vec<DeploymentCondition>, paused: bool, now: Timestamp) {
    let current = find(conditions, PROGRESSING);
    if has_reason(current, TIMED_OUT) {
        return;
    }
    match (paused, has_reason(current, PAUSED)) {
        (true, false) => {
            let message = "Deployment is paused".to_owned();
            set(conditions, condition(PROGRESSING, "Unknown", PAUSED, message, now));
        }
        (false, true) => {
            let message = "Deployment is resumed".to_owned();
            set(conditions, condition(PROGRESSING, "Unknown", "DeploymentResumed", message, now));
        }
        _ => {}
    }
}

fn note_outcome(
    conditions: &mut Vec<DeploymentCondition>,
    sets: &Sets,
    outcome: &Outcome,
    now: Timestamp,
) {
    let told = match outcome {
        Outcome::Created(name) => {
            let message = format!("Created new replica set \"{name}\"");
            condition(PROGRESSING, "True", "NewReplicaSetCreated", message, now)
        }
        Outcome::Failed(message) => {
            condition(PROGRESSING, "False", "ReplicaSetCreateError", message.clone(), now)
        }
        Outcome::Nothing | Outcome::Collided => match &sets.new {
            Some(new) if find(conditions, PROGRESSING).is_none() => {
                let message = format!("Found new replica set \"{}\"", new.name_any());
                condition(PROGRESSING, "True", "FoundNewReplicaSet", message, now)
            }
            _ => return,
        },
    };
    set(conditions, told);
}

fn note_progress(
    conditions: &mut Vec<DeploymentCondition>,
    deployment: &Deployment,
    sets: &Sets,
    (old, new): (&DeploymentStatus, &DeploymentStatus),
    now: Timestamp,
) {
    if deadline(deployment).is_none() {
        remove(conditions, PROGRESSING);
        return;
    }
    let current = find(conditions, PROGRESSING);
    // A rollout that is done stays done until the template changes.
    if has_reason(current, DONE) && new.replicas == new.updated_replicas {
        return;
    }
    let who = match &sets.new {
        Some(set) => format!("ReplicaSet \"{}\"", set.name_any()),
        None => format!("Deployment \"{}\"", deployment.name_any()),
    };
    if is_complete(deployment, Some(new)) {
        let message = format!("{who} has successfully progressed.");
        set(conditions, condition(PROGRESSING, "True", DONE, message, now));
    } else if has_progressed(old, new) {
        let message = format!("{who} is progressing.");
        let mut updated = condition(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
        if let Some(current) = current.filter(|current| current.status == "True") {
            updated.last_transition_time.clone_from(&current.last_transition_time);
        }
        // Even if it says the same: the time of the last progress counts.
        remove(conditions, PROGRESSING);
        conditions.push(updated);
    } else if due(deployment, conditions).is_some_and(|due| due < now) {
        let message = format!("{who} has timed out progressing.");
        set(conditions, condition(PROGRESSING, "False", TIMED_OUT, message, now));
    }
}

/// A ReplicaSet's failure, the new one's first.
fn failure(sets: &Sets) -> Option<DeploymentCondition> {
    let of = |set: &ReplicaSet| -> Option<ReplicaSetCondition> {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == FAILURE).cloned()
    };
    let found = sets.new.iter().chain(&sets.old).find_map(|set| of(set))?;
    Some(DeploymentCondition {
        type_: found.type_,
        status: found.status,
        reason: found.reason,
        message: found.message,
        last_update_time: found.last_transition_time.clone(),
        last_transition_time: found.last_transition_time,
    })
}

#[cfg(test)]
mod tests;
