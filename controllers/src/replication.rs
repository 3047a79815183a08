//! ReplicationController: keeps as many pods as asked for.
//!
//! `plan` decides from the controller, the pods of its namespace and a clock; this file carries it
//! out. Three things keep a cache that is a moment behind from doing harm:
//! - [`expectations`]: after asking for creations or deletions, no further ones are decided before
//!   the watch has shown the first;
//! - slow start: pods are created in batches of 1, 2, 4, …, and the first failure ends the run, so
//!   that a quota or a bad template costs one request and not five hundred;
//! - the API server is asked for the controller itself before an orphan is adopted, because the
//!   cache may not know yet that it is being deleted.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/>.

mod expectations;
mod plan;
mod rank;
mod template;

use std::sync::Arc;
use std::time::Duration;

use api::{owner, pod as pods};
use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ReplicationController, ReplicationControllerStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::json;

use self::expectations::Expectations;
use self::plan::{Failure, Plan, Scale};
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "replication-controller";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Replication {
    client: Client,
    controllers: Cache<ReplicationController>,
    pods: Cache<Pod>,
    expectations: Arc<Expectations>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl Replication {
    /// Hooks into the informers; the queue is to be served with [`Replication::reconcile`].
    pub(crate) fn new(
        client: Client,
        controllers: &mut Informer<ReplicationController>,
        pods: &mut Informer<Pod>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            controllers: controllers.cache(),
            pods: pods.cache(),
            expectations: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, expectations) = (this.queue.clone(), this.expectations.clone());
        controllers.on_change(move |before, now| {
            if let Some(object) = now.or(before) {
                let key = Key::of(&**object);
                if now.is_none() {
                    expectations.forget(&key);
                }
                queue.add(key);
            }
        });
        let watching = this.clone();
        pods.on_change(move |before, now| watching.pod_changed(before, now));
        this
    }

    /// The queue of ReplicationControllers to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    fn pod_changed(&self, before: Option<&Arc<Pod>>, now: Option<&Arc<Pod>>) {
        let owner = |pod: &Arc<Pod>| {
            owner::controller_of(&pod.metadata)
                .filter(|owner| owner.kind == "ReplicationController" && owner.api_version == "v1")
                .map(|owner| Key::new(pod.namespace().unwrap_or_default(), owner.name.clone()))
        };
        let (owned_before, owned_now) = (before.and_then(owner), now.and_then(owner));
        if before.is_none()
            && let Some(key) = &owned_now
        {
            self.expectations.created(key);
        }
        // Going counts as gone: the replacement need not wait for the grace period.
        if let (Some(key), Some(pod)) =
            (owned_now.as_ref().or(owned_before.as_ref()), now.or(before))
            && (now.is_none() || pods::is_terminating(pod))
        {
            self.expectations.deleted(key, &pod.uid().unwrap_or_default());
        }
        if owned_before != owned_now
            && let Some(key) = owned_before
        {
            self.queue.add(key);
        }
        match (owned_now, now) {
            (Some(key), _) => self.queue.add(key),
            // An orphan: someone may want to adopt it.
            (None, Some(pod)) if owner::controller_of(&pod.metadata).is_none() => {
                let changed = before.is_none_or(|before| {
                    before.metadata.labels != pod.metadata.labels
                        || before.metadata.owner_references != pod.metadata.owner_references
                });
                if changed {
                    self.wake_matching(pod);
                }
            }
            _ => {}
        }
    }

    fn wake_matching(&self, pod: &Pod) {
        for controller in self.controllers.in_namespace(&pod.namespace().unwrap_or_default()) {
            if plan::selects(&controller, pod) {
                self.queue.add(Key::of(&*controller));
            }
        }
    }

    /// Brings one ReplicationController closer to what it asks for.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(controller) = self.controllers.get(&key) else { return Ok(Next::OnChange) };
        let pods = self.pods.in_namespace(&key.namespace);
        let may_scale = self.expectations.satisfied(&key);
        let now = Timestamp::now();
        let plan = plan::plan(&controller, &pods, may_scale, now);
        self.claim(&controller, &plan).await?;
        let failure = self.scale(&key, &controller, &plan.scale).await;
        let status = plan.status(&controller, failure.as_ref().map(|(f, _)| f), now);
        self.write_status(&controller, status).await?;
        match failure {
            Some((_, error)) => Err(error),
            None => Ok(plan.recheck.map_or(Next::OnChange, Next::After)),
        }
    }

    async fn claim(
        &self,
        controller: &ReplicationController,
        plan: &Plan,
    ) -> Result<(), ReconcileError> {
        let namespace = controller.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let uid = controller.uid().unwrap_or_default();
        if !plan.adopt.is_empty() {
            let fresh: Api<ReplicationController> =
                Api::namespaced(self.client.clone(), &namespace);
            let name = controller.name_any();
            let live = request("get", Key::of(controller), fresh.get_opt(&name)).await?;
            let current = live.is_some_and(|live| {
                live.uid().as_ref() == Some(&uid) && live.metadata.deletion_timestamp.is_none()
            });
            if !current {
                return Ok(());
            }
        }
        for pod in &plan.adopt {
            let reference = owner::controller_reference(
                "v1",
                "ReplicationController",
                &controller.name_any(),
                &uid,
            );
            let patch = json!({"metadata": {"uid": pod.uid(), "ownerReferences": [reference]}});
            self.patch(&api, pod, &patch).await?;
        }
        for pod in &plan.release {
            let patch = json!({"metadata": {"uid": pod.uid(),
                "ownerReferences": [{"$patch": "delete", "uid": uid}]}});
            self.patch(&api, pod, &patch).await?;
        }
        Ok(())
    }

    async fn patch(
        &self,
        api: &Api<Pod>,
        pod: &Arc<Pod>,
        patch: &serde_json::Value,
    ) -> Result<(), ReconcileError> {
        let (name, params) = (pod.name_any(), PatchParams::default());
        let patch = Patch::Strategic(patch);
        unless_gone(request("patch", Key::of(&**pod), api.patch(&name, &params, &patch)).await)
            .map(|_| ())
    }

    async fn scale(
        &self,
        key: &Key,
        controller: &ReplicationController,
        scale: &Scale,
    ) -> Option<(Failure, ReconcileError)> {
        match scale {
            Scale::Keep => None,
            Scale::Create(count) => self
                .create(key, controller, *count)
                .await
                .map(|error| (Failure::create(error.message()), error)),
            Scale::Delete(victims) => self
                .delete(key, controller, victims)
                .await
                .map(|error| (Failure::delete(error.message()), error)),
        }
    }

    /// Slow start: 1, 2, 4, … pods at a time. Returns the first failure.
    async fn create(
        &self,
        key: &Key,
        controller: &ReplicationController,
        count: usize,
    ) -> Option<ReconcileError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let pod = template::pod(controller);
        self.expectations.expect_creations(key, count);
        let (mut left, mut batch) = (count, 1);
        while left > 0 {
            let size = batch.min(left);
            let results =
                join_all((0..size).map(|_| self.create_one(&api, controller, &pod))).await;
            left -= size;
            batch *= 2;
            let mut failures: Vec<ReconcileError> =
                results.into_iter().filter_map(Result::err).collect();
            if !failures.is_empty() {
                // What failed and what is not even tried will not be seen.
                for _ in 0..failures.len() + left {
                    self.expectations.created(key);
                }
                let failure = failures.swap_remove(0);
                // Any creation fails there, now and until this controller is deleted as well.
                return (!failure.has_cause("NamespaceTerminating")).then_some(failure);
            }
        }
        None
    }

    async fn create_one(
        &self,
        api: &Api<Pod>,
        controller: &ReplicationController,
        pod: &Pod,
    ) -> Result<(), ReconcileError> {
        let subject = format!("pod of {}", Key::of(controller));
        match request("create", subject, api.create(&PostParams::default(), pod)).await {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name_any());
                self.recorder.normal(Subject::of(controller), "SuccessfulCreate", message);
                Ok(())
            }
            // The namespace is going, and this controller with it: nothing to complain about.
            Err(error) if error.has_cause("NamespaceTerminating") => Err(error),
            Err(error) => {
                let message = format!("Error creating: {}", error.message());
                self.recorder.warning(Subject::of(controller), "FailedCreate", message);
                Err(error)
            }
        }
    }

    async fn delete(
        &self,
        key: &Key,
        controller: &ReplicationController,
        victims: &[Arc<Pod>],
    ) -> Option<ReconcileError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let uids = victims.iter().filter_map(|pod| pod.uid()).collect();
        self.expectations.expect_deletions(key, uids);
        let results = join_all(victims.iter().map(|pod| async {
            let name = pod.name_any();
            let params = DeleteParams::default()
                .preconditions(Preconditions { uid: pod.uid(), resource_version: None });
            let deleted = request("delete", Key::of(&**pod), api.delete(&name, &params)).await;
            match deleted {
                Ok(_) => {
                    let message = format!("Deleted pod: {name}");
                    self.recorder.normal(Subject::of(controller), "SuccessfulDelete", message);
                    Ok(())
                }
                Err(error) => {
                    self.expectations.deleted(key, &pod.uid().unwrap_or_default());
                    if error.code() == Some(404) {
                        return Ok(());
                    }
                    let message = format!("Error deleting: {}", error.message());
                    self.recorder.warning(Subject::of(controller), "FailedDelete", message);
                    Err(error)
                }
            }
        }));
        results.await.into_iter().find_map(Result::err)
    }

    async fn write_status(
        &self,
        controller: &ReplicationController,
        status: ReplicationControllerStatus,
    ) -> Result<(), ReconcileError> {
        if controller.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let namespace = controller.namespace().unwrap_or_default();
        let api: Api<ReplicationController> = Api::namespaced(self.client.clone(), &namespace);
        let mut updated = controller.clone();
        updated.status = Some(status);
        let name = controller.name_any();
        // With the resourceVersion read from the cache: a conflict means it was behind, and the
        // watch brings the key back anyway.
        let params = PostParams::default();
        let replaced = api.replace_status(&name, &params, &updated);
        unless_gone(request("update status of", Key::of(controller), replaced).await).map(|_| ())
    }
}

/// How long until a pod that is ready counts as available, at the least: rechecks are not done more
/// often than this.
const SHORTEST_RECHECK: Duration = Duration::from_millis(100);
