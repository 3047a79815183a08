//! ReplicationController and ReplicaSet: as many pods as asked for.
//!
//! Both are one thing to this file ([`Replicated`]): [`plan`] decides from the object, the pods of its
//! namespace and a clock; here it is carried out, with what all owners of pods share
//! ([`crate::workload`]).
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/>.

mod kind;
mod plan;
pub(crate) mod rank;

use std::collections::HashSet;
use std::sync::Arc;

use api::owner;
use client::Clock;
use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

pub(crate) use self::kind::Replicated;
use self::plan::{Failure, Scale};
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::workload::owned::OwnedPods;
use crate::workload::pods::{Change, ChangeError, PodControl};
use crate::workload::{claim, template, watch};

/// Everything a reconcile needs.
pub(crate) struct Replication<R> {
    client: Client,
    clock: Clock,
    objects: Cache<R>,
    pods: OwnedPods,
    control: PodControl,
    queue: Arc<WorkQueue<Key>>,
}

impl<R> Clone for Replication<R> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            clock: self.clock,
            objects: self.objects.clone(),
            pods: self.pods.clone(),
            control: self.control.clone(),
            queue: self.queue.clone(),
        }
    }
}

impl<R: Replicated> Replication<R> {
    /// Hooks into the informers; the queue is to be served with [`Replication::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        objects: &mut Informer<R>,
        pods: &mut Informer<Pod>,
        owned: &OwnedPods,
        recorder: &Recorder,
    ) -> Self {
        let control = PodControl::new(client.clone(), recorder.named(R::CONTROLLER));
        let this = Self {
            client,
            clock,
            objects: objects.cache(),
            pods: owned.clone(),
            control,
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, expectations) = (this.queue.clone(), this.control.expectations().clone());
        objects.on_key(move |key, gone| {
            if gone {
                expectations.forget(&key);
            }
            queue.add(key);
        });
        let watching = this.clone();
        pods.on_change(move |before, now| {
            watch::seen(&watching.objects, watching.control.expectations(), before, now);
        });
        watch::wake(pods, this.objects.clone(), this.queue.clone(), |object: &R, pod: &Pod| {
            object.selector().matches(pod.labels())
        });
        this
    }

    /// The queue of objects to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Brings the number of one object's pods closer to what it asks for.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(object) = self.objects.get(&key) else { return Ok(Next::OnChange) };
        let siblings = self.siblings(&object);
        // Asked before the pods are read: what is expected is noted after it is in the cache.
        let may_scale = self.control.expectations().satisfied(&key);
        let mut pods = self.pods.claimable(&*object);
        let others = siblings.iter().filter(|uid| object.meta().uid.as_ref() != Some(*uid));
        pods.extend(others.flat_map(|uid| self.pods.of(uid)));
        let now = self.clock.now();
        let plan = plan::plan(&*object, &pods, &siblings, may_scale, now);
        claim::settle(&self.client, &*object, &plan.claims).await?;
        let failed = self.scale(&key, &object, &plan.scale).await;
        let failure = failed.as_ref().err().map(Failure::of);
        self.write_status(&object, plan.status(&*object, failure.as_ref(), now)).await?;
        failed.map_err(ChangeError::into_source)?;
        Ok(plan.recheck.map_or(Next::OnChange, Next::After))
    }

    /// The uids of the objects under the same controller, the ReplicaSets of one Deployment: their
    /// pods do the same work.
    fn siblings(&self, object: &R) -> HashSet<String> {
        let Some(controller) = owner::controller_of(object.meta()) else { return HashSet::new() };
        let all = self.objects.in_namespace(&object.namespace().unwrap_or_default());
        let same = all.iter().filter(|o| owner::is_controlled_by(o.meta(), &controller.uid));
        same.filter_map(|o| o.uid()).collect()
    }

    async fn scale(&self, key: &Key, object: &R, scale: &Scale) -> Result<(), ChangeError> {
        let change = match scale {
            Scale::Keep => return Ok(()),
            Scale::Create(count) => {
                let pod = template::pod(object, &object.template());
                Change { create: vec![pod; *count], ..Change::default() }
            }
            Scale::Delete(victims) => Change { delete: victims.clone(), ..Change::default() },
        };
        self.control.apply(key, &Subject::of(object), change).await
    }

    async fn write_status(
        &self,
        object: &R,
        status: ReplicaSetStatus,
    ) -> Result<(), ReconcileError> {
        let updated = object.with_status(status);
        if updated.status() == object.status() {
            return Ok(());
        }
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<R> = Api::namespaced(self.client.clone(), &namespace);
        let name = object.name_any();
        // With the resourceVersion read from the cache: a conflict means it was behind, and the
        // watch brings the key back anyway.
        let params = PostParams::default();
        let replaced = api.replace_status(&name, &params, &updated);
        unless_gone(request("update status of", Key::of(object), replaced).await).map(|_| ())
    }
}
