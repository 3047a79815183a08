//! What to do about a ReplicationController. Pure: objects and a clock in, decisions out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{owner, pod as pods};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Pod, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::rank::sort_for_deletion;

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
    pub(super) fn create(message: String) -> Self {
        Self { reason: "FailedCreate", message }
    }

    pub(super) fn delete(message: String) -> Self {
        Self { reason: "FailedDelete", message }
    }
}

/// The decisions, and what they were made from.
#[derive(Debug)]
pub(super) struct Plan {
    /// Pods without a controller that match the selector.
    pub(super) adopt: Vec<Arc<Pod>>,
    /// Own pods that do not match any more.
    pub(super) release: Vec<Arc<Pod>>,
    /// More or fewer pods.
    pub(super) scale: Scale,
    /// When a ready pod becomes available without anything else happening.
    pub(super) recheck: Option<Duration>,
    /// Own pods that count.
    active: Vec<Arc<Pod>>,
}

/// Whether the controller's selector matches the pod. An empty selector matches nothing.
pub(super) fn selects(controller: &ReplicationController, pod: &Pod) -> bool {
    let Some(selector) = controller.spec.as_ref().and_then(|s| s.selector.as_ref()) else {
        return false;
    };
    !selector.is_empty() && contains(pod.labels(), selector)
}

fn contains(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Decides. `namespace_pods` are all pods of the controller's namespace; `may_scale` is false while
/// earlier creations or deletions have not been seen.
pub(super) fn plan(
    controller: &ReplicationController,
    namespace_pods: &[Arc<Pod>],
    may_scale: bool,
    now: Timestamp,
) -> Plan {
    let uid = controller.uid().unwrap_or_default();
    let deleting = controller.metadata.deletion_timestamp.is_some();
    let (mut adopt, mut release, mut owned) = (Vec::new(), Vec::new(), Vec::new());
    for pod in namespace_pods {
        match owner::controller_of(&pod.metadata) {
            Some(reference) if reference.uid == uid => {
                if selects(controller, pod) {
                    owned.push(pod.clone());
                } else if !deleting {
                    release.push(pod.clone());
                }
            }
            None if !deleting && !pods::is_terminating(pod) && selects(controller, pod) => {
                adopt.push(pod.clone());
                owned.push(pod.clone());
            }
            _ => {}
        }
    }
    let active: Vec<Arc<Pod>> = owned.into_iter().filter(|pod| pods::is_active(pod)).collect();
    let scale = if may_scale && !deleting { scale(controller, &active, now) } else { Scale::Keep };
    let recheck = min_ready(controller)
        .filter(|min_ready| !min_ready.is_zero())
        .and_then(|min_ready| {
            active.iter().filter_map(|p| until_available(p, min_ready, now)).min()
        })
        .map(|wait| wait.max(super::SHORTEST_RECHECK));
    Plan { adopt, release, scale, recheck, active }
}

fn scale(controller: &ReplicationController, active: &[Arc<Pod>], now: Timestamp) -> Scale {
    let wanted = controller.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(0);
    if active.len() < wanted {
        Scale::Create((wanted - active.len()).min(BURST))
    } else if active.len() > wanted {
        let mut victims = active.to_vec();
        sort_for_deletion(&mut victims, active, now);
        victims.truncate((active.len() - wanted).min(BURST));
        Scale::Delete(victims)
    } else {
        Scale::Keep
    }
}

fn min_ready(controller: &ReplicationController) -> Option<Duration> {
    let seconds = controller.spec.as_ref()?.min_ready_seconds.unwrap_or(0);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// None: not ready, or available already.
fn until_available(pod: &Pod, min_ready: Duration, now: Timestamp) -> Option<Duration> {
    let ready = pods::condition(pod, "Ready").filter(|c| c.status == "True")?;
    let since = ready.last_transition_time.as_ref()?.0;
    let elapsed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    min_ready.checked_sub(elapsed).filter(|wait| !wait.is_zero())
}

fn is_available(pod: &Pod, min_ready: Duration, now: Timestamp) -> bool {
    pods::is_ready(pod) && (min_ready.is_zero() || until_available(pod, min_ready, now).is_none())
}

impl Plan {
    /// The status to write, given how scaling went. Keeps the old condition's transition time if
    /// nothing about it changed, so that an unchanged status compares equal.
    pub(super) fn status(
        &self,
        controller: &ReplicationController,
        failure: Option<&Failure>,
        now: Timestamp,
    ) -> ReplicationControllerStatus {
        let template = controller
            .spec
            .as_ref()
            .and_then(|s| s.template.as_ref())
            .and_then(|t| t.metadata.as_ref())
            .and_then(|m| m.labels.clone())
            .unwrap_or_default();
        let min_ready = min_ready(controller).unwrap_or_default();
        let count = |counts: &dyn Fn(&Pod) -> bool| {
            let n = self.active.iter().filter(|pod| counts(pod)).count();
            i32::try_from(n).unwrap_or(i32::MAX)
        };
        // Zero is left out, as Kubernetes does, except for replicas.
        let some = |n: i32| Some(n).filter(|n| *n > 0);
        ReplicationControllerStatus {
            replicas: count(&|_| true),
            fully_labeled_replicas: some(count(&|pod| contains(pod.labels(), &template))),
            ready_replicas: some(count(&pods::is_ready)),
            available_replicas: some(count(&|pod| is_available(pod, min_ready, now))),
            observed_generation: controller.metadata.generation,
            conditions: self.conditions(controller, failure, now),
        }
    }

    fn conditions(
        &self,
        controller: &ReplicationController,
        failure: Option<&Failure>,
        now: Timestamp,
    ) -> Option<Vec<ReplicationControllerCondition>> {
        let old = controller.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        let is_failure = |c: &ReplicationControllerCondition| c.type_ == "ReplicaFailure";
        let mut conditions: Vec<_> = old.iter().filter(|c| !is_failure(c)).cloned().collect();
        let kept = old.iter().find(|c| is_failure(c));
        match failure {
            Some(failure) => conditions.push(ReplicationControllerCondition {
                type_: "ReplicaFailure".to_owned(),
                status: "True".to_owned(),
                reason: Some(failure.reason.to_owned()),
                message: Some(failure.message.clone()),
                last_transition_time: kept
                    .and_then(|c| c.last_transition_time.clone())
                    .or(Some(Time(now))),
            }),
            // Not having tried is no success.
            None if self.scale == Scale::Keep && !self.is_settled(controller) => {
                conditions.extend(kept.cloned());
            }
            None => {}
        }
        Some(conditions).filter(|c| !c.is_empty())
    }

    fn is_settled(&self, controller: &ReplicationController) -> bool {
        let wanted = controller.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        usize::try_from(wanted).unwrap_or(0) == self.active.len()
    }
}

#[cfg(test)]
mod tests;
