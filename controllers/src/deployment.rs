//! Deployment: from one template of pods to the next, without losing the service on the way.
//!
//! A Deployment has a ReplicaSet per template; a rollout makes one grow and the others shrink.
//! [`plan`] decides on the next step from the Deployment and its ReplicaSets, [`status`] what is
//! reported; this file carries both out. A rollback is nothing special: the template of an old
//! ReplicaSet is put back, and that one grows again.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/>.

mod annotations;
mod limits;
mod plan;
mod proportion;
mod status;

use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use client::Clock;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::json;

use self::plan::{Sets, Step, Update};
use self::status::Outcome;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::workload::claim::{self, selector};
use crate::workload::owned::OwnedPods;
use crate::workload::watch;
use crate::written::OwnedWrites;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "deployment-controller";

/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Deployments {
    client: Client,
    clock: Clock,
    deployments: Cache<Deployment>,
    sets: Cache<ReplicaSet>,
    pods: OwnedPods,
    /// ReplicaSets as they were written: sizes that are added up are never those of before.
    written: Arc<OwnedWrites>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl Deployments {
    /// Hooks into the informers; the queue is to be served with [`Deployments::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        deployments: &mut Informer<Deployment>,
        sets: &mut Informer<ReplicaSet>,
        pods: &mut Informer<Pod>,
        owned: &OwnedPods,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            clock,
            deployments: deployments.cache(),
            sets: sets.cache(),
            pods: owned.clone(),
            written: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, written) = (this.queue.clone(), this.written.clone());
        deployments.on_key(move |key, gone| {
            if gone {
                written.forget(&key);
            }
            queue.add(key);
        });
        let written = this.written.clone();
        sets.on_change(move |before, now| {
            if let (Some(gone), None) = (before, now) {
                written.gone(&**gone);
            }
        });
        let selects = |deployment: &Deployment, set: &ReplicaSet| {
            let spec = deployment.spec.as_ref();
            spec.is_some_and(|spec| selector(&spec.selector).matches(set.labels()))
        };
        watch::wake(sets, this.deployments.clone(), this.queue.clone(), selects);
        let watching = this.clone();
        pods.on_change(move |before, now| watching.pod_changed(before, now));
        this
    }

    /// The queue of Deployments to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Recreate waits for the end of every old pod; other strategies go by the ReplicaSets alone.
    fn pod_changed(&self, before: Option<&Arc<Pod>>, now: Option<&Arc<Pod>>) {
        let Some(pod) = before.filter(|_| now.is_none_or(|pod| pods::is_finished(pod))) else {
            return;
        };
        let Some(set) = watch::owner_of(&self.sets, &**pod).and_then(|key| self.sets.get(&key))
        else {
            return;
        };
        let Some(key) = watch::owner_of(&self.deployments, &*set) else { return };
        if self.deployments.get(&key).is_some_and(|deployment| plan::is_recreate(&deployment)) {
            self.queue.add(key);
        }
    }

    /// Brings one Deployment a step further.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(deployment) = self.deployments.get(&key) else { return Ok(Next::OnChange) };
        let Some(spec) = &deployment.spec else { return Ok(Next::OnChange) };
        self.written.ask::<ReplicaSet>(&self.client, &key).await?;
        let all = self.sets.in_namespace(&key.namespace);
        if !self.written.is_shown(&key, &all) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let claims = claim::claims(&*deployment, &selector(&spec.selector), all);
        claim::settle(&self.client, &*deployment, &claims).await?;
        let sets = Sets::of(&deployment, claims.owned);
        let old_pods_run =
            plan::is_recreate(&deployment) && plan::old_pods_run(&sets, |uid| self.pods.of(uid));
        let step = plan::plan(&deployment, &sets, old_pods_run);
        let (outcome, failed) = self.apply(&key, &deployment, step).await;
        let now = self.clock.now();
        let status = status::status(&deployment, &sets, &outcome, now);
        let recheck = status::recheck(&deployment, &status, now);
        self.write_status(&deployment, plan::revision_note(&sets, &outcome), status).await?;
        failed.map_or(Ok(()), Err)?;
        Ok(recheck.map_or(Next::OnChange, Next::After))
    }

    async fn apply(
        &self,
        key: &Key,
        deployment: &Deployment,
        step: Step,
    ) -> (Outcome, Option<ReconcileError>) {
        let done = match step {
            Step::Wait => Ok(()),
            Step::Create(set) => return self.create(key, deployment, &set).await,
            Step::Update(updates) => self.update(key, deployment, &updates).await,
            Step::Delete(sets) => self.delete(key, &sets).await,
        };
        (Outcome::Nothing, done.err())
    }

    async fn create(
        &self,
        key: &Key,
        deployment: &Deployment,
        wanted: &ReplicaSet,
    ) -> (Outcome, Option<ReconcileError>) {
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &key.namespace);
        let name = wanted.name_any();
        let params = PostParams::default();
        let created = api.create(&params, wanted);
        let created = request("create", format!("replica set {name}"), created).await;
        self.written.answered(key, &name, &created);
        let error = match created {
            Ok(_) => {
                let size = limits::replicas(wanted);
                if size > 0 {
                    let message = format!("Scaled up replica set {name} from 0 to {size}");
                    self.recorder.normal(Subject::of(deployment), "ScalingReplicaSet", message);
                }
                return (Outcome::Created(name), None);
            }
            Err(error) => error,
        };
        if error.code() == Some(409) {
            return match request("get", &name, api.get_opt(&name)).await {
                // Written by an earlier run that the cache does not show yet.
                Ok(Some(found)) if plan::is_wanted(wanted, &found, deployment) => {
                    self.written.wrote(key, &found);
                    (Outcome::Nothing, None)
                }
                Ok(Some(_)) => (Outcome::Collided, None),
                Ok(None) => (Outcome::Nothing, Some(error)),
                Err(error) => (Outcome::Nothing, Some(error)),
            };
        }
        if error.has_cause("NamespaceTerminating") {
            return (Outcome::Nothing, None);
        }
        let message = format!("Failed to create new replica set \"{name}\": {}", error.message());
        self.recorder.warning(Subject::of(deployment), "ReplicaSetCreateError", message.clone());
        (Outcome::Failed(message), Some(error))
    }

    async fn update(
        &self,
        key: &Key,
        deployment: &Deployment,
        updates: &[Update],
    ) -> Result<(), ReconcileError> {
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &key.namespace);
        for update in updates {
            let (set, name) = (&update.set, update.set.name_any());
            // With the resourceVersion read from the cache, so that nothing is decided twice.
            let mut patch = json!({"metadata": {"resourceVersion": set.resource_version(),
                "annotations": update.annotations}});
            if let Some(replicas) = update.replicas {
                patch["spec"]["replicas"] = replicas.into();
            }
            if let Some(seconds) = update.min_ready_seconds {
                patch["spec"]["minReadySeconds"] = seconds.into();
            }
            let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
            let patched = api.patch(&name, &params, &patch);
            let patched = request("patch", Key::of(&**set), patched).await;
            self.written.answered(key, &name, &patched);
            patched?;
            if let Some(now) = update.replicas {
                let before = limits::replicas(set);
                let way = if now > before { "up" } else { "down" };
                let message = format!("Scaled {way} replica set {name} from {before} to {now}");
                self.recorder.normal(Subject::of(deployment), "ScalingReplicaSet", message);
            }
        }
        Ok(())
    }

    async fn delete(&self, key: &Key, sets: &[Arc<ReplicaSet>]) -> Result<(), ReconcileError> {
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &key.namespace);
        for set in sets {
            // Unchanged since it was seen without pods.
            let params = DeleteParams::default().preconditions(Preconditions {
                uid: set.uid(),
                resource_version: set.resource_version(),
            });
            let name = set.name_any();
            unless_gone(request("delete", Key::of(&**set), api.delete(&name, &params)).await)?;
        }
        Ok(())
    }

    async fn write_status(
        &self,
        deployment: &Deployment,
        revision: Option<i64>,
        status: DeploymentStatus,
    ) -> Result<(), ReconcileError> {
        let mut updated = deployment.clone();
        updated.status = Some(status);
        if let Some(revision) = revision {
            let note = (annotations::REVISION.to_owned(), revision.to_string());
            updated.metadata.annotations.get_or_insert_default().extend([note]);
        }
        if updated == *deployment {
            return Ok(());
        }
        let namespace = deployment.namespace().unwrap_or_default();
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        let name = deployment.name_any();
        let params = PostParams::default();
        let replaced = api.replace_status(&name, &params, &updated);
        unless_gone(request("update status of", Key::of(deployment), replaced).await).map(|_| ())
    }
}
