//! What to do about a Job. Pure: the Job, the pods of its namespace and a clock in, decisions out.
//!
//! [`plan`] decides which pods to create or delete and whether the Job has come to its end.
//! [`status`](super::status) then says what the counters become.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api::selector::LabelSelector;
use api::{owner, pod as pods};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::backoff::{self, Failures};
use super::facts::{self, completions, index, is_failed, is_indexed, spec};
use super::indexes::Indexes;
use super::policy::{self, Failure};
use super::remove::surplus;
use super::template::Wanted;
use crate::workload::claim;

/// No more creations or deletions than this are decided at once, as in Kubernetes.
const BURST: usize = 500;

/// How the pods have to change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    /// Not at all, or not yet.
    Keep,
    /// These more.
    Create(Vec<Wanted>),
    /// These are too many: they go without being counted.
    Remove(Vec<Arc<Pod>>),
    /// The Job has come to its end: these are stopped and counted.
    End(Vec<Arc<Pod>>),
}

/// How a Job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// Complete, or failed.
    pub(super) success: bool,
    /// Empty, or a word for programs.
    pub(super) reason: String,
    /// Empty, or words for people.
    pub(super) message: String,
}

impl End {
    fn failure(reason: &str, message: &str) -> Self {
        Self { success: false, reason: reason.to_owned(), message: message.to_owned() }
    }

    /// The condition that announces it while pods are still ending.
    pub(super) fn announcement(&self) -> &'static str {
        if self.success { "SuccessCriteriaMet" } else { "FailureTarget" }
    }

    /// The condition in the end.
    pub(super) fn condition(&self) -> &'static str {
        if self.success { "Complete" } else { "Failed" }
    }
}

/// What is known besides the objects.
pub(super) struct Memory {
    /// Whether all creations and deletions asked for earlier have been seen.
    pub(super) settled: bool,
    /// Pods whose finalizer was removed although the cache still shows it.
    pub(super) counted: HashSet<String>,
    /// The failures so far.
    pub(super) failures: Failures,
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
    /// How the Job ends, if it does.
    pub(super) end: Option<End>,
    /// When to look again without a change.
    pub(super) recheck: Option<Duration>,
    /// The failures, with those that are new.
    pub(super) failures: Failures,
    /// Own pods, by index.
    pub(super) pods: Vec<Arc<Pod>>,
    pub(super) active: Vec<Arc<Pod>>,
    /// Pods that have not ended and are being deleted.
    pub(super) terminating: usize,
    pub(super) succeeded: i32,
    pub(super) succeeded_indexes: Indexes,
    /// None without a limit per index.
    pub(super) failed_indexes: Option<Indexes>,
    /// The latest failed pod of an index that waits for its successor, which has to know the count.
    pub(super) waiting: BTreeMap<i32, Arc<Pod>>,
    /// Pods that are counted although they have the finalizer in the cache.
    pub(super) counted: HashSet<String>,
    /// Whether creations and deletions may be decided and an end declared.
    pub(super) settled: bool,
}

/// Whether the Job's selector matches the pod.
pub(super) fn selects(job: &Job, pod: &Pod) -> bool {
    selector(job).matches(pod.labels())
}

fn selector(job: &Job) -> LabelSelector {
    let selector = spec(job).and_then(|s| s.selector.as_ref());
    selector.map_or_else(LabelSelector::nothing, claim::selector)
}

/// Decides. `namespace_pods` are all pods of the Job's namespace.
pub(super) fn plan(job: &Job, namespace_pods: &[Arc<Pod>], memory: Memory, now: Timestamp) -> Plan {
    let mut plan = claim(job, namespace_pods);
    plan.counted = memory.counted;
    plan.settled = memory.settled;
    plan.pods.sort_by_key(|pod| index(job, pod));
    plan.active = plan.pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    let ending = |pod: &&Arc<Pod>| pods::is_terminating(pod) && !pods::is_finished(pod);
    plan.terminating = plan.pods.iter().filter(ending).count();

    let status = job.status.as_ref();
    let uncounted = status.and_then(|s| s.uncounted_terminated_pods.as_ref());
    let uids = |list: Option<&Vec<String>>| -> HashSet<String> {
        list.into_iter().flatten().cloned().collect()
    };
    let uncounted_successes = uids(uncounted.and_then(|u| u.succeeded.as_ref()));
    let uncounted_failures = uids(uncounted.and_then(|u| u.failed.as_ref()));
    let succeeded =
        plan.uncounted(job, &uncounted_successes, |pod| pods::phase(pod) == "Succeeded");
    let failed = plan.uncounted(job, &uncounted_failures, |pod| is_failed(job, pod));
    let forgiven = failed.iter().filter(|pod| policy::judge(job, pod) == Failure::Ignored).count();
    let failures = status.and_then(|s| s.failed).unwrap_or(0)
        + number(failed.len() - forgiven + uncounted_failures.len());
    plan.succeeded = status.and_then(|s| s.succeeded).unwrap_or(0)
        + number(succeeded.len() + uncounted_successes.len());
    plan.failures = memory.failures.after(&succeeded, &failed);
    plan.count_indexes(job);

    plan.end = plan.end(job, failures, now);
    if plan.end.is_some() {
        // Pods that have not been seen yet would be left running.
        if plan.settled {
            plan.scale = Scale::End(plan.active.clone());
        }
    } else {
        plan.recheck = until_deadline(job, now);
        if plan.settled && job.metadata.deletion_timestamp.is_none() {
            plan.scale = plan.scale(job, now);
        }
    }
    plan
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Finds out whose the pods are. Adopted ones get the finalizer, so they are tracked from now on.
fn claim(job: &Job, namespace_pods: &[Arc<Pod>]) -> Plan {
    let mut claims = claim::claims(job, &selector(job), namespace_pods.iter().cloned());
    for pod in &mut claims.owned {
        if owner::controller_of(&pod.metadata).is_none() && !facts::has_finalizer(pod) {
            Arc::make_mut(pod).finalizers_mut().push(facts::FINALIZER.to_owned());
        }
    }
    Plan {
        pods: claims.owned,
        adopt: claims.adopt,
        release: claims.release,
        scale: Scale::Keep,
        end: None,
        recheck: None,
        failures: Failures::default(),
        active: Vec::new(),
        terminating: 0,
        succeeded: 0,
        succeeded_indexes: Indexes::default(),
        failed_indexes: None,
        waiting: BTreeMap::new(),
        counted: HashSet::new(),
        settled: false,
    }
}

impl Plan {
    /// Whether the pod still has to be counted.
    pub(super) fn is_tracked(&self, pod: &Pod) -> bool {
        facts::has_finalizer(pod)
            && !self.counted.contains(pod.metadata.uid.as_deref().unwrap_or_default())
    }

    /// Valid pods of a kind that are in no counter and in no list.
    fn uncounted(
        &self,
        job: &Job,
        listed: &HashSet<String>,
        kind: impl Fn(&Pod) -> bool,
    ) -> Vec<Arc<Pod>> {
        let is_new = |pod: &&Arc<Pod>| {
            self.is_tracked(pod)
                && !listed.contains(pod.metadata.uid.as_deref().unwrap_or_default())
                && facts::is_valid(job, pod)
                && kind(pod)
        };
        self.pods.iter().filter(is_new).cloned().collect()
    }

    fn count_indexes(&mut self, job: &Job) {
        if !is_indexed(job) {
            return;
        }
        let all = completions(job).unwrap_or(0);
        let status = job.status.as_ref();
        let parse = |text: Option<&String>| Indexes::parse(text.map_or("", String::as_str), all);
        let new = |kind: &dyn Fn(&Pod) -> bool| -> BTreeSet<i32> {
            let tracked = self.pods.iter().filter(|pod| facts::has_finalizer(pod) && kind(pod));
            tracked.filter_map(|pod| index(job, pod)).collect()
        };
        let before = parse(status.and_then(|s| s.completed_indexes.as_ref()));
        let succeeded = before.with(&new(&|pod| pods::phase(pod) == "Succeeded"));
        self.succeeded = succeeded.total();
        if let Some(limit) = facts::backoff_limit_per_index(job) {
            let before = parse(status.and_then(|s| s.failed_indexes.as_ref()));
            let failed = before.with(&new(&|pod| has_failed_index(job, pod, limit)));
            self.waiting = self.waiting(job, &succeeded.union(&failed));
            self.failed_indexes = Some(failed);
        }
        self.succeeded_indexes = succeeded;
    }

    /// The latest failed pod of each index that is to be tried again.
    fn waiting(&self, job: &Job, over: &Indexes) -> BTreeMap<i32, Arc<Pod>> {
        let active: BTreeSet<i32> = self.active.iter().filter_map(|p| index(job, p)).collect();
        let mut waiting: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
        let rank = |pod: &Pod| (failures_of_index(pod), backoff::ended(pod));
        for pod in self.pods.iter().filter(|pod| self.is_tracked(pod) && is_failed(job, pod)) {
            let Some(index) = index(job, pod) else { continue };
            if over.contains(index) || active.contains(&index) {
                continue;
            }
            if waiting.get(&index).is_none_or(|other| rank(other) <= rank(pod)) {
                waiting.insert(index, pod.clone());
            }
        }
        waiting
    }

    /// How the Job ends, if it does: by what was announced, by policy, by its limits, by success.
    fn end(&self, job: &Job, failures: i32, now: Timestamp) -> Option<End> {
        for success in [true, false] {
            let mut end = End { success, reason: String::new(), message: String::new() };
            if let Some(announced) = facts::true_condition(job, end.announcement()) {
                end.reason = announced.reason.clone().unwrap_or_default();
                end.message = announced.message.clone().unwrap_or_default();
                return Some(end);
            }
        }
        if let Some(why) = policy::job_failure(job, self.pods.iter().map(|pod| &**pod)) {
            return Some(End::failure("PodFailurePolicy", &why));
        }
        if failures > facts::backoff_limit(job) || self.restarted_too_often(job) {
            let message = "Job has reached the specified backoff limit";
            return Some(End::failure("BackoffLimitExceeded", message));
        }
        if until_deadline(job, now).is_some_and(|left| left.is_zero()) {
            let message = "Job was active longer than specified deadline";
            return Some(End::failure("DeadlineExceeded", message));
        }
        if let Some(failed) = &self.failed_indexes {
            let most = spec(job).and_then(|s| s.max_failed_indexes);
            if most.is_some_and(|most| failed.total() > most) {
                let message = "Job has exceeded the specified maximal number of failed indexes";
                return Some(End::failure("MaxFailedIndexesExceeded", message));
            }
            let over = failed.total() + self.succeeded_indexes.total();
            if failed.total() > 0 && over >= completions(job).unwrap_or(0) {
                return Some(End::failure("FailedIndexes", "Job has failed indexes"));
            }
        }
        let message = policy::success(job, &self.succeeded_indexes).filter(|_| is_indexed(job))?;
        Some(End { success: true, reason: "SuccessPolicy".to_owned(), message })
    }

    /// With `restartPolicy: OnFailure` containers fail without their pod failing.
    fn restarted_too_often(&self, job: &Job) -> bool {
        let pod = spec(job).and_then(|s| s.template.spec.as_ref());
        if pod.and_then(|pod| pod.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let live = self.pods.iter().filter(|p| matches!(pods::phase(p), "Running" | "Pending"));
        let restarts: i32 = live
            .filter_map(|pod| pod.status.as_ref())
            .flat_map(|s| [&s.init_container_statuses, &s.container_statuses])
            .flat_map(|list| list.iter().flatten())
            .map(|container| container.restart_count)
            .sum();
        let limit = facts::backoff_limit(job);
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    fn look_again_after(&mut self, wait: Duration) {
        self.recheck = Some(self.recheck.map_or(wait, |other| other.min(wait)));
    }

    fn scale(&mut self, job: &Job, now: Timestamp) -> Scale {
        if facts::is_suspended(job) {
            let all = self.active.clone();
            return if all.is_empty() { Scale::Keep } else { Scale::Remove(all) };
        }
        let (active, parallelism) = (number(self.active.len()), facts::parallelism(job));
        let wanted = match completions(job) {
            // Once one has succeeded, those that run may go on, and no more are started.
            None if self.succeeded > 0 => active,
            None => parallelism,
            Some(completions) => (completions - self.succeeded).min(parallelism).max(0),
        };
        let excess = usize::try_from(active - wanted).unwrap_or(0);
        let mut surplus = surplus(job, &self.active, excess, now);
        surplus.truncate(BURST);
        if !surplus.is_empty() {
            return Scale::Remove(surplus);
        }
        let ending = if facts::waits_for_the_end(job) { number(self.terminating) } else { 0 };
        let missing = usize::try_from(wanted - ending - active).unwrap_or(0).min(BURST);
        if missing == 0 {
            return Scale::Keep;
        }
        let per_index = self.failed_indexes.is_some();
        let wait = if per_index { Duration::ZERO } else { self.failures.wait(now) };
        if !wait.is_zero() {
            self.look_again_after(wait);
            return Scale::Keep;
        }
        let wanted = self.wanted(job, missing, now);
        if wanted.is_empty() { Scale::Keep } else { Scale::Create(wanted) }
    }

    /// The pods to create: any, or those of the first indexes that have none.
    fn wanted(&mut self, job: &Job, missing: usize, now: Timestamp) -> Vec<Wanted> {
        if !is_indexed(job) {
            return vec![Wanted::default(); missing];
        }
        let waits = facts::waits_for_the_end(job);
        let busy = self.pods.iter().filter(|pod| {
            pods::is_active(pod) || (waits && pods::is_terminating(pod) && !pods::is_finished(pod))
        });
        let busy: BTreeSet<i32> = busy.filter_map(|pod| index(job, pod)).collect();
        let mut taken = self.succeeded_indexes.with(&busy);
        let Some(failed) = &self.failed_indexes else {
            let indexes = taken.missing(missing, completions(job).unwrap_or(0));
            return indexes
                .into_iter()
                .map(|n| Wanted { index: Some(n), failures: None })
                .collect();
        };
        taken = taken.union(failed);
        let (mut wanted, mut shortest) = (Vec::new(), None);
        for n in taken.missing(missing, completions(job).unwrap_or(0)) {
            let before = self.waiting.get(&n);
            let wait = before.map_or(Duration::ZERO, |pod| {
                let failures = u32::try_from(failures_of_index(pod)).unwrap_or(0);
                backoff::wait(failures.saturating_add(1), backoff::ended(pod), now)
            });
            if wait.is_zero() {
                let failures = before.map_or((0, 0), |pod| counted_failures(job, pod));
                wanted.push(Wanted { index: Some(n), failures: Some(failures) });
            } else {
                shortest = Some(shortest.map_or(wait, |other: Duration| other.min(wait)));
            }
        }
        if let Some(wait) = shortest {
            self.look_again_after(wait);
        }
        wanted
    }
}

/// How long the Job may still be active; none without a deadline.
fn until_deadline(job: &Job, now: Timestamp) -> Option<Duration> {
    let allowed = spec(job)?.active_deadline_seconds.filter(|_| !facts::is_suspended(job))?;
    // A Job that starts now has all its time before it.
    let started = job.status.as_ref().and_then(|s| s.start_time.as_ref()).map_or(now, |t| t.0);
    let left = SignedDuration::from_secs(allowed) - now.duration_since(started);
    Some(left.max(SignedDuration::ZERO).unsigned_abs())
}

fn has_failed_index(job: &Job, pod: &Pod, limit: i32) -> bool {
    is_failed(job, pod)
        && match policy::judge(job, pod) {
            Failure::FailsIndex => true,
            Failure::Ignored => false,
            Failure::Counts | Failure::FailsJob(_) => facts::failures(pod) >= limit,
        }
}

fn failures_of_index(pod: &Pod) -> i32 {
    facts::failures(pod).saturating_add(facts::ignored_failures(pod))
}

/// The failures of the index, counted and ignored, with that of this pod.
fn counted_failures(job: &Job, pod: &Pod) -> (i32, i32) {
    let (counted, ignored) = (facts::failures(pod), facts::ignored_failures(pod));
    if policy::judge(job, pod) == Failure::Ignored {
        (counted, ignored + 1)
    } else {
        (counted + 1, ignored)
    }
}

#[cfg(test)]
pub(super) mod tests;
