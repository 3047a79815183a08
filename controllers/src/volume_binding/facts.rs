//! What claims, volumes and classes say.

use std::cmp::Reverse;
use std::sync::Arc;

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
/// Annotations of a class: it is for claims that name none. The second is the older.
const DEFAULT_CLASS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
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

/// Whether the claim says which class it wants, be it none.
pub(crate) fn has_class(claim: &PersistentVolumeClaim) -> bool {
    let said = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    said.is_some() || claim.annotations().contains_key(CLASS)
}

/// The class for claims that name none: the newest that says so, of several the first by name.
pub(crate) fn default_class(classes: &[Arc<StorageClass>]) -> Option<String> {
    let says = |class: &&Arc<StorageClass>| {
        let value = |name: &&str| class.annotations().get(*name).map(String::as_str);
        DEFAULT_CLASS.iter().any(|name| value(name) == Some("true"))
    };
    let made = |class: &StorageClass| class.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let newest_first = |class: &&Arc<StorageClass>| (Reverse(made(class)), class.name_any());
    classes.iter().filter(says).min_by_key(newest_first).map(|class| class.name_any())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_default_class_is_the_one() {
        let class = |(name, made, default): &(&str, &str, &str)| -> Arc<StorageClass> {
            let annotations = json!({DEFAULT_CLASS[0]: default});
            let metadata = json!({"name": name, "creationTimestamp": made,
                "annotations": annotations});
            let class = json!({"metadata": metadata, "provisioner": "p"});
            Arc::new(serde_json::from_value(class).unwrap())
        };
        let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        for (classes, want) in [
            (vec![], None),
            (vec![("a", old, "false")], None),
            (vec![("a", old, "true"), ("b", new, "true")], Some("b")),
            (vec![("b", new, "true"), ("a", new, "true")], Some("a")),
            (vec![("a", old, "true"), ("b", new, "false")], Some("a")),
        ] {
            let found = default_class(&classes.iter().map(class).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), want, "{classes:?}");
        }
    }
}
