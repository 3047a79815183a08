//! DaemonSet: one pod on every node that fits.
//!
//! [`plan`] decides from the set, the nodes and the set's pods; this file carries it out with what all
//! owners of pods share ([`crate::workload`]). Pods are bound by the scheduler, each to the node it is
//! meant for ([`pod`]).
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/>.

mod backoff;
mod eligible;
mod plan;
mod pod;
mod rollout;

use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use client::Clock;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

use self::backoff::Backoff;
use self::plan::{Plan, View};
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::workload::claim::{self, selector};
use crate::workload::history::{self, REVISION_HASH};
use crate::workload::owned::OwnedPods;
use crate::workload::pods::{Change, ChangeError, PodControl};
use crate::workload::watch;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "daemonset-controller";

/// No more creations or deletions than this are made at once, as in Kubernetes.
const BURST: usize = 250;

/// The caches that are looked at.
#[derive(Clone)]
struct Caches {
    sets: Cache<DaemonSet>,
    pods: OwnedPods,
    nodes: Cache<Node>,
    revisions: Cache<ControllerRevision>,
}

/// What is watched.
pub(crate) struct Sources<'a> {
    pub(crate) sets: &'a mut Informer<DaemonSet>,
    pub(crate) pods: &'a mut Informer<Pod>,
    pub(crate) owned: &'a OwnedPods,
    pub(crate) nodes: &'a mut Informer<Node>,
    pub(crate) revisions: &'a mut Informer<ControllerRevision>,
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct DaemonSets {
    client: Client,
    clock: Clock,
    caches: Caches,
    control: PodControl,
    recorder: Recorder,
    backoff: Arc<Backoff>,
    queue: Arc<WorkQueue<Key>>,
}

impl DaemonSets {
    /// Hooks into the informers; the queue is to be served with [`DaemonSets::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        sources: Sources<'_>,
        recorder: &Recorder,
    ) -> Self {
        let Sources { sets, pods, owned, nodes, revisions } = sources;
        let recorder = recorder.named(NAME);
        let caches = Caches {
            sets: sets.cache(),
            pods: owned.clone(),
            nodes: nodes.cache(),
            revisions: revisions.cache(),
        };
        let this = Self {
            control: PodControl::new(client.clone(), recorder.clone()),
            client,
            clock,
            caches,
            recorder,
            backoff: Arc::default(),
            queue: Arc::new(WorkQueue::new()),
        };
        let watching = this.clone();
        sets.on_key(move |key, gone| {
            if gone {
                watching.control.expectations().forget(&key);
                watching.backoff.forget(&key);
            }
            watching.queue.add(key);
        });
        let watching = this.clone();
        pods.on_change(move |before, now| {
            let expectations = watching.control.expectations();
            watch::seen(&watching.caches.sets, expectations, before, now);
        });
        let (sets, queue) = (&this.caches.sets, &this.queue);
        watch::wake(pods, sets.clone(), queue.clone(), |set: &DaemonSet, pod: &Pod| {
            set.spec.as_ref().is_some_and(|s| selector(&s.selector).matches(pod.labels()))
        });
        watch::wake(revisions, sets.clone(), queue.clone(), |_, _| false);
        let watching = this.clone();
        nodes.on_change(move |before, now| {
            // What a node reports about itself every minute is no reason to look.
            let same = before.zip(now).is_some_and(|(before, now)| {
                before.metadata.labels == now.metadata.labels
                    && before.spec == now.spec
                    && before.metadata.uid == now.metadata.uid
            });
            if !same {
                for set in watching.caches.sets.all() {
                    watching.queue.add(Key::of(&*set));
                }
            }
        });
        this
    }

    /// The queue of DaemonSets to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Brings one DaemonSet a step further.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(set) = self.caches.sets.get(&key) else { return Ok(Next::OnChange) };
        let Some(spec) = &set.spec else { return Ok(Next::OnChange) };
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(Next::OnChange);
        }
        let selector = selector(&spec.selector);
        let revisions = self.caches.revisions.in_namespace(&key.namespace);
        let revisions = claim::claims(&*set, &selector, revisions);
        claim::settle(&self.client, &*set, &revisions).await?;
        // Asked before the pods are read: what is expected is noted after it is in the cache.
        let settled = self.control.expectations().satisfied(&key);
        let pods = claim::claims(&*set, &selector, self.caches.pods.claimable(&*set));
        claim::settle(&self.client, &*set, &pods).await?;

        let known = history::sorted(revisions.owned);
        let source = history::Source {
            owner: &*set,
            template: &spec.template,
            hash_label: REVISION_HASH,
            collisions: set.status.as_ref().and_then(|status| status.collision_count),
        };
        let step = history::plan(&spec.template, &known);
        let (present, collisions) = source.apply(&self.client, step).await?;
        let hash = present.labels().get(REVISION_HASH).cloned().unwrap_or_default();

        let template = pod::tolerant(&set);
        let nodes = self.caches.nodes.all();
        let now = self.clock.now();
        let view = View::new(&set, &template, &hash, &nodes, &pods.owned, now);
        let (mut failed, mut wait) = (Ok(()), view.recheck());
        // On half of what was asked for nothing is decided, only reported.
        if settled {
            let plan = view.plan();
            let (change, retry) =
                self.change(&key, &set, plan, |node| pod::pod(&set, &template, node, &hash));
            wait = wait.into_iter().chain(retry).min();
            failed = self.control.apply(&key, &Subject::of(&*set), change).await;
        }
        let observed = if settled {
            set.metadata.generation
        } else {
            set.status.as_ref().and_then(|status| status.observed_generation)
        };
        self.write_status(&set, view.status(observed, collisions)).await?;
        failed.map_err(ChangeError::into_source)?;
        self.clean_up(&set, &known, &present, &pods.owned).await?;
        Ok(wait.map_or(Next::OnChange, Next::After))
    }

    /// What to create and delete, and when failed pods that have to wait may be replaced.
    fn change(
        &self,
        key: &Key,
        set: &DaemonSet,
        plan: Plan,
        make: impl Fn(&str) -> Pod,
    ) -> (Change, Option<Duration>) {
        let mut change = Change { create: Vec::new(), delete: plan.delete };
        let mut retry: Option<Duration> = None;
        for (node, pod) in plan.ended {
            if change.delete.iter().any(|deleted| deleted.metadata.uid == pod.metadata.uid) {
                continue;
            }
            let name = Key::of(&*pod);
            if pods::phase(&pod) == "Failed" {
                if let Err(wait) = self.backoff.ask(key, &node) {
                    retry = Some(retry.map_or(wait, |earlier| earlier.min(wait)));
                    continue;
                }
                let message =
                    format!("Found failed daemon pod {name} on node {node}, will try to kill it");
                self.recorder.warning(Subject::of(set), "FailedDaemonPod", message);
            } else {
                let message = format!(
                    "Found succeeded daemon pod {name} on node {node}, will try to delete it"
                );
                self.recorder.normal(Subject::of(set), "SucceededDaemonPod", message);
            }
            change.delete.push(pod);
        }
        change.create = plan.create.iter().take(BURST).map(|node| make(node)).collect();
        change.delete.truncate(BURST);
        (change, retry)
    }

    /// Deletes revisions that no pod is from, beyond `revisionHistoryLimit`.
    async fn clean_up(
        &self,
        set: &DaemonSet,
        known: &[Arc<ControllerRevision>],
        present: &ControllerRevision,
        pods: &[Arc<Pod>],
    ) -> Result<(), ReconcileError> {
        let old = known.iter().filter(|r| r.metadata.name != present.metadata.name);
        let old: Vec<Arc<ControllerRevision>> = old.cloned().collect();
        let is_live = |revision: &ControllerRevision| {
            let hash = revision.labels().get(REVISION_HASH);
            hash.is_some() && pods.iter().any(|pod| pod.labels().get(REVISION_HASH) == hash)
        };
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        history::delete(&self.client, &history::expired(&old, is_live, excess)).await
    }

    async fn write_status(
        &self,
        set: &DaemonSet,
        status: DaemonSetStatus,
    ) -> Result<(), ReconcileError> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let namespace = set.namespace().unwrap_or_default();
        let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), &namespace);
        let mut updated = set.clone();
        updated.status = Some(status);
        let (name, params) = (set.name_any(), PostParams::default());
        let replaced = api.replace_status(&name, &params, &updated);
        unless_gone(request("update status of", Key::of(set), replaced).await).map(|_| ())
    }
}
