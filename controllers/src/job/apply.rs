//! Carries out what [`plan`](super::plan) and [`status`](super::status) decide.

use std::collections::HashSet;
use std::sync::Arc;

use api::pod as pods;
use futures_util::future::join_all;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::facts::{self, FINALIZER};
use super::plan::{Plan, Scale};
use super::status::Scaled;
use super::{Jobs, template};
use crate::events::Subject;
use crate::informer::Key;
use crate::reconcile::{ReconcileError, request, unless_gone};
use crate::workload::claim;
use crate::workload::pods::Change;

impl Jobs {
    /// Adopts and releases pods. False: the Job is gone or going, and the cache does not know yet.
    pub(super) async fn claim(&self, job: &Job, plan: &Plan) -> Result<bool, ReconcileError> {
        let uid = job.uid().unwrap_or_default();
        if !plan.adopt.is_empty() {
            let jobs: Api<Job> =
                Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
            let live = request("get", Key::of(job), jobs.get_opt(&job.name_any())).await?;
            let current = live.is_some_and(|live| {
                live.uid().as_ref() == Some(&uid) && live.metadata.deletion_timestamp.is_none()
            });
            if !current {
                return Ok(false);
            }
        }
        for pod in &plan.adopt {
            // Owner and finalizer at once: an owned pod without it counts as counted.
            let patch = json!({"metadata": {"uid": pod.uid(), "finalizers": [FINALIZER],
                "ownerReferences": [claim::reference(job)]}});
            self.patch(pod, &patch).await?;
        }
        for pod in &plan.release {
            let patch = json!({"metadata": {"uid": pod.uid(),
                "ownerReferences": [{"$patch": "delete", "uid": uid}],
                "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
            self.patch(pod, &patch).await?;
        }
        Ok(true)
    }

    async fn patch(&self, pod: &Pod, patch: &Value) -> Result<(), ReconcileError> {
        let api: Api<Pod> =
            Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let (name, params) = (pod.name_any(), PatchParams::default());
        let patch = Patch::Strategic(patch);
        let patched = request("patch", Key::of(pod), api.patch(&name, &params, &patch)).await;
        match unless_gone(patched) {
            // Another pod has the name by now.
            Err(error) if error.code() == Some(409) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Removes the finalizer: the pod is counted, or nobody will.
    pub(super) async fn remove_finalizer(&self, pod: &Pod) -> Result<(), ReconcileError> {
        let patch = json!({"metadata": {"uid": pod.uid(),
            "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
        self.patch(pod, &patch).await
    }

    /// Removes the finalizers of pods that are listed in the status. Returns the uids of those that
    /// are free, and the first failure.
    pub(super) async fn free(
        &self,
        key: &Key,
        listed: &[Arc<Pod>],
    ) -> (HashSet<String>, Option<ReconcileError>) {
        let uids: HashSet<String> = listed.iter().filter_map(|pod| pod.uid()).collect();
        if !uids.is_empty() {
            self.counted.lock().entry(key.clone()).or_default().extend(uids);
        }
        let results = join_all(listed.iter().map(|pod| self.remove_finalizer(pod))).await;
        let (mut freed, mut failure) = (HashSet::new(), None);
        for (pod, result) in listed.iter().zip(results) {
            let uid = pod.uid().unwrap_or_default();
            match result {
                Ok(()) => drop(freed.insert(uid)),
                Err(error) => {
                    if let Some(counted) = self.counted.lock().get_mut(key) {
                        counted.remove(&uid);
                    }
                    failure = failure.or(Some(error));
                }
            }
        }
        (freed, failure)
    }

    /// Creates or deletes pods. Returns what came of it, and the first failure: what a failed change
    /// has done after all is seen later.
    pub(super) async fn scale(
        &self,
        key: &Key,
        job: &Job,
        scale: &Scale,
    ) -> (Scaled, Option<ReconcileError>) {
        let mut change = Change::default();
        let mut scaled = Scaled::default();
        match scale {
            Scale::Keep => {}
            Scale::Create(wanted) => {
                change.create = wanted.iter().map(|wanted| template::pod(job, wanted)).collect();
                scaled.created = wanted.len();
            }
            Scale::Remove(victims) => {
                // Without the finalizer they do not count as failed.
                let tracked = victims.iter().filter(|pod| facts::has_finalizer(pod));
                let freed = join_all(tracked.map(|pod| self.remove_finalizer(pod))).await;
                if let Some(error) = freed.into_iter().find_map(Result::err) {
                    return (scaled, Some(error));
                }
                change.delete.clone_from(victims);
            }
            Scale::End(victims) => change.delete.clone_from(victims),
        }
        scaled.deleted = change.delete.len();
        scaled.deleted_ready = change.delete.iter().filter(|pod| pods::is_ready(pod)).count();
        match self.pod_control.apply(key, &Subject::of(job), change).await {
            Ok(()) => (scaled, None),
            Err(error) => (Scaled::default(), Some(error.into_source())),
        }
    }

    /// Writes the status if it is new, and returns the Job as it then is.
    pub(super) async fn write_status(
        &self,
        mut job: Job,
        status: JobStatus,
    ) -> Result<Job, ReconcileError> {
        if job.status.as_ref() == Some(&status) {
            return Ok(job);
        }
        let api: Api<Job> =
            Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        let name = job.name_any();
        job.status = Some(status);
        let params = PostParams::default();
        let replaced = api.replace_status(&name, &params, &job);
        let written = request("update status of", Key::of(&job), replaced).await?;
        self.written.wrote(&written);
        Ok(written)
    }
}
