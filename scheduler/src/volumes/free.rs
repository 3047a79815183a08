//! Which of the volumes that exist suits a claim whose class waits for its first pod. Pure.
//!
//! Source: `pkg/scheduler/framework/plugins/volumebinding` (FindMatchingVolume).

use api::quantity::Quantity;
use api::selector::LabelSelector;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::{Chosen, reaches};

/// What there is for a claim.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    /// A volume that says it is for the claim: the two will be bound.
    Meant,
    /// The smallest free volume on the node that suits.
    Free(&'a PersistentVolume),
    /// No volume.
    Nothing,
}

/// Looks for a volume of the claim on the node.
pub(super) fn find<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [PersistentVolume],
    node: &Chosen,
) -> Found<'a> {
    if volumes.iter().any(|volume| is_for(volume, claim) && reaches(volume, node)) {
        return Found::Meant;
    }
    let free = volumes.iter().filter(|volume| suits(volume, claim) && reaches(volume, node));
    let smallest = free.min_by_key(|volume| (capacity(volume), volume.metadata.name.clone()));
    smallest.map_or(Found::Nothing, Found::Free)
}

fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    reference.is_some_and(|reference| {
        let uid = reference.uid.as_deref().unwrap_or_default();
        reference.name == claim.metadata.name
            && reference.namespace == claim.metadata.namespace
            && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
    })
}

fn capacity(volume: &PersistentVolume) -> Option<Quantity> {
    volume.spec.as_ref()?.capacity.as_ref()?.get("storage")?.0.parse().ok()
}

fn suits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (has, wants) =
        (volume.spec.clone().unwrap_or_default(), claim.spec.clone().unwrap_or_default());
    let requests = wants.resources.and_then(|resources| resources.requests).unwrap_or_default();
    let size = requests.get("storage").and_then(|size| size.0.parse::<Quantity>().ok());
    let mode = |mode: Option<String>| mode.unwrap_or_else(|| "Filesystem".to_owned());
    let modes = has.access_modes.unwrap_or_default();
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let selected = wants.selector.is_none_or(|selector| {
        let labels = volume.metadata.labels.clone().unwrap_or_default();
        let selector = serde_json::to_value(selector).unwrap_or_default();
        LabelSelector::from_object(&selector).is_ok_and(|selector| selector.matches(&labels))
    });
    phase == Some("Available")
        && has.claim_ref.is_none()
        && volume.metadata.deletion_timestamp.is_none()
        && has.storage_class_name == wants.storage_class_name
        && mode(has.volume_mode) == mode(wants.volume_mode)
        && wants.access_modes.iter().flatten().all(|mode| modes.contains(mode))
        && size <= capacity(volume)
        && selected
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(name: &str, change: Value) -> PersistentVolume {
        let expression = json!({"key": "disk", "operator": "In", "values": ["fast"]});
        let mut spec = json!({"storageClassName": "local", "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"], "nodeAffinity": {"required": {
                "nodeSelectorTerms": [{"matchExpressions": [expression]}]}}});
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"tier": "a"}},
            "spec": spec, "status": {"phase": "Available"}}))
        .unwrap()
    }

    fn claim(change: Value) -> PersistentVolumeClaim {
        let mut spec = json!({"storageClassName": "local", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}});
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let metadata = json!({"name": "c", "namespace": "n", "uid": "u"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn node(disk: &str) -> Chosen {
        let labels = [("disk".to_owned(), disk.to_owned())].into();
        Chosen { name: "n1".to_owned(), labels }
    }

    #[test]
    fn the_smallest_volume_that_suits() {
        let volumes = [
            volume("big", json!({"capacity": {"storage": "5Gi"}})),
            volume("fits", json!({})),
            volume("small", json!({"capacity": {"storage": "1Mi"}})),
            volume("other", json!({"capacity": {"storage": "1Gi"}, "storageClassName": "x"})),
            volume("block", json!({"capacity": {"storage": "1Gi"}, "volumeMode": "Block"})),
            volume(
                "taken",
                json!({"capacity": {"storage": "1Gi"},
                "claimRef": {"name": "d", "namespace": "n", "uid": "v"}}),
            ),
        ];
        for (change, disk, wanted) in [
            (json!({}), "fast", Some("fits")),
            (json!({}), "slow", None),
            (json!({"resources": {"requests": {"storage": "3Gi"}}}), "fast", Some("big")),
            (json!({"resources": {"requests": {"storage": "9Gi"}}}), "fast", None),
            (json!({"accessModes": ["ReadWriteMany"]}), "fast", None),
            (json!({"volumeMode": "Block"}), "fast", Some("block")),
            (json!({"selector": {"matchLabels": {"tier": "a"}}}), "fast", Some("fits")),
            (json!({"selector": {"matchLabels": {"tier": "b"}}}), "fast", None),
        ] {
            let claim = claim(change.clone());
            let found = match find(&claim, &volumes, &node(disk)) {
                Found::Free(volume) => volume.metadata.name.as_deref(),
                Found::Nothing => None,
                Found::Meant => panic!("{change} on {disk}"),
            };
            assert_eq!(found, wanted, "{change} on {disk}");
        }
    }

    #[test]
    fn a_volume_that_is_meant_for_the_claim() {
        for (reference, meant) in [
            (json!({"name": "c", "namespace": "n"}), true),
            (json!({"name": "c", "namespace": "n", "uid": "u"}), true),
            (json!({"name": "c", "namespace": "n", "uid": "before"}), false),
            (json!({"name": "c", "namespace": "m"}), false),
        ] {
            let volumes = [volume("v", json!({"claimRef": reference}))];
            let found = find(&claim(json!({})), &volumes, &node("fast"));
            assert_eq!(found, if meant { Found::Meant } else { Found::Nothing }, "{reference}");
        }
    }
}
