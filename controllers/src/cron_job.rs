//! CronJob: makes a Job whenever its schedule says so.
//!
//! [`plan`] decides from the CronJob, its Jobs and a clock; this file carries it out. A Job is named
//! after the minute it is due, so that one that was made and not written to the status is found
//! instead of made again. Between two due times the key sleeps in the queue.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>.

mod due;
mod plan;
mod template;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api::owner;
use client::Clock;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};

use self::plan::Start;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::written::Written;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "cronjob-controller";

/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct CronJobs {
    client: Client,
    clock: Clock,
    cron_jobs: Cache<CronJob>,
    jobs: Cache<Job>,
    written: Arc<Written>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl CronJobs {
    /// Hooks into the informers; the queue is to be served with [`CronJobs::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        cron_jobs: &mut Informer<CronJob>,
        jobs: &mut Informer<Job>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            clock,
            cron_jobs: cron_jobs.cache(),
            jobs: jobs.cache(),
            written: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, written) = (this.queue.clone(), this.written.clone());
        cron_jobs.on_key(move |key, gone| {
            if gone {
                written.forget(&key);
            }
            queue.add(key);
        });
        let queue = this.queue.clone();
        jobs.on_change(move |before, now| {
            let owners = [before, now].map(|job| job.and_then(|job| owner_of(job)));
            for key in owners.into_iter().flatten() {
                queue.add(key);
            }
        });
        this
    }

    /// The queue of CronJobs to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    fn jobs_in(&self, namespace: &str) -> Api<Job> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes the Job that is due, and keeps the books of those that were made.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(cron_job) = self.cron_jobs.get(&key) else { return Ok(Next::OnChange) };
        if !self.written.is_shown(&*cron_job) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let uid = cron_job.uid().unwrap_or_default();
        let mut jobs = self.jobs.in_namespace(&key.namespace);
        jobs.retain(|job| owner::is_controlled_by(&job.metadata, &uid));
        let missing = self.missing(&cron_job, &jobs).await?;
        let plan = plan::plan(&cron_job, &jobs, &missing, self.clock.now());
        for event in plan.events {
            self.record(&cron_job, event);
        }
        let mut status = plan.status;
        let mut failure = None;
        if let Some(start) = &plan.start {
            match self.start(&key, &cron_job, start, &mut status).await {
                Ok(()) => {}
                Err(error) if error.has_cause("NamespaceTerminating") => {}
                Err(error) => failure = Some(error),
            }
        }
        for job in &plan.outdated {
            if let Err(error) = self.delete(&cron_job, job).await {
                failure = failure.or(Some(error));
            }
        }
        self.write_status(&cron_job, status).await?;
        match failure {
            Some(error) => Err(error),
            None => Ok(plan.wait.map_or(Next::OnChange, Next::After)),
        }
    }

    fn record(&self, cron_job: &CronJob, event: plan::Event) {
        let subject = Subject::of(cron_job);
        if event.warning {
            self.recorder.warning(subject, event.reason, event.message);
        } else {
            self.recorder.normal(subject, event.reason, event.message);
        }
    }

    /// The uids of active Jobs that are gone, as the API server says.
    async fn missing(
        &self,
        cron_job: &CronJob,
        jobs: &[Arc<Job>],
    ) -> Result<HashSet<String>, ReconcileError> {
        let known: HashSet<String> = jobs.iter().filter_map(|job| job.uid()).collect();
        let api = self.jobs_in(&cron_job.namespace().unwrap_or_default());
        let mut missing = HashSet::new();
        for active in plan::active(cron_job) {
            let (Some(name), Some(uid)) = (&active.name, &active.uid) else { continue };
            if !known.contains(uid) && request("get job", name, api.get_opt(name)).await?.is_none()
            {
                missing.insert(uid.clone());
            }
        }
        Ok(missing)
    }

    /// Deletes the Jobs to be replaced, makes the one that is due and notes it in the status.
    async fn start(
        &self,
        key: &Key,
        cron_job: &CronJob,
        start: &Start,
        status: &mut CronJobStatus,
    ) -> Result<(), ReconcileError> {
        let api = self.jobs_in(&key.namespace);
        for active in &start.replaced {
            let name = active.name.clone().unwrap_or_default();
            if let Some(job) = request("get job", &name, api.get_opt(&name)).await? {
                self.delete(cron_job, &job).await?;
            }
            if let Some(list) = &mut status.active {
                list.retain(|other| other.uid != active.uid);
            }
        }
        let job = template::job(cron_job, start.due);
        let name = job.name_any();
        let created = request("create job", &name, api.create(&PostParams::default(), &job)).await;
        let job = match created {
            Ok(created) => {
                let message = format!("Created job {name}");
                self.recorder.normal(Subject::of(cron_job), "SuccessfulCreate", message);
                created
            }
            Err(error) if error.code() == Some(409) => {
                let existing = request("get job", &name, api.get(&name)).await?;
                let uid = cron_job.uid().unwrap_or_default();
                // Somebody else's Job of that name: this time is theirs.
                if !owner::is_controlled_by(&existing.metadata, &uid) {
                    return Ok(());
                }
                existing
            }
            Err(error) => {
                if !error.has_cause("NamespaceTerminating") {
                    let message = format!("Error creating job: {}", error.message());
                    self.recorder.warning(Subject::of(cron_job), "FailedCreate", message);
                }
                return Err(error);
            }
        };
        plan::started(status, reference(&job), start.due);
        Ok(())
    }

    async fn delete(&self, cron_job: &CronJob, job: &Job) -> Result<(), ReconcileError> {
        let (api, name) = (self.jobs_in(&job.namespace().unwrap_or_default()), job.name_any());
        let params = DeleteParams::background()
            .preconditions(Preconditions { uid: job.uid(), resource_version: None });
        let deleted = request("delete job", Key::of(job), api.delete(&name, &params)).await;
        match unless_gone(deleted) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => {
                let message = format!("Deleted job {name}");
                self.recorder.normal(Subject::of(cron_job), "SuccessfulDelete", message);
                Ok(())
            }
            Err(error) => {
                let message = format!("Deleted job: {}", error.message());
                self.recorder.warning(Subject::of(cron_job), "FailedDelete", message);
                Err(error)
            }
        }
    }

    async fn write_status(
        &self,
        cron_job: &CronJob,
        status: CronJobStatus,
    ) -> Result<(), ReconcileError> {
        if cron_job.status.clone().unwrap_or_default() == status {
            return Ok(());
        }
        let api: Api<CronJob> =
            Api::namespaced(self.client.clone(), &cron_job.namespace().unwrap_or_default());
        let mut updated = cron_job.clone();
        updated.status = Some(status);
        let (name, params) = (cron_job.name_any(), PostParams::default());
        let replaced = api.replace_status(&name, &params, &updated);
        let written = request("update status of", Key::of(cron_job), replaced).await;
        if let Some(written) = unless_gone(written)? {
            self.written.wrote(&written);
        }
        Ok(())
    }
}

/// The CronJob that controls the Job, by name.
fn owner_of(job: &Job) -> Option<Key> {
    owner::controller_of(&job.metadata)
        .filter(|owner| owner.kind == "CronJob" && owner.api_version == "batch/v1")
        .map(|owner| Key::new(job.namespace().unwrap_or_default(), owner.name.clone()))
}

/// How the status names a Job.
fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        namespace: job.namespace(),
        name: Some(job.name_any()),
        uid: job.uid(),
        resource_version: job.resource_version(),
        field_path: None,
    }
}
