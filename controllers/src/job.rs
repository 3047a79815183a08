//! Job: runs pods until enough of them have succeeded.
//!
//! | part | decides or does |
//! |---|---|
//! | [`plan`] | pure: pods to create and delete, and whether the Job has come to its end |
//! | [`status`] | pure: what the counters become |
//! | [`policy`], [`backoff`], [`remove`], [`template`] | pure parts of those two |
//! | [`apply`] | creates and deletes pods, removes finalizers, writes the status |
//!
//! A reconcile claims pods, changes their number, lists the pods that have ended in the status,
//! removes their finalizers and counts them ([`status`] says why in that order). It decides nothing
//! while earlier creations and deletions have not been seen (expectations), and nothing at all on a
//! status older than the one it wrote ([`Written`]).
//!
//! Pods whose Job is gone or finished are freed of the finalizer by a reconcile of their own.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/job/>.

mod apply;
mod backoff;
mod facts;
mod indexes;
mod plan;
mod policy;
mod remove;
mod status;
mod template;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::owner;
use client::Clock;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;

use self::backoff::Failures;
pub(crate) use self::facts::is_finished;
use self::plan::Memory;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError};
use crate::workload::pods::PodControl;
use crate::workload::watch;
use crate::written::Written;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "job-controller";

/// Changes of pods within this time are looked at together, so that a Job whose pods end together
/// writes its status once.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A Job.
    Job(Key),
    /// A pod that no Job counts any more, but which has the finalizer.
    Orphan(Key),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(key) => write!(f, "{key}"),
            Self::Orphan(key) => write!(f, "pod {key}"),
        }
    }
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Jobs {
    client: Client,
    clock: Clock,
    jobs: Cache<Job>,
    pods: Cache<Pod>,
    pod_control: PodControl,
    written: Arc<Written>,
    /// Pods that were counted and still have the finalizer in the cache, by Job.
    counted: Arc<Mutex<HashMap<Key, HashSet<String>>>>,
    failures: Arc<Mutex<HashMap<Key, Failures>>>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Work>>,
}

impl Jobs {
    /// Hooks into the informers; the queue is to be served with [`Jobs::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        jobs: &mut Informer<Job>,
        pods: &mut Informer<Pod>,
        recorder: &Recorder,
    ) -> Self {
        let recorder = recorder.named(NAME);
        let this = Self {
            pod_control: PodControl::new(client.clone(), recorder.clone()),
            client,
            clock,
            jobs: jobs.cache(),
            pods: pods.cache(),
            written: Arc::default(),
            counted: Arc::default(),
            failures: Arc::default(),
            recorder,
            queue: Arc::new(WorkQueue::new()),
        };
        let watching = this.clone();
        jobs.on_change(move |before, now| watching.job_changed(before, now));
        let watching = this.clone();
        pods.on_change(move |before, now| watching.pod_changed(before, now));
        this
    }

    /// The queue of Jobs and pods to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Work>> {
        &self.queue
    }

    fn job_changed(&self, before: Option<&Arc<Job>>, now: Option<&Arc<Job>>) {
        let Some(job) = now.or(before) else { return };
        let key = Key::of(&**job);
        if now.is_none() {
            self.forget(&key);
        }
        if now.is_none_or(|job| is_finished(job)) {
            let uid = job.uid().unwrap_or_default();
            for pod in self.pods.in_namespace(&key.namespace) {
                if owner::is_controlled_by(&pod.metadata, &uid) && facts::has_finalizer(&pod) {
                    self.queue.add(Work::Orphan(Key::of(&*pod)));
                }
            }
        }
        self.queue.add(Work::Job(key));
    }

    fn forget(&self, key: &Key) {
        self.pod_control.expectations().forget(key);
        self.written.forget(key);
        self.counted.lock().remove(key);
        self.failures.lock().remove(key);
    }

    fn pod_changed(&self, before: Option<&Arc<Pod>>, now: Option<&Arc<Pod>>) {
        watch::seen(&self.jobs, self.pod_control.expectations(), before, now);
        let Some(pod) = now.or(before) else { return };
        let tracked = now.is_some() && facts::has_finalizer(pod);
        if !tracked
            && let Some(key) = owner_of(pod)
            && let Some(counted) = self.counted.lock().get_mut(&key)
        {
            counted.remove(pod.metadata.uid.as_deref().unwrap_or_default());
        }
        if tracked && self.is_orphan(pod) {
            self.queue.add(Work::Orphan(Key::of(&**pod)));
        }
        for key in watch::concerned(&self.jobs, before, now, plan::selects) {
            self.queue.add_after(Work::Job(key), GATHER);
        }
    }

    /// Whether no Job will count the pod: it has none, or its Job is gone or finished.
    fn is_orphan(&self, pod: &Pod) -> bool {
        match owner::controller_of(&pod.metadata) {
            None => true,
            Some(owner) => owner_of(pod).is_some_and(|key| {
                let job = self.jobs.get(&key).filter(|job| job.uid().as_ref() == Some(&owner.uid));
                job.is_none_or(|job| facts::is_ours(&job) && is_finished(&job))
            }),
        }
    }

    /// Brings one Job closer to its end.
    pub(crate) async fn reconcile(self, work: Work) -> Result<Next, ReconcileError> {
        match work {
            Work::Job(key) => self.run(key).await,
            Work::Orphan(key) => {
                if let Some(pod) = self.pods.get(&key)
                    && facts::has_finalizer(&pod)
                    && self.is_orphan(&pod)
                {
                    self.remove_finalizer(&pod).await?;
                }
                Ok(Next::OnChange)
            }
        }
    }

    async fn run(&self, key: Key) -> Result<Next, ReconcileError> {
        let Some(job) = self.jobs.get(&key) else { return Ok(Next::OnChange) };
        if !facts::is_ours(&job) || is_finished(&job) {
            self.forget(&key);
            return Ok(Next::OnChange);
        }
        if !self.written.is_shown(&*job) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        // Asked before the pods are read: what is expected is noted after it is in the cache.
        let memory = Memory {
            settled: self.pod_control.expectations().satisfied(&key),
            counted: self.counted.lock().get(&key).cloned().unwrap_or_default(),
            failures: self.failures.lock().get(&key).copied().unwrap_or_default(),
        };
        let pods = self.pods.in_namespace(&key.namespace);
        let plan = plan::plan(&job, &pods, memory, self.clock.now());
        if !self.claim(&job, &plan).await? {
            return Ok(Next::OnChange);
        }
        let (scaled, failure) = self.scale(&key, &job, &plan.scale).await;
        let progress = plan.progress(&job, scaled, self.clock.now());
        let job = self.write_status(Job::clone(&job), progress.status.clone()).await?;
        self.failures.lock().insert(key.clone(), plan.failures);
        if let Some((reason, message)) = progress.event {
            self.recorder.normal(Subject::of(&job), reason, message.to_owned());
        }
        let (freed, stuck) = self.free(&key, &progress.counted).await;
        let written = job.status.clone().unwrap_or_default();
        let (status, end) = progress.counted(&written, &freed, self.clock.now());
        let job = self.write_status(job, status).await?;
        if let Some(end) = end {
            self.tell(&job, end);
        }
        match stuck.or(failure) {
            Some(error) => Err(error),
            None => Ok(plan.recheck.map_or(Next::OnChange, Next::After)),
        }
    }

    fn tell(&self, job: &Job, end: &plan::End) {
        let subject = || Subject::of(job);
        if end.success {
            let succeeded = job.status.as_ref().and_then(|s| s.succeeded).unwrap_or(0);
            if facts::completions(job).is_some_and(|completions| succeeded > completions) {
                let message = "Too many succeeded pods running after completion count reached";
                self.recorder.warning(subject(), "TooManySucceededPods", message.to_owned());
            }
            self.recorder.normal(subject(), "Completed", "Job completed".to_owned());
            return;
        }
        let reason = match end.reason.as_str() {
            "PodFailurePolicy" => "PodFailurePolicy",
            "BackoffLimitExceeded" => "BackoffLimitExceeded",
            "DeadlineExceeded" => "DeadlineExceeded",
            "MaxFailedIndexesExceeded" => "MaxFailedIndexesExceeded",
            "FailedIndexes" => "FailedIndexes",
            _ => "Failed",
        };
        self.recorder.warning(subject(), reason, end.message.clone());
    }
}

/// The Job that controls the pod, by name.
fn owner_of(pod: &Pod) -> Option<Key> {
    owner::controller_of(&pod.metadata)
        .filter(|owner| owner.kind == "Job" && owner.api_version == "batch/v1")
        .map(|owner| Key::new(pod.namespace().unwrap_or_default(), owner.name.clone()))
}
