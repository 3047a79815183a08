//! What a StatefulSet reports. Pure.

use std::sync::Arc;

use api::pod as pods;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;

use super::identity;
use super::plan::{Health, Revisions, is_running_and_ready};

/// The status to write; `deleted` pods of the current revision have just been deleted for an update.
pub(super) fn status(
    set: &StatefulSet,
    revisions: &Revisions,
    owned: &[Arc<Pod>],
    collisions: Option<i32>,
    deleted: i32,
    now: Timestamp,
) -> StatefulSetStatus {
    let health = Health::of(set, now);
    let count = |counts: &dyn Fn(&Pod) -> bool| {
        let n = owned.iter().filter(|pod| !pods::phase(pod).is_empty() && counts(pod)).count();
        i32::try_from(n).unwrap_or(i32::MAX)
    };
    let (current, update) = (&revisions.current.metadata.name, &revisions.update.metadata.name);
    let of = |pod: &Pod, name: &Option<String>| {
        !pods::is_terminating(pod) && identity::revision(pod) == name.as_deref()
    };
    let (replicas, ready) = (count(&|_| true), count(&is_running_and_ready));
    let updated = count(&|pod| of(pod, update));
    let mut of_current = (count(&|pod| of(pod, current)) - deleted).max(0);
    let mut current = current.clone();
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let rolls = strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
    if rolls && [replicas, ready, updated].iter().all(|n| *n == identity::replicas(set)) {
        // The update is over: what it led to is what there is.
        of_current = updated;
        current.clone_from(update);
    }
    // Zero is left out, as Kubernetes does, where the field is optional.
    let some = |n: i32| Some(n).filter(|n| *n > 0);
    StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas,
        ready_replicas: some(ready),
        available_replicas: Some(count(&|pod| health.is_available(pod))),
        current_replicas: some(of_current),
        updated_replicas: some(updated),
        current_revision: current,
        update_revision: update.clone(),
        collision_count: Some(collisions.unwrap_or(0)),
        conditions: set.status.as_ref().and_then(|status| status.conditions.clone()),
    }
}
