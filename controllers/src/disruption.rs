//! PodDisruptionBudget: how many pods may be evicted now.
//!
//! [`plan`] computes the status from the budget's pods; [`scale`] finds out how many pods there
//! should be, which the owners of the pods say. The eviction handler of the API server spends the
//! budget: it takes from `disruptionsAllowed` and notes the pod in `disruptedPods`, from where it is
//! removed here once the pod is going, or when it has not gone after two minutes.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/>.

mod plan;
mod scale;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::Clock;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::workload::watch;
use crate::written::Written;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "controllermanager";

/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// The informers this controller reads.
pub(crate) struct Sources<'a> {
    pub(crate) budgets: &'a mut Informer<PodDisruptionBudget>,
    pub(crate) pods: &'a mut Informer<Pod>,
    pub(crate) replication_controllers: &'a Informer<ReplicationController>,
    pub(crate) replica_sets: &'a Informer<ReplicaSet>,
    pub(crate) deployments: &'a Informer<Deployment>,
    pub(crate) stateful_sets: &'a Informer<StatefulSet>,
}

/// Those that say how many pods there should be.
#[derive(Clone)]
struct Owners {
    replication_controllers: Cache<ReplicationController>,
    replica_sets: Cache<ReplicaSet>,
    deployments: Cache<Deployment>,
    stateful_sets: Cache<StatefulSet>,
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Disruption {
    client: Client,
    clock: Clock,
    budgets: Cache<PodDisruptionBudget>,
    pods: Cache<Pod>,
    owners: Owners,
    written: Arc<Written>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl Disruption {
    /// Hooks into the informers; the queue is to be served with [`Disruption::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        sources: Sources<'_>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            clock,
            budgets: sources.budgets.cache(),
            pods: sources.pods.cache(),
            owners: Owners {
                replication_controllers: sources.replication_controllers.cache(),
                replica_sets: sources.replica_sets.cache(),
                deployments: sources.deployments.cache(),
                stateful_sets: sources.stateful_sets.cache(),
            },
            written: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, written) = (this.queue.clone(), this.written.clone());
        sources.budgets.on_key(move |key, gone| {
            if gone {
                written.forget(&key);
            }
            queue.add(key);
        });
        let watching = this.clone();
        sources.pods.on_change(move |before, now| {
            for key in watch::selecting(&watching.budgets, before, now, plan::covers) {
                watching.queue.add(key);
            }
        });
        this
    }

    /// The queue of budgets to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Brings the status of one budget up to date.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(budget) = self.budgets.get(&key) else { return Ok(Next::OnChange) };
        if !self.written.is_shown(&*budget) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let mut pods = self.pods.in_namespace(&key.namespace);
        pods.retain(|pod| plan::covers(&budget, pod));
        let scale = if plan::is_a_share(&budget) {
            Some(self.owners.scale(&self.client, &pods).await?)
        } else {
            None
        };
        let plan = plan::plan(&budget, &pods, scale, self.clock.now());
        let mut told = BTreeSet::new();
        for event in plan.events.iter().filter(|event| told.insert(event.reason)) {
            let (subject, message) = (Subject::of(&*budget), event.message.clone());
            if event.warning {
                self.recorder.warning(subject, event.reason, message);
            } else {
                self.recorder.normal(subject, event.reason, message);
            }
        }
        self.write_status(&budget, plan.status).await?;
        Ok(plan.recheck.map_or(Next::OnChange, Next::After))
    }

    async fn write_status(
        &self,
        budget: &PodDisruptionBudget,
        status: PodDisruptionBudgetStatus,
    ) -> Result<(), ReconcileError> {
        if budget.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let api: Api<PodDisruptionBudget> =
            Api::namespaced(self.client.clone(), &budget.namespace().unwrap_or_default());
        let mut updated = budget.clone();
        updated.status = Some(status);
        // With the resourceVersion that was read: an eviction that has spent the budget meanwhile is
        // a conflict.
        let (name, params) = (budget.name_any(), PostParams::default());
        let replaced = api.replace_status(&name, &params, &updated);
        let written = request("update status of", Key::of(budget), replaced).await;
        if let Some(written) = unless_gone(written)? {
            self.written.wrote(&written);
        }
        Ok(())
    }
}
