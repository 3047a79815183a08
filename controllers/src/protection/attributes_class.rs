//! VolumeAttributesClasses in use outlive their deletion.
//!
//! A class is given its finalizer by the API server; one that came without gets it here. It goes once
//! the class is deleted and no volume and no claim names it.
//!
//! Source: k8s.io/kubernetes/pkg/controller/volume/vacprotection.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::release;
use crate::informer::{Cache, Index, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const ATTRIBUTES_CLASSES: &str = "volumeattributesclass-protection-controller";

/// Keeps a class while volumes or claims name it.
const FINALIZER: &str = "kubernetes.io/vac-protection";

/// What to do about a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Keep,
    /// Give it the finalizer.
    Protect,
    /// Take the finalizer off.
    Release,
}

fn step(class: &VolumeAttributesClass, in_use: bool) -> Step {
    let protected = class.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    match (class.metadata.deletion_timestamp.is_some(), protected) {
        (false, false) => Step::Protect,
        (true, true) if !in_use => Step::Release,
        _ => Step::Keep,
    }
}

/// The classes that a claim has, wants, or is being moved to.
fn of_claim(claim: &PersistentVolumeClaim) -> Vec<String> {
    let status = claim.status.as_ref();
    let moving = status.and_then(|status| status.modify_volume_status.as_ref());
    let names = [
        claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone()),
        status.and_then(|status| status.current_volume_attributes_class_name.clone()),
        moving.and_then(|moving| moving.target_volume_attributes_class_name.clone()),
    ];
    let mut names: Vec<String> = names.into_iter().flatten().filter(|n| !n.is_empty()).collect();
    names.sort();
    names.dedup();
    names
}

/// The class that a volume has.
fn of_volume(volume: &PersistentVolume) -> Vec<String> {
    let name = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    name.into_iter().filter(|name| !name.is_empty()).collect()
}

/// Lets deleted classes go when nobody names them.
#[derive(Clone)]
pub(crate) struct AttributesClassProtection {
    client: Client,
    classes: Cache<VolumeAttributesClass>,
    /// By the classes they name.
    claims: Index<PersistentVolumeClaim>,
    volumes: Index<PersistentVolume>,
    queue: Arc<WorkQueue<Key>>,
}

impl AttributesClassProtection {
    /// Hooks into the informers; the queue is to be served with
    /// [`AttributesClassProtection::reconcile`].
    pub(crate) fn new(
        client: Client,
        classes: &mut Informer<VolumeAttributesClass>,
        claims: &mut Informer<PersistentVolumeClaim>,
        volumes: &mut Informer<PersistentVolume>,
    ) -> Self {
        let this = Self {
            client,
            classes: classes.cache(),
            claims: claims.index(of_claim),
            volumes: volumes.index(of_volume),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        classes.on_change(move |_, now| {
            // Used or not: what can be seen already is done at once.
            if let Some(class) = now.filter(|class| step(class, false) != Step::Keep) {
                queue.add(Key::of(&**class));
            }
        });
        let queue = this.queue.clone();
        claims.on_change(move |before, _| {
            before.into_iter().for_each(|claim| wake(&queue, of_claim(claim)));
        });
        let queue = this.queue.clone();
        volumes.on_change(move |before, _| {
            before.into_iter().for_each(|volume| wake(&queue, of_volume(volume)));
        });
        this
    }

    /// The queue of classes to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Gives one class its finalizer, or takes it off.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(class) = self.classes.get(&key) else { return Ok(Next::OnChange) };
        let in_use =
            !self.claims.get(&key.name).is_empty() || !self.volumes.get(&key.name).is_empty();
        let api: Api<VolumeAttributesClass> = Api::all(self.client.clone());
        match step(&class, in_use) {
            Step::Keep => Ok(Next::OnChange),
            Step::Release => release(&api, &*class, FINALIZER).await,
            Step::Protect => {
                let mut finalizers = class.finalizers().to_vec();
                finalizers.push(FINALIZER.to_owned());
                let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers,
                    "uid": class.uid(), "resourceVersion": class.resource_version()}}));
                let params = PatchParams::default();
                let patched = api.patch(&key.name, &params, &patch);
                unless_gone(request("protect volume attributes class", &key.name, patched).await)?;
                Ok(Next::OnChange)
            }
        }
    }
}

/// Somebody may have stopped naming these.
fn wake(queue: &WorkQueue<Key>, names: Vec<String>) {
    for name in names {
        queue.add(Key::new("", name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_goes_when_nobody_names_it() {
        for (deleted, finalizers, in_use, want) in [
            (false, json!([]), false, Step::Protect),
            (false, json!([FINALIZER]), false, Step::Keep),
            (false, json!([FINALIZER]), true, Step::Keep),
            (true, json!([FINALIZER]), true, Step::Keep),
            (true, json!([FINALIZER, "example.com/x"]), false, Step::Release),
            (true, json!(["example.com/x"]), false, Step::Keep),
        ] {
            let deleted_at = deleted.then_some("2026-01-01T00:00:00Z");
            let class = json!({"metadata": {"name": "gold", "finalizers": finalizers,
                "deletionTimestamp": deleted_at}, "driverName": "d"});
            let class: VolumeAttributesClass = serde_json::from_value(class).unwrap();
            assert_eq!(step(&class, in_use), want, "{deleted} {finalizers} {in_use}");
        }
    }

    #[test]
    fn claims_name_what_they_have_want_and_move_to() {
        let claim = json!({"spec": {"volumeAttributesClassName": "b"},
            "status": {"currentVolumeAttributesClassName": "a",
                "modifyVolumeStatus": {"status": "Pending",
                    "targetVolumeAttributesClassName": "b"}}});
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        assert_eq!(of_claim(&claim), ["a", "b"]);
        assert_eq!(of_claim(&PersistentVolumeClaim::default()), [""; 0]);
    }
}
