//! The status of a PodDisruptionBudget. Pure: the budget, its pods and a clock in, the status out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::workload::amount::{self, Round};
use crate::workload::claim;

/// A pod that was to be evicted and is still there after this counts as healthy again.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

/// How many pods the owners of a budget's pods ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scale {
    /// So many, besides these pods that have no owner.
    Known { count: i32, unmanaged: Vec<String> },
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// Something to tell about the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The status, and what comes with it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) status: PodDisruptionBudgetStatus,
    pub(super) events: Vec<Event>,
    /// When an evicted pod that stays will have stayed too long.
    pub(super) recheck: Option<Duration>,
}

/// Whether the budget is about the pod. No selector is none, an empty one is every pod.
pub(super) fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| claim::selector(selector).matches(pod.labels()))
}

/// Whether the budget is relative to the number of pods that there should be.
pub(super) fn is_a_share(budget: &PodDisruptionBudget) -> bool {
    budget.spec.as_ref().is_some_and(|spec| {
        spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
    })
}

/// Computes the status. `pods` are those that the budget covers; `scale` is asked for when the
/// budget [`is_a_share`].
pub(super) fn plan(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    scale: Option<Scale>,
    now: Timestamp,
) -> Plan {
    let status = budget.status.clone().unwrap_or_default();
    let mut plan = Plan { status, events: Vec::new(), recheck: None };
    if pods.is_empty() {
        plan.tell(false, "NoPods", "No matching pods found".to_owned());
    }
    match expected(budget, pods, scale, &mut plan) {
        Ok((expected, desired)) => plan.count(budget, pods, expected, desired, now),
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            plan.tell(true, "CalculateExpectedPodCountFailed", message);
            plan.status.disruptions_allowed = Some(0);
            plan.status.observed_generation = budget.metadata.generation;
            plan.set_condition(budget, false, "SyncFailed", &why, now);
        }
    }
    plan
}

/// How many pods there should be and how many must be healthy.
fn expected(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    scale: Option<Scale>,
    plan: &mut Plan,
) -> Result<(i32, i32), String> {
    let all = || i32::try_from(pods.len()).unwrap_or(i32::MAX);
    let spec = budget.spec.clone().unwrap_or_default();
    let count = match scale {
        None => all(),
        Some(Scale::Unknown(why)) => return Err(why),
        Some(Scale::Known { count, unmanaged }) => {
            if !unmanaged.is_empty() {
                let selector = spec.selector.as_ref().map(claim::selector);
                let selector = selector.map(|selector| selector.to_string()).unwrap_or_default();
                let message = format!(
                    "Pods selected by this PodDisruptionBudget (selector: {selector}) were found \
                     to be unmanaged. As a result, the status of the PDB cannot be calculated \
                     correctly, which may result in undefined behavior. To account for these pods \
                     please set \".spec.minAvailable\" field of the PDB to an integer value."
                );
                plan.tell(true, "UnmanagedPods", message);
            }
            count
        }
    };
    let share = |amount: &IntOrString| {
        let found = amount::of(amount, count, Round::Up);
        found.ok_or_else(|| format!("{amount:?} is neither a number nor a percentage"))
    };
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => Ok((count, (count - share(most)?).max(0))),
        (None, Some(least)) => Ok((count, share(least)?)),
        (None, None) => Ok((all(), 0)),
    }
}

impl Plan {
    fn tell(&mut self, warning: bool, reason: &'static str, message: String) {
        self.events.push(Event { warning, reason, message });
    }

    fn count(
        &mut self,
        budget: &PodDisruptionBudget,
        pods: &[Arc<Pod>],
        expected: i32,
        desired: i32,
        now: Timestamp,
    ) {
        let disrupted = self.disrupted(budget, pods, now);
        let healthy = pods.iter().filter(|pod| {
            !pods::is_terminating(pod)
                && !disrupted.contains_key(&pod.name_any())
                && pods::is_ready(pod)
        });
        let healthy = i32::try_from(healthy.count()).unwrap_or(i32::MAX);
        let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
        let status = &mut self.status;
        status.current_healthy = Some(healthy);
        status.desired_healthy = Some(desired);
        status.expected_pods = Some(expected);
        status.disruptions_allowed = Some(allowed);
        status.observed_generation = budget.metadata.generation;
        status.disrupted_pods = Some(disrupted).filter(|pods| !pods.is_empty());
        let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
        self.set_condition(budget, allowed > 0, reason, "", now);
    }

    /// The evicted pods whose end has not begun yet.
    fn disrupted(
        &mut self,
        budget: &PodDisruptionBudget,
        pods: &[Arc<Pod>],
        now: Timestamp,
    ) -> BTreeMap<String, Time> {
        let noted = self.status.disrupted_pods.take().unwrap_or_default();
        let mut disrupted = BTreeMap::new();
        for pod in pods.iter().filter(|pod| !pods::is_terminating(pod)) {
            let Some(since) = noted.get(&pod.name_any()) else { continue };
            let left = DELETION_TIMEOUT - now.duration_since(since.0);
            if left.is_negative() {
                let message = format!(
                    "Pod was expected by PDB {}/{} to be deleted but it wasn't",
                    budget.namespace().unwrap_or_default(),
                    budget.name_any()
                );
                self.tell(true, "NotDeleted", message);
                continue;
            }
            // A moment later, so that the time is over then.
            let wait = left.unsigned_abs() + Duration::from_millis(1);
            self.recheck = Some(self.recheck.map_or(wait, |other| other.min(wait)));
            disrupted.insert(pod.name_any(), since.clone());
        }
        disrupted
    }

    fn set_condition(
        &mut self,
        budget: &PodDisruptionBudget,
        allowed: bool,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        const KIND: &str = "DisruptionAllowed";
        let status = if allowed { "True" } else { "False" };
        let conditions = self.status.conditions.get_or_insert_default();
        let known = conditions.iter().find(|c| c.type_ == KIND && c.status == status);
        let since = known.map_or(Time(now), |c| c.last_transition_time.clone());
        conditions.retain(|c| c.type_ != KIND);
        conditions.push(Condition {
            type_: KIND.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: since,
            observed_generation: budget.metadata.generation,
        });
    }
}

#[cfg(test)]
mod tests;
