//! Sources of volumes that no node can mount any more, and claims made for a pod.

use serde_json::Value;

use super::items;
use crate::field::Path;
use crate::strategy::core::persistent_volume_claim;
use crate::strategy::volume_source;

/// About the sources of the volumes of a spec.
pub(super) fn of_sources(spec: &Value, path: &Path) -> Vec<String> {
    let mut told = Vec::new();
    for (n, volume) in items(&spec["volumes"]).enumerate() {
        let at = || path.child("volumes").index(n);
        let given = volume.as_object().into_iter().flatten().filter(|(_, part)| !part.is_null());
        for (field, _) in given {
            told.extend(volume_source::deprecation(field, &at()));
        }
        let claim = &volume["ephemeral"]["volumeClaimTemplate"]["spec"];
        if !claim.is_null() {
            let at = at().child("ephemeral.volumeClaimTemplate.spec");
            told.extend(persistent_volume_claim::warnings_of_spec(claim, &at));
        }
    }
    told
}
