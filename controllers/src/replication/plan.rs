//! What to do about a ReplicationController or ReplicaSet. Pure: objects and a clock in, decisions out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api::{owner, pod as pods};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::kind::Replicated;
use super::rank::sort_for_deletion;
use crate::workload::availability::{is_available, min_ready, recheck};
use crate::workload::claim::{self, Claims};
use crate::workload::pods::ChangeError;

/// No more creations or deletions than this are decided at once, as in Kubernetes.
const BURST: usize = 500;

/// How the number of pods has to change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    /// Not at all, or not yet.
    Keep,
    /// This many more.
    Create(usize),
    /// These fewer.
    Delete(Vec<Arc<Pod>>),
}

/// Why scaling did not work, for the `ReplicaFailure` condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    reason: &'static str,
    message: String,
}

impl Failure {
    pub(super) fn of(error: &ChangeError) -> Self {
        match error {
            ChangeError::Create(source) => Self::create(source.message()),
            ChangeError::Delete(source) => {
                Self { reason: "FailedDelete", message: source.message() }
            }
        }
    }

    fn create(message: String) -> Self {
        Self { reason: "FailedCreate", message }
    }
}

/// The decisions, and what they were made from.
#[derive(Debug)]
pub(super) struct Plan {
    /// Own pods that count, and which to adopt and release.
    pub(super) claims: Claims<Pod>,
    /// More or fewer pods.
    pub(super) scale: Scale,
    /// When a ready pod becomes available without anything else happening.
    pub(super) recheck: Option<Duration>,
    /// Own pods that are on their way out.
    terminating: usize,
}

fn contains(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Decides. `around` are the object's pods, its siblings', and those without an owner in its
/// namespace; `siblings` are the uids of the owners whose pods do the same work; `may_scale` is false while earlier creations or deletions
/// have not been seen.
pub(super) fn plan<R: Replicated>(
    object: &R,
    around: &[Arc<Pod>],
    siblings: &HashSet<String>,
    may_scale: bool,
    now: Timestamp,
) -> Plan {
    let selector = object.selector();
    let active = around.iter().filter(|pod| pods::is_active(pod)).cloned();
    let claims = claim::claims(object, &selector, active);
    let uid = object.uid().unwrap_or_default();
    let leaving = |pod: &&Arc<Pod>| {
        pods::is_terminating(pod)
            && !pods::is_finished(pod)
            && owner::is_controlled_by(&pod.metadata, &uid)
            && selector.matches(pod.labels())
    };
    let terminating = around.iter().filter(leaving).count();
    let scale = if may_scale && object.meta().deletion_timestamp.is_none() {
        let related = |pod: &&Arc<Pod>| {
            owner::controller_of(&pod.metadata).is_some_and(|o| siblings.contains(&o.uid))
        };
        let related: Vec<Arc<Pod>> = around.iter().filter(related).cloned().collect();
        let company = if related.is_empty() { &claims.owned } else { &related };
        scale(object.replicas(), &claims.owned, company, now)
    } else {
        Scale::Keep
    };
    let wait = min_ready(object.min_ready_seconds());
    let recheck = recheck(claims.owned.iter().map(|pod| &**pod), wait, now);
    Plan { claims, scale, recheck, terminating }
}

fn scale(wanted: i32, active: &[Arc<Pod>], company: &[Arc<Pod>], now: Timestamp) -> Scale {
    let wanted = usize::try_from(wanted).unwrap_or(0);
    if active.len() < wanted {
        Scale::Create((wanted - active.len()).min(BURST))
    } else if active.len() > wanted {
        let mut victims = active.to_vec();
        sort_for_deletion(&mut victims, company, now);
        victims.truncate((active.len() - wanted).min(BURST));
        Scale::Delete(victims)
    } else {
        Scale::Keep
    }
}

impl Plan {
    /// The status to write, given how scaling went. Keeps the old condition as long as scaling fails
    /// for the same reason, so that an unchanged status compares equal.
    pub(super) fn status<R: Replicated>(
        &self,
        object: &R,
        failure: Option<&Failure>,
        now: Timestamp,
    ) -> ReplicaSetStatus {
        let template = object.template().metadata.and_then(|m| m.labels).unwrap_or_default();
        let wait = min_ready(object.min_ready_seconds());
        let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let count = |counts: &dyn Fn(&Pod) -> bool| {
            number(self.claims.owned.iter().filter(|pod| counts(pod)).count())
        };
        // Zero is left out, as Kubernetes does, except for replicas and what may be unknown.
        let some = |n: i32| Some(n).filter(|n| *n > 0);
        ReplicaSetStatus {
            replicas: count(&|_| true),
            fully_labeled_replicas: some(count(&|pod| contains(pod.labels(), &template))),
            ready_replicas: some(count(&pods::is_ready)),
            available_replicas: some(count(&|pod| is_available(pod, wait, now))),
            terminating_replicas: Some(number(self.terminating)),
            observed_generation: object.meta().generation,
            conditions: self.conditions(object, failure, now),
        }
    }

    fn conditions<R: Replicated>(
        &self,
        object: &R,
        failure: Option<&Failure>,
        now: Timestamp,
    ) -> Option<Vec<ReplicaSetCondition>> {
        let old = object.status().conditions.unwrap_or_default();
        let is_failure = |c: &ReplicaSetCondition| c.type_ == "ReplicaFailure";
        let mut conditions: Vec<_> = old.iter().filter(|c| !is_failure(c)).cloned().collect();
        let kept = old.iter().find(|c| is_failure(c));
        match failure {
            // The message names the pod that could not be made: to follow it would be a write, and
            // with it a new try, for every try.
            Some(failure) => {
                let same = kept.filter(|c| c.reason.as_deref() == Some(failure.reason));
                conditions.push(same.cloned().unwrap_or_else(|| ReplicaSetCondition {
                    type_: "ReplicaFailure".to_owned(),
                    status: "True".to_owned(),
                    reason: Some(failure.reason.to_owned()),
                    message: Some(failure.message.clone()),
                    last_transition_time: Some(Time(now)),
                }));
            }
            // Not having tried is no success.
            None if self.scale == Scale::Keep && !self.is_settled(object) => {
                conditions.extend(kept.cloned());
            }
            None => {}
        }
        Some(conditions).filter(|c| !c.is_empty())
    }

    fn is_settled<R: Replicated>(&self, object: &R) -> bool {
        usize::try_from(object.replicas()).unwrap_or(0) == self.claims.owned.len()
    }
}

#[cfg(test)]
mod tests;
