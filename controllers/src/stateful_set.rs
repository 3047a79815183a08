//! StatefulSet: pods with names, an order and volumes of their own.
//!
//! Pod `<name>-<ordinal>` keeps its name and its claims for ever; pods come up in order, one after
//! the other, and go in the reverse order, unless the set is `Parallel`. [`plan`] decides from the
//! set, its pods, its claims and its two revisions; this file carries it out. Since names are given,
//! what a cache that is behind asks for twice exists already; but the order of things needs to know
//! what was done last, so nothing is decided before the cache shows it ([`OwnedWrites`]).
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/>.

mod claims;
mod identity;
mod plan;
mod status;

use std::sync::Arc;
use std::time::Duration;

use client::Clock;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::json;

use self::claims::ClaimStep;
use self::plan::{Action, Revisions, Why};
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::workload::claim::{self, selector};
use crate::workload::owned::OwnedPods;
use crate::workload::{history, watch};
use crate::written::OwnedWrites;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "statefulset-controller";

/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// The label of its revisions that has their hash.
const HASH: &str = "controller.kubernetes.io/hash";

/// What is watched.
pub(crate) struct Sources<'a> {
    pub(crate) sets: &'a mut Informer<StatefulSet>,
    pub(crate) pods: &'a mut Informer<Pod>,
    pub(crate) owned: &'a OwnedPods,
    pub(crate) claims: &'a mut Informer<PersistentVolumeClaim>,
    pub(crate) revisions: &'a mut Informer<ControllerRevision>,
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct StatefulSets {
    client: Client,
    clock: Clock,
    sets: Cache<StatefulSet>,
    pods: OwnedPods,
    claims: Cache<PersistentVolumeClaim>,
    revisions: Cache<ControllerRevision>,
    /// Pods as they were made and deleted.
    written: Arc<OwnedWrites>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl StatefulSets {
    /// Hooks into the informers; the queue is to be served with [`StatefulSets::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        sources: Sources<'_>,
        recorder: &Recorder,
    ) -> Self {
        let Sources { sets, pods, owned, claims, revisions } = sources;
        let this = Self {
            client,
            clock,
            sets: sets.cache(),
            pods: owned.clone(),
            claims: claims.cache(),
            revisions: revisions.cache(),
            written: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, written) = (this.queue.clone(), this.written.clone());
        sets.on_key(move |key, gone| {
            if gone {
                written.forget(&key);
            }
            queue.add(key);
        });
        let written = this.written.clone();
        pods.on_change(move |before, now| {
            if let (Some(gone), None) = (before, now) {
                written.gone(&**gone);
            }
        });
        let selects = |set: &StatefulSet, pod: &Pod| {
            let spec = set.spec.as_ref();
            identity::ordinal(set, pod).is_some()
                && spec.is_some_and(|spec| selector(&spec.selector).matches(pod.labels()))
        };
        watch::wake(pods, this.sets.clone(), this.queue.clone(), selects);
        watch::wake(revisions, this.sets.clone(), this.queue.clone(), |_, _| false);
        let watching = this.clone();
        claims.on_change(move |before, now| {
            // A pod may be waiting for the end of a claim with the name of its own.
            if let (Some(gone), None) = (before, now) {
                for set in watching.sets.in_namespace(&gone.namespace().unwrap_or_default()) {
                    watching.queue.add(Key::of(&*set));
                }
            }
        });
        this
    }

    /// The queue of StatefulSets to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Brings one StatefulSet a step further.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(set) = self.sets.get(&key) else { return Ok(Next::OnChange) };
        let Some(spec) = &set.spec else { return Ok(Next::OnChange) };
        let selector = selector(&spec.selector);
        let revisions = self.revisions.in_namespace(&key.namespace);
        let revisions = claim::claims(&*set, &selector, revisions);
        claim::settle(&self.client, &*set, &revisions).await?;
        self.written.ask::<Pod>(&self.client, &key).await?;
        let members = self.pods.claimable(&*set);
        if !self.written.is_shown(&key, &members) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let members = members.into_iter().filter(|pod| identity::ordinal(&set, pod).is_some());
        let pods = claim::claims(&*set, &selector, members);
        claim::settle(&self.client, &*set, &pods).await?;

        let known = history::sorted(revisions.owned);
        let source = history::Source {
            owner: &*set,
            template: &spec.template,
            hash_label: HASH,
            collisions: set.status.as_ref().and_then(|status| status.collision_count),
        };
        let (update, collisions) = if set.metadata.deletion_timestamp.is_none() {
            source.apply(&self.client, history::plan(&spec.template, &known)).await?
        } else if let Some(last) = known.last() {
            (last.clone(), source.collisions)
        } else {
            return Ok(Next::OnChange);
        };
        let named = set.status.as_ref().and_then(|status| status.current_revision.as_ref());
        let current = known.iter().find(|revision| revision.metadata.name.as_ref() == named);
        let both = Revisions { current: current.unwrap_or(&update).clone(), update };

        let claims = self.claims.in_namespace(&key.namespace);
        let now = self.clock.now();
        let plan = plan::plan(&set, &both, &pods.owned, &claims, now);
        let mut failed = None;
        for action in &plan.actions {
            failed = self.apply(&set, action).await.err();
            if failed.is_some() {
                break;
            }
        }
        let updated = if failed.is_none() { plan.deleted_for_update } else { 0 };
        let status = status::status(&set, &both, &pods.owned, collisions, updated, now);
        self.write_status(&set, status).await?;
        failed.map_or(Ok(()), Err)?;
        if set.metadata.deletion_timestamp.is_none() {
            self.truncate_history(&set, &known, &both, &pods.owned).await?;
        }
        Ok(plan.recheck.map_or(Next::OnChange, Next::After))
    }

    async fn apply(&self, set: &StatefulSet, action: &Action) -> Result<(), ReconcileError> {
        match action {
            Action::Create { pod, claims } => {
                self.claims(set, &pod.name_any(), claims).await?;
                self.create(set, pod).await
            }
            Action::Delete { pod, why } => self.delete(set, pod, *why).await,
            Action::Repair { pod, claims, labels } => {
                self.claims(set, &pod.name_any(), claims).await?;
                if labels.is_empty() {
                    return Ok(());
                }
                let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace(set));
                let patch = json!({"metadata": {"uid": pod.uid(), "labels": labels}});
                let (name, params) = (pod.name_any(), PatchParams::default());
                let patch = Patch::Merge(patch);
                let patched = api.patch(&name, &params, &patch);
                unless_gone(request("patch", Key::of(&**pod), patched).await).map(|_| ())
            }
        }
    }

    async fn claims(
        &self,
        set: &StatefulSet,
        pod: &str,
        steps: &[ClaimStep],
    ) -> Result<(), ReconcileError> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace(set));
        let (subject, owner) = (Subject::of(set), set.name_any());
        for step in steps {
            match step {
                ClaimStep::Create(wanted) => {
                    let name = wanted.name_any();
                    let params = PostParams::default();
                    let created = api.create(&params, wanted);
                    match request("create", format!("claim {name}"), created).await {
                        Ok(_) => {
                            let message = format!(
                                "create Claim {name} Pod {pod} in StatefulSet {owner} success"
                            );
                            self.recorder.normal(subject.clone(), "SuccessfulCreate", message);
                        }
                        // Written by an earlier run that the cache does not show yet.
                        Err(error) if error.code() == Some(409) => {}
                        Err(error) => {
                            let message = format!(
                                "create Claim {name} for Pod {pod} in StatefulSet {owner} failed error: {}",
                                error.message()
                            );
                            self.recorder.warning(subject, "FailedCreate", message);
                            return Err(error);
                        }
                    }
                }
                ClaimStep::Own { claim, references } => {
                    let metadata = json!({"uid": claim.uid(),
                        "resourceVersion": claim.resource_version(), "ownerReferences": references});
                    let (name, params) = (claim.name_any(), PatchParams::default());
                    let patch = Patch::Merge(json!({"metadata": metadata}));
                    let patched = api.patch(&name, &params, &patch);
                    unless_gone(request("patch", Key::of(&**claim), patched).await)?;
                }
            }
        }
        Ok(())
    }

    async fn create(&self, set: &StatefulSet, pod: &Pod) -> Result<(), ReconcileError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace(set));
        let (name, owner, subject) = (pod.name_any(), set.name_any(), Subject::of(set));
        let params = PostParams::default();
        let created = api.create(&params, pod);
        let created = request("create", Key::of(pod), created).await;
        self.written.answered(&Key::of(set), &name, &created);
        match created {
            Ok(_) => {
                let message = format!("create Pod {name} in StatefulSet {owner} successful");
                self.recorder.normal(subject, "SuccessfulCreate", message);
                Ok(())
            }
            // The cache is behind, or the name is somebody else's: looked at again.
            Err(error) if error.code() == Some(409) => Err(error),
            Err(error) if error.has_cause("NamespaceTerminating") => Ok(()),
            Err(error) => {
                let message = format!(
                    "create Pod {name} in StatefulSet {owner} failed error: {}",
                    error.message()
                );
                self.recorder.warning(subject, "FailedCreate", message);
                Err(error)
            }
        }
    }

    async fn delete(&self, set: &StatefulSet, pod: &Pod, why: Why) -> Result<(), ReconcileError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace(set));
        let (name, owner, subject) = (pod.name_any(), set.name_any(), Subject::of(set));
        let recreating = |state: &str| {
            format!("StatefulSet {}/{owner} is recreating {state} Pod {name}", namespace(set))
        };
        match why {
            Why::Failed => {
                self.recorder.warning(subject.clone(), "RecreatingFailedPod", recreating("failed"));
            }
            Why::Succeeded => {
                let message = recreating("terminated");
                self.recorder.normal(subject.clone(), "RecreatingTerminatedPod", message);
            }
            Why::Unwanted => {}
        }
        let params = DeleteParams::default()
            .preconditions(Preconditions { uid: pod.uid(), resource_version: None });
        match request("delete", Key::of(pod), api.delete(&name, &params)).await {
            Ok(_) => {
                self.written.deleted(&Key::of(set), pod);
                let message = format!("delete Pod {name} in StatefulSet {owner} successful");
                self.recorder.normal(subject, "SuccessfulDelete", message);
                Ok(())
            }
            Err(error) if error.code() == Some(404) => Ok(()),
            Err(error) => {
                self.written.failed(&Key::of(set), &name, &error);
                let message = format!(
                    "delete Pod {name} in StatefulSet {owner} failed error: {}",
                    error.message()
                );
                self.recorder.warning(subject, "FailedDelete", message);
                Err(error)
            }
        }
    }

    /// Deletes revisions that no pod is from, beyond `revisionHistoryLimit`.
    async fn truncate_history(
        &self,
        set: &StatefulSet,
        known: &[Arc<ControllerRevision>],
        both: &Revisions,
        pods: &[Arc<Pod>],
    ) -> Result<(), ReconcileError> {
        let is_live = |revision: &ControllerRevision| {
            let name = revision.metadata.name.as_deref();
            [&both.current, &both.update].iter().any(|r| r.metadata.name.as_deref() == name)
                || pods.iter().any(|pod| identity::revision(pod) == name)
        };
        let unused = known.iter().filter(|revision| !is_live(revision)).count();
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
        let excess = unused.saturating_sub(usize::try_from(limit).unwrap_or(0));
        history::delete(&self.client, &history::expired(known, is_live, excess)).await
    }

    async fn write_status(
        &self,
        set: &StatefulSet,
        status: StatefulSetStatus,
    ) -> Result<(), ReconcileError> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), &namespace(set));
        let mut updated = set.clone();
        updated.status = Some(status);
        let (name, params) = (set.name_any(), PostParams::default());
        let replaced = api.replace_status(&name, &params, &updated);
        unless_gone(request("update status of", Key::of(set), replaced).await).map(|_| ())
    }
}

fn namespace(set: &StatefulSet) -> String {
    set.namespace().unwrap_or_default()
}
