//! What a Job's status becomes. Pure.
//!
//! A pod that has ended is counted exactly once although the count and the pod are two objects: its
//! uid goes to `uncountedTerminatedPods`, then its finalizer is removed, and only then is it added
//! to the counter and its uid forgotten. Whoever crashes in between starts from what is written.
//! So a status is written twice: [`Plan::progress`] is what to write before finalizers are removed,
//! [`Progress::counted`] what to write after.

use std::collections::HashSet;
use std::sync::Arc;

use api::pod as pods;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::{self, completions, is_failed, is_indexed};
use super::plan::{End, Plan};
use super::policy::{self, Failure};

/// No more pods than this are counted at once, so that the status stays small.
const MOST_UNCOUNTED: usize = 500;

/// What the creations and deletions have come to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scaled {
    /// Pods created.
    pub(super) created: usize,
    /// Pods deleted.
    pub(super) deleted: usize,
    /// Those of them that were ready.
    pub(super) deleted_ready: usize,
}

/// The next status, and what to do between the two writes.
#[derive(Debug)]
pub(super) struct Progress {
    /// To be written before finalizers are removed.
    pub(super) status: JobStatus,
    /// Pods whose finalizer is to be removed.
    pub(super) counted: Vec<Arc<Pod>>,
    /// `Suspended` or `Resumed`, if it has just become so: reason and message of an event.
    pub(super) event: Option<(&'static str, &'static str)>,
    /// How the Job ends, once every pod is counted.
    end: Option<End>,
    tracked: HashSet<String>,
}

impl Plan {
    /// The status after the pods were changed, with the pods that have ended listed.
    pub(super) fn progress(&self, job: &Job, scaled: Scaled, now: Timestamp) -> Progress {
        let mut status = job.status.clone().unwrap_or_default();
        let active = number((self.active.len() + scaled.created).saturating_sub(scaled.deleted));
        let ready = self.active.iter().filter(|pod| pods::is_ready(pod)).count();
        status.active = Some(active).filter(|n| *n > 0);
        status.ready = Some(number(ready.saturating_sub(scaled.deleted_ready)));
        status.terminating = Some(number(self.terminating + scaled.deleted));
        if status.start_time.is_none() && !facts::is_suspended(job) {
            status.start_time = Some(Time(now));
        }
        let mut event = None;
        let mut end = self.end.clone();
        if end.is_some() {
            // Not while pods run, or may run without having been seen.
            if !self.settled || scaled.deleted != self.active.len() {
                end = None;
            }
        } else if self.is_complete(job, active) {
            end = Some(End {
                success: true,
                reason: "CompletionsReached".to_owned(),
                message: "Reached expected number of succeeded pods".to_owned(),
            });
        } else if self.settled && job.metadata.deletion_timestamp.is_none() {
            event = self.suspend(job, &mut status, now);
        }
        let (counted, capped) = self.list_ended(job, end.as_ref(), &mut status);
        if let Some(end) = &end
            && facts::true_condition(job, end.announcement()).is_none()
        {
            set(&mut status, condition(end.announcement(), true, &end.reason, &end.message, now));
        }
        let tracked = self.pods.iter().filter(|pod| self.is_tracked(pod));
        let tracked = tracked.filter_map(|pod| pod.metadata.uid.clone()).collect();
        Progress { status, counted, event, end: end.filter(|_| !capped), tracked }
    }

    fn is_complete(&self, job: &Job, active: i32) -> bool {
        active == 0
            && match completions(job) {
                None => self.succeeded > 0,
                Some(completions) => self.succeeded >= completions,
            }
    }

    fn suspend(
        &self,
        job: &Job,
        status: &mut JobStatus,
        now: Timestamp,
    ) -> Option<(&'static str, &'static str)> {
        let was = facts::true_condition(job, "Suspended").is_some();
        let is = facts::is_suspended(job);
        if is == was {
            return None;
        }
        let (reason, message, event) = if is {
            ("JobSuspended", "Job suspended", "Suspended")
        } else {
            // The time while it was suspended does not count against its deadline.
            status.start_time = Some(Time(now));
            ("JobResumed", "Job resumed", "Resumed")
        };
        set(status, condition("Suspended", is, reason, message, now));
        Some((event, message))
    }

    /// Lists the pods that have ended in the status, and returns those whose finalizer may go, and
    /// whether there are more.
    fn list_ended(
        &self,
        job: &Job,
        end: Option<&End>,
        status: &mut JobStatus,
    ) -> (Vec<Arc<Pod>>, bool) {
        let tracked = self.pods.iter().filter(|pod| self.is_tracked(pod));
        let tracked: HashSet<&str> = tracked.filter_map(|p| p.metadata.uid.as_deref()).collect();
        count(status, &tracked);
        let lists = status.uncounted_terminated_pods.get_or_insert_default();
        let mut known: HashSet<String> = lists.failed.iter().flatten().cloned().collect();
        let failed_before = known.clone();
        known.extend(lists.succeeded.iter().flatten().cloned());
        let (mut ended, mut capped) = (Vec::new(), false);
        let mut listed = known.len();
        for pod in self.pods.iter().filter(|pod| self.is_tracked(pod)) {
            let (failed, succeeded) = (is_failed(job, pod), pods::phase(pod) == "Succeeded");
            let may_go = job.metadata.deletion_timestamp.is_some() || end.is_some() || succeeded;
            if !may_go && (!failed || self.is_waiting(job, pod)) {
                continue;
            }
            ended.push(pod.clone());
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            if succeeded && !failed_before.contains(&uid) {
                if is_indexed(job) {
                    // The list of indexes is the count.
                    listed += 1;
                } else if known.insert(uid.clone()) {
                    lists.succeeded.get_or_insert_default().push(uid);
                    listed += 1;
                }
            } else if failed || end.is_some_and(|end| !end.success) {
                let counts = policy::judge(job, pod) != Failure::Ignored;
                if counts && facts::is_valid(job, pod) && known.insert(uid.clone()) {
                    lists.failed.get_or_insert_default().push(uid);
                    listed += 1;
                }
            }
            if listed >= MOST_UNCOUNTED {
                capped = true;
                break;
            }
        }
        if is_indexed(job) {
            let total = self.succeeded_indexes.total();
            status.succeeded = Some(total).filter(|n| *n > 0);
            let text = self.succeeded_indexes.to_string();
            status.completed_indexes = Some(text).filter(|text| !text.is_empty());
            status.failed_indexes = self.failed_indexes.as_ref().map(ToString::to_string);
        }
        (ended, capped)
    }

    /// Whether the pod is kept until its successor knows how often the index has failed.
    fn is_waiting(&self, job: &Job, pod: &Pod) -> bool {
        facts::index(job, pod)
            .and_then(|index| self.waiting.get(&index))
            .is_some_and(|waiting| waiting.metadata.uid == pod.metadata.uid)
    }
}

impl Progress {
    /// The status after the finalizers of `released` pods were removed, and how the Job has ended if
    /// that was all it waited for. `written` is the status as the API server has it.
    pub(super) fn counted(
        &self,
        written: &JobStatus,
        released: &HashSet<String>,
        now: Timestamp,
    ) -> (JobStatus, Option<&End>) {
        let mut status = written.clone();
        let left: HashSet<&str> = self
            .tracked
            .iter()
            .filter(|uid| !released.contains(*uid))
            .map(String::as_str)
            .collect();
        count(&mut status, &left);
        let lists = status.uncounted_terminated_pods.as_ref();
        let waiting = lists.is_some_and(|lists| {
            let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
            some(&lists.succeeded) || some(&lists.failed)
        });
        let ended = self.end.as_ref().filter(|_| !waiting && status.terminating == Some(0));
        if let Some(end) = ended {
            set(&mut status, condition(end.condition(), true, &end.reason, &end.message, now));
            if end.success {
                status.completion_time = Some(Time(now));
            }
        }
        (status, ended)
    }
}

/// Adds the listed pods that are not tracked any more to the counters.
fn count(status: &mut JobStatus, tracked: &HashSet<&str>) {
    let lists = status.uncounted_terminated_pods.get_or_insert_default();
    let UncountedTerminatedPods { succeeded, failed } = lists;
    for (list, counter) in [(succeeded, &mut status.succeeded), (failed, &mut status.failed)] {
        let Some(uids) = list else { continue };
        let before = uids.len();
        uids.retain(|uid| tracked.contains(uid.as_str()));
        let gone = number(before - uids.len());
        if gone > 0 {
            *counter = Some(counter.unwrap_or(0) + gone);
        }
        if uids.is_empty() {
            *list = None;
        }
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn condition(kind: &str, is: bool, reason: &str, message: &str, now: Timestamp) -> JobCondition {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    JobCondition {
        type_: kind.to_owned(),
        status: if is { "True" } else { "False" }.to_owned(),
        reason: some(reason),
        message: some(message),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// Sets a condition. One that never was true need not be said to be false.
fn set(status: &mut JobStatus, condition: JobCondition) {
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|c| c.type_ == condition.type_) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests;
