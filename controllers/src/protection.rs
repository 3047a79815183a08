//! Volumes, claims and classes of volume attributes in use outlive their deletion.
//!
//! The API server gives every PersistentVolumeClaim and PersistentVolume a finalizer. It goes once
//! the object is deleted and nobody needs it any more: no pod on a node mounts the claim, no claim
//! is bound to the volume. [`plan`] decides.
//! Source: Kubernetes, "Storage Object in Use Protection".

mod attributes_class;
mod plan;

pub(crate) use self::attributes_class::{ATTRIBUTES_CLASSES, AttributesClassProtection};

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, Resource};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::informer::{Cache, Index, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name of the claims' controller in logs.
pub(crate) const CLAIMS: &str = "persistentvolumeclaim-protection-controller";
/// Name of the volumes' controller in logs.
pub(crate) const VOLUMES: &str = "persistentvolume-protection-controller";

/// Lets deleted claims go when no pod uses them.
#[derive(Clone)]
pub(crate) struct ClaimProtection {
    client: Client,
    claims: Cache<PersistentVolumeClaim>,
    /// Pods by the claims that they hold on to, as `namespace/name`.
    users: Index<Pod>,
    queue: Arc<WorkQueue<Key>>,
}

impl ClaimProtection {
    /// Hooks into the informers; the queue is to be served with [`ClaimProtection::reconcile`].
    pub(crate) fn new(
        client: Client,
        claims: &mut Informer<PersistentVolumeClaim>,
        pods: &mut Informer<Pod>,
    ) -> Self {
        let this = Self {
            client,
            claims: claims.cache(),
            users: pods.index(|pod| {
                let namespace = pod.namespace().unwrap_or_default();
                let claims = if plan::needs_claims(pod) { plan::claims(pod) } else { Vec::new() };
                claims.into_iter().map(|claim| format!("{namespace}/{claim}")).collect()
            }),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        claims.on_change(move |_, now| {
            if let Some(claim) = now.filter(|claim| claim.metadata.deletion_timestamp.is_some()) {
                queue.add(Key::of(&**claim));
            }
        });
        let queue = this.queue.clone();
        pods.on_change(move |before, now| {
            if now.is_some_and(|pod| plan::needs_claims(pod)) {
                return;
            }
            let Some(pod) = now.or(before) else { return };
            for claim in plan::claims(pod) {
                queue.add(Key::new(pod.namespace().unwrap_or_default(), &claim));
            }
        });
        this
    }

    /// The queue of claims to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Removes the finalizer of a claim that may go.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(claim) = self.claims.get(&key) else { return Ok(Next::OnChange) };
        if !plan::claim_may_go(&claim, &self.users.get(&key.to_string())) {
            return Ok(Next::OnChange);
        }
        // The cache may be behind a pod that was bound this moment.
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let everything = ListParams::default();
        let list = pods.list(&everything);
        let live = request("list", format!("pods of {}", key.namespace), list).await?;
        let live: Vec<Arc<Pod>> = live.items.into_iter().map(Arc::new).collect();
        if !plan::claim_may_go(&claim, &live) {
            return Ok(Next::OnChange);
        }
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &key.namespace);
        release(&api, &*claim, plan::CLAIM_FINALIZER).await
    }
}

/// Lets deleted volumes go when no claim is bound to them.
#[derive(Clone)]
pub(crate) struct VolumeProtection {
    client: Client,
    volumes: Cache<PersistentVolume>,
    queue: Arc<WorkQueue<Key>>,
}

impl VolumeProtection {
    /// Hooks into the informer; the queue is to be served with [`VolumeProtection::reconcile`].
    pub(crate) fn new(client: Client, volumes: &mut Informer<PersistentVolume>) -> Self {
        let this = Self { client, volumes: volumes.cache(), queue: Arc::new(WorkQueue::new()) };
        let queue = this.queue.clone();
        volumes.on_change(move |_, now| {
            if let Some(volume) = now.filter(|volume| volume.metadata.deletion_timestamp.is_some())
            {
                queue.add(Key::of(&**volume));
            }
        });
        this
    }

    /// The queue of volumes to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Removes the finalizer of a volume that may go.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(volume) = self.volumes.get(&key) else { return Ok(Next::OnChange) };
        if !plan::volume_may_go(&volume) {
            return Ok(Next::OnChange);
        }
        release(&Api::all(self.client.clone()), &*volume, plan::VOLUME_FINALIZER).await
    }
}

/// Takes `finalizer` off the object, unless somebody changed it meanwhile (the watch will tell).
async fn release<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<Next, ReconcileError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let others: Vec<&String> = object.finalizers().iter().filter(|f| *f != finalizer).collect();
    let patch = Patch::Merge(json!({"metadata": {
        "finalizers": others, "uid": object.uid(), "resourceVersion": object.resource_version(),
    }}));
    let name = object.name_any();
    let params = PatchParams::default();
    let patched = api.patch(&name, &params, &patch);
    let patched = request("patch", format!("{} {name}", K::kind(&())), patched).await;
    match unless_gone(patched) {
        Err(error) if error.code() == Some(409) => Ok(Next::OnChange),
        other => other.map(|_| Next::OnChange),
    }
}
