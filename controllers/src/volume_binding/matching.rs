//! Which volume suits a claim.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;

use super::facts::{self, capacity, claim_spec, is_for, requested, volume_spec};
use crate::workload::claim::selector;

/// The volume meant for the claim, or else the smallest free one that suits. `wait`: only the one
/// that is meant for it, since the scheduler chooses among the others.
pub(super) fn best(
    claim: &PersistentVolumeClaim,
    volumes: &[Arc<PersistentVolume>],
    wait: bool,
) -> Option<Arc<PersistentVolume>> {
    if let Some(meant) = volumes.iter().find(|volume| is_for(volume, claim)) {
        return problem(claim, meant).is_none().then(|| meant.clone());
    }
    if wait {
        return None;
    }
    let free = volumes.iter().filter(|volume| {
        facts::phase(volume) == "Available"
            && facts::claim_ref(volume).is_none()
            && volume.metadata.deletion_timestamp.is_none()
            && selects(claim, volume)
            && problem(claim, volume).is_none()
    });
    free.min_by_key(|volume| (capacity(volume), volume.name_any())).cloned()
}

fn selects(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    wanted.is_none_or(|wanted| selector(wanted).matches(volume.labels()))
}

/// Why the volume is no volume for the claim.
pub(super) fn problem(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Option<&'static str> {
    let (wants, has) = (claim_spec(claim), volume_spec(volume));
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let modes = has.access_modes.clone().unwrap_or_default();
    if requested(claim) > capacity(volume) {
        Some("requested PV is too small")
    } else if facts::claim_class(claim) != facts::volume_class(volume) {
        Some("storageClassName does not match")
    } else if wants.volume_attributes_class_name.unwrap_or_default()
        != has.volume_attributes_class_name.unwrap_or_default()
    {
        Some("volumeAttributesClassName does not match")
    } else if mode(&wants.volume_mode) != mode(&has.volume_mode) {
        Some("incompatible volumeMode")
    } else if wants.access_modes.iter().flatten().any(|mode| !modes.contains(mode)) {
        Some("incompatible accessMode")
    } else {
        None
    }
}
