//! Sources of volumes that no node can mount any more, and claims made for a pod.

use serde_json::Value;

use super::items;
use crate::field::Path;
use crate::strategy::core::persistent_volume_claim;

/// The field of a volume, the name under which it is warned about, and since when it is old.
const OLD: &[(&str, &str, &str)] = &[
    (
        "photonPersistentDisk",
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// About the sources of the volumes of a spec.
pub(super) fn of_sources(spec: &Value, path: &Path) -> Vec<String> {
    let mut told = Vec::new();
    for (n, volume) in items(&spec["volumes"]).enumerate() {
        let at = || path.child("volumes").index(n);
        let given = volume.as_object().into_iter().flatten().filter(|(_, part)| !part.is_null());
        for (field, _) in given {
            if let Some((_, shown, message)) = OLD.iter().find(|(old, _, _)| old == field) {
                told.push(format!("{}: {message}", at().child(shown)));
            }
        }
        let claim = &volume["ephemeral"]["volumeClaimTemplate"]["spec"];
        if !claim.is_null() {
            let at = at().child("ephemeral.volumeClaimTemplate.spec");
            told.extend(persistent_volume_claim::warnings_of_spec(claim, &at));
        }
    }
    told
}
