//! What to do about a CronJob. Pure: the CronJob, its Jobs and a clock in, decisions out.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::due::{Clock, ClockError};
use super::template;

/// Something to tell about the CronJob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// A Job to make.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Start {
    /// When it was due.
    pub(super) due: Timestamp,
    /// Those that make room for it.
    pub(super) replaced: Vec<ObjectReference>,
}

/// The decisions.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The status, before anything is started.
    pub(super) status: CronJobStatus,
    pub(super) start: Option<Start>,
    /// Finished Jobs beyond the history limits.
    pub(super) outdated: Vec<Arc<Job>>,
    pub(super) events: Vec<Event>,
    /// How long until the CronJob is due again.
    pub(super) wait: Option<Duration>,
}

impl Plan {
    fn tell(&mut self, warning: bool, reason: &'static str, message: String) {
        self.events.push(Event { warning, reason, message });
    }
}

/// The Jobs of the status that have not finished.
pub(super) fn active(cron_job: &CronJob) -> &[ObjectReference] {
    let active = cron_job.status.as_ref().and_then(|status| status.active.as_deref());
    active.unwrap_or_default()
}

/// Notes a Job that was made.
pub(super) fn started(status: &mut CronJobStatus, job: ObjectReference, due: Timestamp) {
    let active = status.active.get_or_insert_default();
    if active.iter().all(|other| other.uid != job.uid) {
        active.push(job);
    }
    status.last_schedule_time = Some(Time(due));
}

/// Decides. `jobs` are those that the CronJob controls, `missing` the uids of active ones that do
/// not exist any more.
pub(super) fn plan(
    cron_job: &CronJob,
    jobs: &[Arc<Job>],
    missing: &HashSet<String>,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan { status: cron_job.status.clone().unwrap_or_default(), ..Plan::default() };
    look_at_jobs(&mut plan, jobs, missing);
    plan.outdated = outdated(cron_job, jobs);
    if cron_job.metadata.deletion_timestamp.is_none() {
        schedule(&mut plan, cron_job, now);
    }
    plan
}

/// Takes finished and missing Jobs off the list of active ones.
fn look_at_jobs(plan: &mut Plan, jobs: &[Arc<Job>], missing: &HashSet<String>) {
    let mut active = plan.status.active.take().unwrap_or_default();
    let mut last = plan.status.last_successful_time.take();
    for job in jobs {
        let (name, listed) = (job.name_any(), active.iter().position(|a| a.uid == job.uid()));
        match (listed, end(job)) {
            (None, None) => {
                let message =
                    format!("Saw a job that the controller did not create or forgot: {name}");
                plan.tell(true, "UnexpectedJob", message);
            }
            (Some(at), Some(end)) => {
                active.remove(at);
                let message = format!("Saw completed job: {name}, status: {end}");
                plan.tell(false, "SawCompletedJob", message);
            }
            _ => {}
        }
        let completed = job.status.as_ref().and_then(|status| status.completion_time.clone());
        if end(job) == Some("Complete")
            && completed.as_ref().map(|t| t.0) > last.as_ref().map(|t| t.0)
        {
            last = completed;
        }
    }
    active.retain(|job| {
        let gone = job.uid.as_ref().is_some_and(|uid| missing.contains(uid));
        if gone {
            let name = job.name.clone().unwrap_or_default();
            plan.tell(false, "MissingJob", format!("Active job went missing: {name}"));
        }
        !gone
    });
    plan.status.active = Some(active).filter(|active| !active.is_empty());
    plan.status.last_successful_time = last;
}

/// The condition in which the Job has ended, if it has.
fn end(job: &Job) -> Option<&'static str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    ["Complete", "Failed"]
        .into_iter()
        .find(|kind| conditions.iter().any(|c| c.type_ == *kind && c.status == "True"))
}

/// The oldest finished Jobs, of which only so many are kept.
fn outdated(cron_job: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let spec = &cron_job.spec;
    let limits = [
        ("Complete", spec.successful_jobs_history_limit),
        ("Failed", spec.failed_jobs_history_limit),
    ];
    let mut outdated = Vec::new();
    for (kind, limit) in limits {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let mut ended: Vec<_> = jobs.iter().filter(|job| end(job) == Some(kind)).cloned().collect();
        ended.sort_by_key(|job| {
            let started = job.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
            (started.is_none(), started, job.name_any())
        });
        ended.truncate(ended.len().saturating_sub(limit));
        outdated.extend(ended);
    }
    outdated
}

fn schedule(plan: &mut Plan, cron_job: &CronJob, now: Timestamp) {
    let spec = &cron_job.spec;
    let clock = match Clock::of(cron_job) {
        Err(ClockError::Zone(why)) => return plan.tell(true, "UnknownTimeZone", why),
        _ if spec.suspend == Some(true) => return,
        Err(ClockError::Schedule(why)) => return plan.tell(true, "UnparseableSchedule", why),
        Ok(clock) => clock,
    };
    if spec.schedule.contains("TZ") {
        let message = format!(
            "CRON_TZ or TZ used in schedule {:?} is not officially supported, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
            spec.schedule
        );
        plan.tell(true, "UnsupportedSchedule", message);
    }
    let Some(due) = clock.due(cron_job, now, spec.starting_deadline_seconds) else {
        let message = format!("invalid schedule: {} : it is never due", spec.schedule);
        return plan.tell(true, "InvalidSchedule", message);
    };
    plan.wait = clock.wait(cron_job, now);
    let Some(at) = due.latest else { return };
    if due.many_missed {
        let message = "too many missed start times. Set or decrease \
            .spec.startingDeadlineSeconds or check clock skew";
        plan.tell(true, "TooManyMissedTimes", message.to_owned());
    }
    let late = now.duration_since(at);
    if spec.starting_deadline_seconds.is_some_and(|most| late > SignedDuration::from_secs(most)) {
        let at = at.strftime("%a, %d %b %Y %T %z");
        let message = format!("Missed scheduled time to start a job: {at}");
        return plan.tell(true, "MissSchedule", message);
    }
    let active = plan.status.active.clone().unwrap_or_default();
    let name = template::name(cron_job, at);
    let made = plan.status.last_schedule_time.as_ref().is_some_and(|last| last.0 == at);
    if made || active.iter().any(|job| job.name.as_ref() == Some(&name)) {
        return;
    }
    let replaced = match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency \
                policy is Forbid";
            return plan.tell(false, "JobAlreadyActive", message.to_owned());
        }
        Some("Replace") => active,
        _ => Vec::new(),
    };
    plan.start = Some(Start { due: at, replaced });
}

#[cfg(test)]
mod tests;
