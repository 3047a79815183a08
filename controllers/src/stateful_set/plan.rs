//! What to do about a StatefulSet. Pure: objects and a clock in, actions out.
//!
//! The order of things, each waiting for the one before unless the set is `Parallel`: every wanted
//! pod exists and is available, lowest ordinal first; pods that are not wanted end, highest first;
//! pods of an old template are deleted, highest first, and come back with the new one.
//!
//! Source: k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_control.go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use super::claims::{self, ClaimStep};
use super::identity;
use crate::workload::amount::{self, Round};
use crate::workload::availability::{is_available, min_ready, recheck};
use crate::workload::history;

/// The revision that pods are from until they are updated, and the one they are updated to.
#[derive(Debug, Clone)]
pub(super) struct Revisions {
    pub(super) current: Arc<ControllerRevision>,
    pub(super) update: Arc<ControllerRevision>,
}

/// Why a pod is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It has ended in failure, and is made again.
    Failed,
    /// It has ended, and is made again.
    Succeeded,
    /// It is not wanted, or not as it is.
    Unwanted,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Create a pod, its claims before it.
    Create { pod: Box<Pod>, claims: Vec<ClaimStep> },
    /// Delete a pod.
    Delete { pod: Arc<Pod>, why: Why },
    /// Give a pod what it lacks.
    Repair { pod: Arc<Pod>, claims: Vec<ClaimStep>, labels: BTreeMap<String, String> },
}

/// The decisions.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In this order; a failure ends the run.
    pub(super) actions: Vec<Action>,
    /// How many of the deletions replace a pod of the current revision.
    pub(super) deleted_for_update: i32,
    /// When a ready pod becomes available without anything else happening.
    pub(super) recheck: Option<Duration>,
}

/// How far the pods are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    wait: Duration,
    now: Timestamp,
}

impl Health {
    pub(super) fn of(set: &StatefulSet, now: Timestamp) -> Self {
        let seconds = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        Self { wait: min_ready(seconds), now }
    }

    /// Running, ready, and for long enough.
    pub(super) fn is_available(self, pod: &Pod) -> bool {
        is_running_and_ready(pod) && is_available(pod, self.wait, self.now)
    }

    fn is_steady(self, pod: &Pod) -> bool {
        self.is_available(pod) && !pods::is_terminating(pod)
    }
}

/// Running, and ready.
pub(super) fn is_running_and_ready(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod)
}

/// Decides. `owned` are the set's pods, `claims` all claims of its namespace.
pub(super) fn plan(
    set: &StatefulSet,
    revisions: &Revisions,
    owned: &[Arc<Pod>],
    claims: &[Arc<PersistentVolumeClaim>],
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let Some(spec) = &set.spec else { return plan };
    let health = Health::of(set, now);
    plan.recheck = recheck(owned.iter().map(|pod| &**pod), health.wait, now);
    if set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let by_ordinal: BTreeMap<i32, &Arc<Pod>> = owned
        .iter()
        .filter_map(|pod| identity::ordinal(set, pod).map(|ordinal| (ordinal, pod)))
        .collect();
    let one_by_one = spec.pod_management_policy.as_deref() != Some("Parallel");
    let view = View { set, spec, revisions, claims, health, one_by_one, by_ordinal };
    if view.keep(&mut plan) && view.condemn(&mut plan) {
        view.update(&mut plan);
    }
    plan
}

/// What all parts of the decision look at.
struct View<'a> {
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    revisions: &'a Revisions,
    claims: &'a [Arc<PersistentVolumeClaim>],
    health: Health,
    one_by_one: bool,
    by_ordinal: BTreeMap<i32, &'a Arc<Pod>>,
}

impl<'a> View<'a> {
    fn wanted(&self) -> std::ops::Range<i32> {
        let start = identity::start(self.set);
        start..start.saturating_add(identity::replicas(self.set))
    }

    /// Pods that are not wanted, highest ordinal first.
    fn condemned(&self) -> impl Iterator<Item = (i32, &'a Arc<Pod>)> {
        let pods = self.by_ordinal.iter().rev().map(|(ordinal, pod)| (*ordinal, *pod));
        pods.filter(|(ordinal, _)| !identity::is_wanted(self.set, *ordinal))
    }

    /// Sees to it that every wanted pod is there. Whether what comes after may go on.
    fn keep(&self, plan: &mut Plan) -> bool {
        for ordinal in self.wanted() {
            let go_on = match self.by_ordinal.get(&ordinal) {
                None => {
                    if !claims::are_stale(self.set, ordinal, self.claims) {
                        plan.actions.push(self.create(ordinal));
                    }
                    false
                }
                Some(pod) if pods::is_finished(pod) => {
                    let failed = pods::phase(pod) == "Failed";
                    if !pods::is_terminating(pod) {
                        let why = if failed { Why::Failed } else { Why::Succeeded };
                        plan.actions.push(Action::Delete { pod: (*pod).clone(), why });
                    }
                    false
                }
                Some(pod) => {
                    let steady = self.health.is_steady(pod);
                    if steady || !self.one_by_one || pods::phase(pod) == "Pending" {
                        self.repair(plan, ordinal, pod);
                    }
                    steady
                }
            };
            if self.one_by_one && !go_on {
                return false;
            }
        }
        true
    }

    fn create(&self, ordinal: i32) -> Action {
        let revision = if self.is_of_current(ordinal) {
            &self.revisions.current
        } else {
            &self.revisions.update
        };
        let template = history::template(revision).unwrap_or_else(|| self.spec.template.clone());
        let pod = identity::pod(self.set, &template, &revision.name_any(), ordinal);
        let claims = claims::steps(self.set, ordinal, None, self.claims);
        Action::Create { pod: Box::new(pod), claims }
    }

    /// Whether a pod made now is made from the template before the update.
    fn is_of_current(&self, ordinal: i32) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return false;
        }
        let unreached = match strategy.and_then(|strategy| strategy.rolling_update.as_ref()) {
            Some(rolling) => rolling.partition.unwrap_or(0),
            None => {
                let status = self.set.status.as_ref();
                status.and_then(|status| status.current_replicas).unwrap_or(0)
            }
        };
        ordinal < identity::start(self.set).saturating_add(unreached)
    }

    fn repair(&self, plan: &mut Plan, ordinal: i32, pod: &Arc<Pod>) {
        let claims = claims::steps(self.set, ordinal, Some(pod), self.claims);
        let labels = identity::missing_labels(self.set, pod, ordinal);
        if !claims.is_empty() || !labels.is_empty() {
            plan.actions.push(Action::Repair { pod: pod.clone(), claims, labels });
        }
    }

    /// Ends pods that are not wanted. Whether what comes after may go on.
    fn condemn(&self, plan: &mut Plan) -> bool {
        for (ordinal, pod) in self.condemned() {
            let claims = claims::steps(self.set, ordinal, Some(pod), self.claims);
            if !claims.is_empty() {
                let labels = BTreeMap::new();
                plan.actions.push(Action::Repair { pod: pod.clone(), claims, labels });
            }
        }
        // Of several pods in a bad state the one with the lowest ordinal may go: it cannot be
        // waited for.
        let unsteady = self.condemned().filter(|(_, pod)| !self.health.is_steady(pod));
        let first_unsteady = unsteady.last().map(|(ordinal, _)| ordinal);
        for (ordinal, pod) in self.condemned() {
            if pods::is_terminating(pod) {
                if self.one_by_one {
                    return false;
                }
                continue;
            }
            let blocked = !self.health.is_available(pod) && first_unsteady != Some(ordinal);
            if self.one_by_one && blocked {
                return false;
            }
            plan.actions.push(Action::Delete { pod: pod.clone(), why: Why::Unwanted });
            if self.one_by_one {
                return false;
            }
        }
        true
    }

    /// Replaces pods of another template than the present one, as many at a time as may be missing.
    fn update(&self, plan: &mut Plan) {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return;
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let replicas = identity::replicas(self.set);
        let most = rolling
            .and_then(|rolling| rolling.max_unavailable.as_ref())
            .and_then(|most| amount::of(most, replicas, Round::Down))
            .map_or(1, |most| most.max(1));
        let missing = self.wanted().filter(|ordinal| {
            self.by_ordinal.get(ordinal).is_none_or(|pod| !self.health.is_steady(pod))
        });
        let mut left = most - i32::try_from(missing.count()).unwrap_or(i32::MAX);
        let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
        let name = self.revisions.update.metadata.name.as_deref();
        for ordinal in self.wanted().skip(usize::try_from(partition).unwrap_or(0)).rev() {
            let Some(pod) = self.by_ordinal.get(&ordinal) else { continue };
            let outdated = identity::revision(pod) != name
                && !pods::is_terminating(pod)
                && !pods::is_finished(pod);
            if !outdated {
                continue;
            }
            // What is not available anyway is not missed.
            if self.health.is_steady(pod) {
                if left <= 0 {
                    return;
                }
                left -= 1;
            }
            plan.actions.push(Action::Delete { pod: (*pod).clone(), why: Why::Unwanted });
            let current = self.revisions.current.metadata.name.as_deref();
            plan.deleted_for_update += i32::from(identity::revision(pod) == current);
        }
    }
}

#[cfg(test)]
mod tests;
