//! ResourceQuota: adds up what the objects of a namespace cost.
//!
//! The API server charges a quota when it admits an object; this controller gives back what is gone
//! and corrects what drifted: it lists the kinds a quota speaks of and writes the sum. Not at once:
//! between the charge and the commit of an object the sum is too low, and to believe it would let
//! more in than the quota allows. It is told of changes by the garbage collector's watches, which see
//! every kind. [`plan`] knows which kinds a quota is about.
//!
//! Source: <https://kubernetes.io/docs/concepts/policy/resource-quotas/>.

mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::quota;
use api::resources::{self, GroupResource, Resource};
use client::Clock;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt, discovery};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::garbage::Garbage;
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::written::Written;

/// Name in logs.
pub(crate) const NAME: &str = "resourcequota-controller";

/// Changes within this time are added up together.
const GATHER: Duration = Duration::from_millis(200);
/// So much later than the end of a pod's grace it is over.
const PAST: Duration = Duration::from_secs(1);
/// Everything is added up again this often.
const RESYNC: Duration = Duration::from_secs(300);
/// From a charge until what was charged for is there to be listed, or has failed. Until then a sum
/// that is lower than the charges says nothing.
const SETTLED: Duration = Duration::from_secs(1);
/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// Whether the limits in the status are those that are wished.
fn promised(quota: &ResourceQuota) -> bool {
    let wished = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    quota.status.as_ref().and_then(|status| status.hard.as_ref()) == wished
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct ResourceQuotas {
    client: Client,
    clock: Clock,
    quotas: Cache<ResourceQuota>,
    written: Arc<Written>,
    /// When the use of a quota was last seen changing.
    charged: Arc<Mutex<HashMap<Key, Instant>>>,
    queue: Arc<WorkQueue<Key>>,
}

impl ResourceQuotas {
    /// Hooks into the informer and the garbage collector's watches; the queue is to be served with
    /// [`ResourceQuotas::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        quotas: &mut Informer<ResourceQuota>,
        garbage: &mut Garbage,
    ) -> Self {
        let this = Self {
            client,
            clock,
            quotas: quotas.cache(),
            written: Arc::default(),
            charged: Arc::default(),
            queue: Arc::new(WorkQueue::new()),
        };
        let watching = this.clone();
        quotas.on_change(move |before, now| {
            let Some(quota) = now.or(before) else { return };
            let key = Key::of(&**quota);
            if now.is_none() {
                watching.written.forget(&key);
                watching.charged.lock().remove(&key);
            } else if before.is_some_and(|before| before.status != quota.status) {
                watching.charged.lock().insert(key.clone(), Instant::now());
            }
            // Its status changes with every object: only a new wish is a reason to add up, or
            // limits that are not those of the wish.
            if before.is_none_or(|before| before.spec != quota.spec) || !promised(quota) {
                watching.queue.add(key);
            }
        });
        let watching = this.clone();
        garbage.on_change(move |resource, namespace| watching.changed(resource, namespace));
        this
    }

    /// The queue of quotas to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    fn changed(&self, resource: &Resource, namespace: &str) {
        for quota in self.quotas.in_namespace(namespace) {
            let changed = GroupResource::new(resource.group.clone(), resource.plural.clone());
            if plan::counted(&json!(*quota)).contains(&changed) {
                self.queue.add_after(Key::of(&*quota), GATHER);
            }
        }
    }

    /// Adds up one quota.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(quota) = self.quotas.get(&key) else { return Ok(Next::OnChange) };
        if !self.written.is_shown(&*quota) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let settled =
            self.charged.lock().get(&key).is_none_or(|charged| charged.elapsed() >= SETTLED);
        let (object, now) = (json!(*quota), self.clock.now());
        let mut costs = Vec::new();
        // When one of the pods that are being deleted ceases to cost.
        let mut soonest = RESYNC;
        for resource in plan::counted(&object) {
            for found in self.list(&key.namespace, &resource).await? {
                if quota::covers(&object, &resource.resource, &found) {
                    costs.push(quota::usage_at(&resource, &found, now));
                    let end = quota::costs_until(&resource, &found).filter(|end| *end >= now);
                    if let Some(end) = end {
                        soonest = soonest.min(end.duration_since(now).unsigned_abs() + PAST);
                    }
                }
            }
        }
        let status = plan::status(&object, &costs);
        if !settled && plan::lowers(&object["status"], &status) {
            return Ok(Next::After(SETTLED));
        }
        if object["status"] != status {
            self.write(&quota, &status).await?;
        }
        Ok(Next::After(soonest))
    }

    /// The objects of a resource in a namespace; none if nobody serves it.
    async fn list(
        &self,
        namespace: &str,
        resource: &GroupResource,
    ) -> Result<Vec<Value>, ReconcileError> {
        let Some(found) = self.find(resource).await else { return Ok(Vec::new()) };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &found);
        let params = ListParams::default();
        let listed = request("list", resource, api.list(&params)).await;
        let items = unless_gone(listed)?.map(|list| list.items).unwrap_or_default();
        Ok(items.iter().map(|object| json!(object)).collect())
    }

    async fn find(&self, wanted: &GroupResource) -> Option<ApiResource> {
        let built_in = resources::table()
            .iter()
            .find(|row| row.group == wanted.group && row.plural == wanted.resource);
        if let Some(row) = built_in {
            let kind = GroupVersionKind::gvk(&row.group, &row.version, &row.kind);
            return Some(ApiResource::from_gvk_with_plural(&kind, &row.plural));
        }
        let group = discovery::group(&self.client, &wanted.group).await.ok()?;
        let found = group.recommended_resources();
        found.into_iter().map(|(found, _)| found).find(|found| found.plural == *wanted.resource)
    }

    async fn write(&self, quota: &ResourceQuota, status: &Value) -> Result<(), ReconcileError> {
        let api: Api<ResourceQuota> =
            Api::namespaced(self.client.clone(), &quota.namespace().unwrap_or_default());
        let mut updated = quota.clone();
        updated.status = serde_json::from_value(status.clone()).ok();
        // With the version that was read: what was charged meanwhile is a conflict.
        let (name, params) = (quota.name_any(), PostParams::default());
        let replaced = api.replace_status(&name, &params, &updated);
        let written = request("update status of", Key::of(quota), replaced).await;
        if let Some(written) = unless_gone(written)? {
            self.written.wrote(&written);
        }
        Ok(())
    }
}
