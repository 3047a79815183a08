//! What becomes of a volume that its claim has left. Pure.
//!
//! Volumes of a provisioner are the provisioner's to delete; of the others this controller can
//! delete only what a `hostPath` under `/tmp` names, which is how Kubernetes lets a single host try
//! claims out.
//!
//! Source: k8s.io/kubernetes/pkg/controller/volume/persistentvolume, pkg/volume/hostpath.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;

use super::facts::PROVISIONED_BY;
use super::plan::reclaim_policy;

/// Annotation of a volume whose plugin has become a driver: that driver deletes it.
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
/// The plugins of old were part of Kubernetes, and so were their names.
const IN_TREE: &str = "kubernetes.io/";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reclaim {
    /// Nothing: it is kept, or somebody else deletes it.
    Leave,
    /// Say that nobody can: the reason and message of an event and of the phase `Failed`.
    Refuse(&'static str, String),
    /// Delete this folder and the volume.
    Remove(PathBuf),
}

/// Decides about a volume without a claim.
pub(super) fn reclaim(volume: &PersistentVolume) -> Reclaim {
    match reclaim_policy(volume).as_str() {
        "Delete" => delete(volume),
        "Recycle" => Reclaim::Refuse(
            "VolumeFailedRecycle",
            "No recycler plugin found for the volume!".to_owned(),
        ),
        _ => Reclaim::Leave,
    }
}

fn delete(volume: &PersistentVolume) -> Reclaim {
    let refuse = |message| Reclaim::Refuse("VolumeFailedDelete", message);
    let annotation = |name: &str| volume.annotations().get(name).map(String::as_str);
    match annotation(PROVISIONED_BY).filter(|provisioner| !provisioner.is_empty()) {
        Some(_) if annotation(MIGRATED_TO).is_some() => return Reclaim::Leave,
        Some(provisioner) if provisioner.starts_with(IN_TREE) => {
            return refuse(format!("no volume plugin matched name: {provisioner}"));
        }
        Some(_) => return Reclaim::Leave,
        None => {}
    }
    let source = volume.spec.as_ref().and_then(|spec| spec.host_path.as_ref());
    match source {
        Some(source) if is_scratch(&source.path) => Reclaim::Remove(source.path.clone().into()),
        Some(source) => refuse(format!(
            "host_path deleter only supports /tmp/.+ but received provided {}",
            source.path
        )),
        None => refuse(format!(
            "error getting deleter volume plugin for volume {:?}: no deletable volume plugin matched",
            volume.name_any()
        )),
    }
}

/// Whether the path is in `/tmp`, and not that itself.
fn is_scratch(path: &str) -> bool {
    let path = Path::new(path);
    let inside = path.strip_prefix("/tmp").is_ok_and(|rest| rest.components().next().is_some());
    inside && path.components().all(|part| part != Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nobody_deletes_what_has_no_deleter() {
        let refused = |message: &str| Reclaim::Refuse("VolumeFailedDelete", message.to_owned());
        let nfs = || json!({"nfs": {"server": "s", "path": "/"}});
        let path = |path: &str| json!({"hostPath": {"path": path}});
        let none = "error getting deleter volume plugin for volume \"v\": \
                    no deletable volume plugin matched";
        let only = |path: &str| {
            refused(&format!(
                "host_path deleter only supports /tmp/.+ but received provided {path}"
            ))
        };
        let by = |who: &str| json!({PROVISIONED_BY: who});
        let moved = json!({PROVISIONED_BY: "kubernetes.io/gce-pd", MIGRATED_TO: "pd.csi.example"});
        let gone = "no volume plugin matched name: kubernetes.io/gce-pd";
        for (policy, source, annotations, want) in [
            ("Retain", nfs(), json!({}), Reclaim::Leave),
            ("Delete", nfs(), json!({}), refused(none)),
            ("Delete", nfs(), by(""), refused(none)),
            ("Delete", nfs(), by("example.com/disks"), Reclaim::Leave),
            ("Delete", nfs(), by("kubernetes.io/gce-pd"), refused(gone)),
            ("Delete", nfs(), moved, Reclaim::Leave),
            ("Delete", path("/tmp/data/a"), json!({}), Reclaim::Remove("/tmp/data/a".into())),
            ("Delete", path("/tmp/"), json!({}), only("/tmp/")),
            ("Delete", path("/tmp/../etc"), json!({}), only("/tmp/../etc")),
            ("Delete", path("/tmpfs/a"), json!({}), only("/tmpfs/a")),
            ("Delete", path("/var/lib/data"), json!({}), only("/var/lib/data")),
            (
                "Recycle",
                nfs(),
                json!({}),
                Reclaim::Refuse(
                    "VolumeFailedRecycle",
                    "No recycler plugin found for the volume!".to_owned(),
                ),
            ),
        ] {
            let mut spec: Value = source;
            spec["persistentVolumeReclaimPolicy"] = policy.into();
            let volume = json!({"metadata": {"name": "v", "annotations": annotations},
                "spec": spec});
            let volume: PersistentVolume = serde_json::from_value(volume.clone()).unwrap();
            assert_eq!(reclaim(&volume), want, "{policy} {annotations} {spec}");
        }
    }
}
