//! What claims, volumes and classes say.

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

/// Annotation of a claim: it is bound for good, and lost if its volume goes.
pub(crate) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of a claim or volume: the controller chose the other side, not the user.
pub(crate) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Annotation of a volume: who made it.
pub(crate) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Annotations of a claim: who is to make its volume.
pub(crate) const PROVISIONER: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
/// Annotation of a claim: the node where its first pod will run, chosen by the scheduler.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The class of claims and volumes, in the days before they had a field.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(crate) fn claim_spec(claim: &PersistentVolumeClaim) -> PersistentVolumeClaimSpec {
    claim.spec.clone().unwrap_or_default()
}

pub(crate) fn volume_spec(volume: &PersistentVolume) -> PersistentVolumeSpec {
    volume.spec.clone().unwrap_or_default()
}

/// The name of the claim's class, "" for none.
pub(crate) fn claim_class(claim: &PersistentVolumeClaim) -> String {
    let old = claim.annotations().get(CLASS).cloned();
    old.or_else(|| claim.spec.as_ref()?.storage_class_name.clone()).unwrap_or_default()
}

/// The name of the volume's class, "" for none.
pub(crate) fn volume_class(volume: &PersistentVolume) -> String {
    let old = volume.annotations().get(CLASS).cloned();
    old.or_else(|| volume.spec.as_ref()?.storage_class_name.clone()).unwrap_or_default()
}

/// The name of the volume that the claim is for, "" for none.
pub(crate) fn volume_name(claim: &PersistentVolumeClaim) -> String {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default()
}

/// The claim that the volume is for.
pub(crate) fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// Whether the volume is meant for this claim, by name, and by uid if it says one.
pub(crate) fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    claim_ref(volume).is_some_and(|reference| {
        let uid = reference.uid.as_deref().unwrap_or_default();
        reference.name.as_deref() == claim.metadata.name.as_deref()
            && reference.namespace.as_deref() == claim.metadata.namespace.as_deref()
            && (uid.is_empty() || claim.metadata.uid.as_deref() == Some(uid))
    })
}

pub(crate) fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// What the claim asks for, bytes.
pub(crate) fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage")?.0.parse().ok()
}

/// What the volume holds, bytes.
pub(crate) fn capacity(volume: &PersistentVolume) -> Option<Quantity> {
    volume.spec.as_ref()?.capacity.as_ref()?.get("storage")?.0.parse().ok()
}

/// Whether volumes of the class wait for the first pod that wants them.
pub(crate) fn waits_for_consumer(class: Option<&StorageClass>) -> bool {
    let mode = class.and_then(|class| class.volume_binding_mode.as_deref());
    mode == Some("WaitForFirstConsumer")
}
