//! What a Job and one of its pods say, with Kubernetes' defaults where they say nothing.

use api::pod as pods;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// Keeps a pod that has ended until the Job has counted it.
pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label of a pod: its completion index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation of a pod: how many pods of its index have failed before it.
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation of a pod: how many failures of its index were ignored by policy.
pub(super) const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// The `managedBy` of Jobs that this controller runs.
const MANAGER: &str = "kubernetes.io/job-controller";

/// Whether this controller is the one that runs the Job.
pub(super) fn is_ours(job: &Job) -> bool {
    spec(job).and_then(|s| s.managed_by.as_deref()).is_none_or(|manager| manager == MANAGER)
}

pub(super) fn spec(job: &Job) -> Option<&JobSpec> {
    job.spec.as_ref()
}

/// How many pods run at a time.
pub(super) fn parallelism(job: &Job) -> i32 {
    spec(job).and_then(|s| s.parallelism).unwrap_or(1)
}

/// How many have to succeed; none: one success says that the work is done.
pub(super) fn completions(job: &Job) -> Option<i32> {
    spec(job)?.completions
}

/// How many failures are forgiven.
pub(super) fn backoff_limit(job: &Job) -> i32 {
    spec(job).and_then(|s| s.backoff_limit).unwrap_or(6)
}

/// How many failures are forgiven for each index.
pub(super) fn backoff_limit_per_index(job: &Job) -> Option<i32> {
    spec(job)?.backoff_limit_per_index
}

pub(super) fn is_indexed(job: &Job) -> bool {
    spec(job).and_then(|s| s.completion_mode.as_deref()) == Some("Indexed")
}

pub(super) fn is_suspended(job: &Job) -> bool {
    spec(job).and_then(|s| s.suspend) == Some(true)
}

/// Whether a pod is replaced only when it has ended, not when its end has begun.
pub(super) fn waits_for_the_end(job: &Job) -> bool {
    spec(job).is_some_and(|s| {
        s.pod_replacement_policy.as_deref() == Some("Failed") || s.pod_failure_policy.is_some()
    })
}

/// The condition of that type, if it is true.
pub(super) fn true_condition<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == kind && c.status == "True")
}

/// Whether the Job has ended for good.
pub(crate) fn is_finished(job: &Job) -> bool {
    true_condition(job, "Complete").or_else(|| true_condition(job, "Failed")).is_some()
}

/// Whether the pod is not counted yet.
pub(super) fn has_finalizer(pod: &Pod) -> bool {
    pod.finalizers().iter().any(|f| f == FINALIZER)
}

/// The pod's index. None: it has none, or not below `completions`.
pub(super) fn index(job: &Job, pod: &Pod) -> Option<i32> {
    let index = pod.annotations().get(INDEX)?.parse().ok()?;
    (0..completions(job).unwrap_or(0)).contains(&index).then_some(index)
}

/// Whether the pod can count for the Job: those of an indexed Job need an index.
pub(super) fn is_valid(job: &Job, pod: &Pod) -> bool {
    !is_indexed(job) || index(job, pod).is_some()
}

/// Whether the pod has failed, or counts as failed because it is being deleted.
pub(super) fn is_failed(job: &Job, pod: &Pod) -> bool {
    match pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => pods::is_terminating(pod) && !waits_for_the_end(job),
    }
}

/// How many pods of this one's index have failed before it.
pub(super) fn failures(pod: &Pod) -> i32 {
    number(pod, FAILURES)
}

/// The same, of those whose failure was ignored.
pub(super) fn ignored_failures(pod: &Pod) -> i32 {
    number(pod, IGNORED_FAILURES)
}

fn number(pod: &Pod, annotation: &str) -> i32 {
    let number = pod.annotations().get(annotation).and_then(|text| text.parse().ok());
    number.unwrap_or(0).max(0)
}
