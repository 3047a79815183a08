//! What to do about a claim or volume of the built-in provisioner. Pure.

use std::path::{Component, Path, PathBuf};

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde_json::json;

use super::{LocalPath, NAME};
use crate::volume_binding::facts::{
    self, BIND_COMPLETED, PROVISIONED_BY, PROVISIONER, SELECTED_NODE, waits_for_consumer,
};

/// Label of a node by which volumes say where they are.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";
/// Annotation of a volume: its node by name.
const NODE: &str = "wharf.dev/node";

/// What to do about a claim.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ClaimStep {
    /// It is somebody else's, or has what it wants, or is not placed yet.
    Leave,
    /// Its wish cannot be fulfilled.
    Refuse(String),
    /// Make this volume.
    Provision { volume: Box<PersistentVolume>, node: String },
    /// Let it have this size.
    Resize(String),
}

/// What to do about a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum VolumeStep {
    /// It is in use, or retained.
    Leave,
    /// Remove it with this folder.
    Delete(PathBuf),
    /// Its folder is out of reach.
    Elsewhere(String),
}

/// Whether the volume was made here.
pub(super) fn is_ours(volume: &PersistentVolume) -> bool {
    volume.annotations().get(PROVISIONED_BY).is_some_and(|by| by == NAME)
}

/// The volume's folder.
pub(super) fn path(volume: &PersistentVolume) -> Option<&str> {
    Some(volume.spec.as_ref()?.host_path.as_ref()?.path.as_str())
}

/// Decides about a claim. `volume` is the one it names, `hostname` the label of a node that exists.
pub(super) fn claim(
    claim: &PersistentVolumeClaim,
    class: Option<&StorageClass>,
    volume: Option<&PersistentVolume>,
    place: &LocalPath,
    hostname: impl Fn(&str) -> Option<String>,
) -> ClaimStep {
    if claim.metadata.deletion_timestamp.is_some() {
        return ClaimStep::Leave;
    }
    if claim.annotations().contains_key(BIND_COMPLETED) {
        return resize(claim, volume);
    }
    let asked =
        PROVISIONER.iter().any(|by| claim.annotations().get(*by).is_some_and(|by| by == NAME));
    let Some(class) = class.filter(|class| class.provisioner == NAME && asked) else {
        return ClaimStep::Leave;
    };
    let selected = claim.annotations().get(SELECTED_NODE);
    let node = match selected {
        Some(node) => node.clone(),
        None if waits_for_consumer(Some(class)) => return ClaimStep::Leave,
        None => place.node.clone(),
    };
    if !facts::volume_name(claim).is_empty() {
        return ClaimStep::Leave;
    }
    if let Some(why) = refusal(claim) {
        return ClaimStep::Refuse(why);
    }
    let Some(hostname) = hostname(&node) else {
        return ClaimStep::Refuse(format!("node {node:?} not found"));
    };
    let volume = Box::new(volume_for(claim, class, place, &node, &hostname));
    ClaimStep::Provision { volume, node }
}

/// Why there is no such volume.
fn refusal(claim: &PersistentVolumeClaim) -> Option<String> {
    let spec = facts::claim_spec(claim);
    let shared = spec.access_modes.iter().flatten().find(|m| m.ends_with("Many"));
    if let Some(mode) = shared {
        return Some(format!(
            "access mode {mode} is not possible: a folder of a node serves that node alone, use \
             ReadWriteOnce or ReadWriteOncePod"
        ));
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Some("volume mode Block is not possible: the volume is a folder".to_owned());
    }
    if spec.selector.is_some() {
        return Some("claim.spec.selector is not supported for dynamic provisioning".to_owned());
    }
    let copied = spec.data_source.is_some() || spec.data_source_ref.is_some();
    copied
        .then(|| "claim.spec.dataSource is not supported: the volume is an empty folder".to_owned())
}

fn volume_for(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    place: &LocalPath,
    node: &str,
    hostname: &str,
) -> PersistentVolume {
    let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
    let volume = format!("pvc-{}", claim.uid().unwrap_or_default());
    let folder = place.folder.join(format!("{volume}_{namespace}_{name}"));
    let spec = facts::claim_spec(claim);
    let size = spec.resources.and_then(|resources| resources.requests?.remove("storage"));
    let expression = json!({"key": HOSTNAME, "operator": "In", "values": [hostname]});
    let object = json!({
        "metadata": {"name": volume, "annotations": {PROVISIONED_BY: NAME, NODE: node}},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": spec.access_modes,
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": class.reclaim_policy,
            "storageClassName": class.name_any(),
            "mountOptions": class.mount_options,
            "hostPath": {"path": folder, "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [expression]}]}},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": namespace, "name": name, "uid": claim.uid()},
        },
    });
    serde_json::from_value(object).unwrap_or_default()
}

/// The size that the claim asks for, if it is more than it has.
fn resize(claim: &PersistentVolumeClaim, volume: Option<&PersistentVolume>) -> ClaimStep {
    if !volume.is_some_and(is_ours) {
        return ClaimStep::Leave;
    }
    let status = claim.status.as_ref();
    let has = status.and_then(|s| s.capacity.as_ref()?.get("storage")?.0.parse::<Quantity>().ok());
    match (facts::requested(claim), has) {
        (Some(wants), Some(has)) if wants > has => ClaimStep::Resize(wants.to_string()),
        _ => ClaimStep::Leave,
    }
}

/// Decides about a volume that was made here.
pub(super) fn volume(volume: &PersistentVolume, place: &LocalPath) -> VolumeStep {
    let policy = volume.spec.as_ref().and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    let released = facts::phase(volume) == "Released";
    if !released || policy != Some("Delete") || volume.metadata.deletion_timestamp.is_some() {
        return VolumeStep::Leave;
    }
    let path = Path::new(path(volume).unwrap_or_default());
    let node = volume.annotations().get(NODE).cloned().unwrap_or_default();
    if node != place.node {
        return VolumeStep::Elsewhere(format!(
            "the folder {} is on node {node:?}: remove it there, then delete the volume",
            path.display()
        ));
    }
    // A volume's path is an object's field: nothing outside may be removed by changing it.
    let inside = path.strip_prefix(&place.folder).ok().is_some_and(|rest| {
        let mut parts = rest.components();
        matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
    });
    if !inside {
        return VolumeStep::Elsewhere(format!(
            "{} is no folder in {}: it is not removed",
            path.display(),
            place.folder.display()
        ));
    }
    VolumeStep::Delete(path.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn place() -> LocalPath {
        LocalPath { folder: PathBuf::from("/data/volumes"), node: "here".to_owned() }
    }

    fn claim_of(annotations: Value, spec: Value) -> PersistentVolumeClaim {
        let mut value = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u",
            "annotations": annotations}, "spec": {"accessModes": ["ReadWriteOnce"],
            "storageClassName": "local-path", "resources": {"requests": {"storage": "1Gi"}}}});
        for (field, given) in spec.as_object().unwrap() {
            value["spec"][field] = given.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn decide(claim: &PersistentVolumeClaim) -> ClaimStep {
        let hostname = |node: &str| (node != "gone").then(|| format!("{node}.host"));
        super::claim(
            claim,
            Some(&crate::local_path::default_storage_class()),
            None,
            &place(),
            hostname,
        )
    }

    fn asked(node: Option<&str>) -> Value {
        let mut annotations = json!({PROVISIONER[0]: NAME});
        if let Some(node) = node {
            annotations[SELECTED_NODE] = node.into();
        }
        annotations
    }

    #[test]
    fn a_placed_claim_gets_a_folder_on_its_node() {
        let ClaimStep::Provision { volume, node } =
            decide(&claim_of(asked(Some("there")), json!({})))
        else {
            panic!("a volume")
        };
        assert_eq!(node, "there");
        let volume = serde_json::to_value(volume).unwrap();
        assert_eq!(volume["metadata"]["name"], "pvc-u");
        let spec = &volume["spec"];
        assert_eq!(spec["hostPath"]["path"], "/data/volumes/pvc-u_n_c");
        assert_eq!(spec["capacity"]["storage"], "1Gi");
        assert_eq!(spec["persistentVolumeReclaimPolicy"], "Delete");
        assert_eq!(spec["claimRef"]["uid"], "u");
        let term = &spec["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
        assert_eq!(term["values"], json!(["there.host"]));
    }

    #[test]
    fn other_claims_are_left_or_refused() {
        for (case, annotations, spec, wanted) in [
            ("not asked", json!({}), json!({}), ""),
            ("not placed", asked(None), json!({}), ""),
            ("named a volume", asked(Some("here")), json!({"volumeName": "v"}), ""),
            ("no node", asked(Some("gone")), json!({}), "node \"gone\" not found"),
            (
                "shared",
                asked(Some("here")),
                json!({"accessModes": ["ReadWriteMany"]}),
                "access mode ReadWriteMany is not possible",
            ),
            ("block", asked(Some("here")), json!({"volumeMode": "Block"}), "volume mode Block"),
            ("selector", asked(Some("here")), json!({"selector": {}}), "claim.spec.selector"),
        ] {
            match decide(&claim_of(annotations, spec)) {
                ClaimStep::Leave => assert_eq!(wanted, "", "{case}"),
                ClaimStep::Refuse(why) => {
                    assert!(!wanted.is_empty() && why.starts_with(wanted), "{case}: {why}");
                }
                other => panic!("{case}: {other:?}"),
            }
        }
    }

    fn ours(phase: &str, policy: &str, path: &str, node: &str) -> PersistentVolume {
        serde_json::from_value(json!({
            "metadata": {"name": "v", "annotations": {PROVISIONED_BY: NAME, NODE: node}},
            "spec": {"persistentVolumeReclaimPolicy": policy, "hostPath": {"path": path}},
            "status": {"phase": phase}}))
        .unwrap()
    }

    #[test]
    fn released_volumes_go_with_their_folder_and_nothing_else() {
        let folder = "/data/volumes/pvc-u_n_c";
        for (phase, policy, path, node, goes) in [
            ("Released", "Delete", folder, "here", Some(true)),
            ("Bound", "Delete", folder, "here", None),
            ("Released", "Retain", folder, "here", None),
            ("Released", "Delete", folder, "there", Some(false)),
            ("Released", "Delete", "/data/volumes", "here", Some(false)),
            ("Released", "Delete", "/data/volumes/../../etc", "here", Some(false)),
            ("Released", "Delete", "/data/volumes/a/b", "here", Some(false)),
            ("Released", "Delete", "/etc", "here", Some(false)),
        ] {
            let step = super::volume(&ours(phase, policy, path, node), &place());
            let shown = match &step {
                VolumeStep::Leave => None,
                VolumeStep::Delete(found) => {
                    assert_eq!(found, Path::new(path));
                    Some(true)
                }
                VolumeStep::Elsewhere(_) => Some(false),
            };
            assert_eq!(shown, goes, "{phase} {policy} {path} {node}: {step:?}");
        }
    }

    #[test]
    fn claims_grow_by_saying_so() {
        let volume = ours("Bound", "Delete", "/data/volumes/x", "here");
        for (has, wants, resized) in
            [("1Gi", "2Gi", Some("2Gi")), ("2Gi", "2Gi", None), ("3Gi", "2Gi", None)]
        {
            let mut claim = claim_of(
                json!({BIND_COMPLETED: "yes"}),
                json!({"resources": {"requests": {"storage": wants}}, "volumeName": "v"}),
            );
            claim.status =
                Some(serde_json::from_value(json!({"capacity": {"storage": has}})).unwrap());
            let step = super::claim(&claim, None, Some(&volume), &place(), |_| None);
            let wanted =
                resized.map_or(ClaimStep::Leave, |size| ClaimStep::Resize(size.to_owned()));
            assert_eq!(step, wanted, "{has} to {wants}");
        }
    }
}
