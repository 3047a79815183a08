//! What to do about a claim or a volume. Pure.
//!
//! A claim and a volume are bound when each names the other and both say `Bound`. Four writes lead
//! there, in an order that a stop in between can be seen from either side: the volume names the
//! claim, the volume's phase, the claim names the volume, the claim's phase.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use super::facts::{self, BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONED_BY, SELECTED_NODE};
use super::matching;

/// Something to tell about a claim or volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Event {
    fn normal(reason: &'static str, message: String) -> Self {
        Self { warning: false, reason, message }
    }

    fn warning(reason: &'static str, message: String) -> Self {
        Self { warning: true, reason, message }
    }
}

/// What to do about a claim.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ClaimStep {
    /// Bring the binding to this volume to its end.
    Bind(Arc<PersistentVolume>),
    /// It names no class: give it this one.
    Classify(String),
    /// Ask this provisioner for a volume.
    Provision(String),
    /// There is no volume yet.
    Pending(Option<Event>),
    /// Its volume is gone, with the data.
    Lost(Event),
}

/// What to do about a volume.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum VolumeStep {
    /// It is free.
    Available,
    /// Its claim has it.
    Bound,
    /// Its claim is still to be bound to it.
    Wait,
    /// Its claim is gone.
    Release,
    /// The claim it was chosen for has another: forget the claim.
    Unbind,
}

/// What is known besides the claim.
pub(super) struct Around<'a> {
    pub(super) volumes: &'a [Arc<PersistentVolume>],
    /// The claim's class, if it exists.
    pub(super) class: Option<&'a StorageClass>,
    /// The class for claims that name none.
    pub(super) default_class: Option<&'a str>,
    /// Pods that use the claim.
    pub(super) pods: &'a [Arc<Pod>],
}

/// Decides about a claim.
pub(super) fn claim(claim: &PersistentVolumeClaim, around: &Around<'_>) -> ClaimStep {
    if claim.annotations().contains_key(BIND_COMPLETED) {
        bound(claim, around.volumes)
    } else if facts::volume_name(claim).is_empty() {
        unbound(claim, around)
    } else {
        asked_for(claim, around.volumes)
    }
}

fn named<'a>(
    volumes: &'a [Arc<PersistentVolume>],
    name: &str,
) -> Option<&'a Arc<PersistentVolume>> {
    volumes.iter().find(|volume| volume.metadata.name.as_deref() == Some(name))
}

fn bound(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>]) -> ClaimStep {
    let lost = |reason, message: &str| ClaimStep::Lost(Event::warning(reason, message.to_owned()));
    let name = facts::volume_name(claim);
    if name.is_empty() {
        let message =
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lost("ClaimLost", message);
    }
    match named(volumes, &name) {
        None => lost(
            "ClaimLost",
            "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
        ),
        Some(volume) if facts::claim_ref(volume).is_none() || facts::is_for(volume, claim) => {
            ClaimStep::Bind(volume.clone())
        }
        Some(_) => {
            let message = "Two claims are bound to the same volume, this one is bound incorrectly";
            lost("ClaimMisbound", message)
        }
    }
}

fn unbound(claim: &PersistentVolumeClaim, around: &Around<'_>) -> ClaimStep {
    let waits = facts::waits_for_consumer(around.class);
    let placed = claim.annotations().contains_key(SELECTED_NODE);
    if let Some(volume) = matching::best(claim, around.volumes, waits) {
        return ClaimStep::Bind(volume);
    }
    if let Some(class) = around.default_class.filter(|_| !facts::has_class(claim)) {
        return ClaimStep::Classify(class.to_owned());
    }
    let pending = |event| ClaimStep::Pending(Some(event));
    if waits && !placed {
        let unscheduled: Vec<String> = around
            .pods
            .iter()
            .filter(|pod| api::pod::node_name(pod).is_none())
            .map(|pod| pod.name_any())
            .collect();
        if unscheduled.is_empty() {
            let message = "waiting for first consumer to be created before binding";
            return pending(Event::normal("WaitForFirstConsumer", message.to_owned()));
        }
        let message = format!("waiting for pod {} to be scheduled", unscheduled.join(","));
        return pending(Event::normal("WaitForPodScheduled", message));
    }
    let class = facts::claim_class(claim);
    if class.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        return pending(Event::normal("FailedBinding", message.to_owned()));
    }
    match around.class {
        None => {
            let message = format!("storageclass.storage.k8s.io {class:?} not found");
            pending(Event::warning("ProvisioningFailed", message))
        }
        Some(found) if found.provisioner == "kubernetes.io/no-provisioner" => {
            let message = format!("no volume plugin matched name: {}", found.provisioner);
            pending(Event::warning("ProvisioningFailed", message))
        }
        Some(found) => ClaimStep::Provision(found.provisioner.clone()),
    }
}

/// The claim names a volume that is not bound to it yet.
fn asked_for(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>]) -> ClaimStep {
    let name = facts::volume_name(claim);
    let Some(volume) = named(volumes, &name) else { return ClaimStep::Pending(None) };
    if facts::is_for(volume, claim) {
        return ClaimStep::Bind(volume.clone());
    }
    let event = if facts::claim_ref(volume).is_some() {
        let message = format!("volume {name:?} already bound to a different claim.");
        Event::warning("FailedBinding", message)
    } else if let Some(why) = matching::problem(claim, volume) {
        let message = format!("Cannot bind to requested volume {name:?}: {why}");
        Event::warning("VolumeMismatch", message)
    } else {
        return ClaimStep::Bind(volume.clone());
    };
    ClaimStep::Pending(Some(event))
}

/// Decides about a volume. `claim` is the one of that name, whatever its uid.
pub(super) fn volume(
    volume: &PersistentVolume,
    claim: Option<&PersistentVolumeClaim>,
) -> VolumeStep {
    let Some(reference) = facts::claim_ref(volume) else { return VolumeStep::Available };
    let uid = reference.uid.as_deref().unwrap_or_default();
    if uid.is_empty() {
        // Meant for a claim that may come.
        return VolumeStep::Available;
    }
    // Another claim of that name is another claim.
    let Some(claim) = claim.filter(|claim| claim.metadata.uid.as_deref() == Some(uid)) else {
        return VolumeStep::Release;
    };
    let has = facts::volume_name(claim);
    if has.is_empty() {
        VolumeStep::Wait
    } else if volume.metadata.name.as_deref() == Some(has.as_str()) {
        VolumeStep::Bound
    } else if volume.annotations().contains_key(PROVISIONED_BY)
        && reclaim_policy(volume) == "Delete"
    {
        VolumeStep::Release
    } else {
        VolumeStep::Unbind
    }
}

/// What becomes of the volume when its claim is gone.
pub(super) fn reclaim_policy(volume: &PersistentVolume) -> String {
    let policy = volume.spec.as_ref().and_then(|s| s.persistent_volume_reclaim_policy.clone());
    policy.unwrap_or_else(|| "Retain".to_owned())
}

/// Whether the user chose the claim, rather than the controller.
pub(super) fn is_chosen_by_user(volume: &PersistentVolume) -> bool {
    !volume.annotations().contains_key(BOUND_BY_CONTROLLER)
}

#[cfg(test)]
mod tests;
