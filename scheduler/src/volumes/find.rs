//! Which volumes a pod's claims get on a node. Pure.
//!
//! Source: `pkg/scheduler/framework/plugins/volumebinding` (FindPodVolumes),
//! `k8s.io/component-helpers/storage/volume` (FindMatchingVolume).

use std::collections::HashSet;

use k8s_openapi::api::core::v1::TopologySelectorTerm;

use super::NO_PROVISIONER;
use super::known::Volumes;
use super::objects::{ClaimInfo, VolumeInfo};
use crate::affinity::Labels;
use crate::pod::PodInfo;

const AFFINITY_CONFLICT: &str = "node(s) didn't match PersistentVolume's node affinity";
const NO_VOLUME: &str = "node(s) didn't find available persistent volumes to bind";
const NO_ROOM: &str = "node(s) did not have enough free storage";
const NOT_THERE: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
const IMMEDIATE: &str = "pod has unbound immediate PersistentVolumeClaims";

/// What is done for a pod's claims on a node. Claims are named `namespace/name`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Claims and the free volumes that become theirs.
    pub takes: Vec<(String, String)>,
    /// Claims whose volumes are made there.
    pub provisions: Vec<String>,
    /// Claims with a volume that says it is for them: the two will be bound.
    pub awaits: Vec<String>,
}

impl Plan {
    /// Whether everything is bound already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.takes.is_empty() && self.provisions.is_empty() && self.awaits.is_empty()
    }
}

/// The claims of a pod, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Claims<'a> {
    pub(crate) bound: Vec<&'a ClaimInfo>,
    /// Not bound; their class waits for the pod. The smallest first.
    pub(crate) delayed: Vec<&'a ClaimInfo>,
}

/// Sorts the claims of a pod out.
///
/// # Errors
/// Why no node can run the pod, in Kubernetes' words.
pub(crate) fn claims<'a>(pod: &PodInfo, volumes: &'a Volumes) -> Result<Claims<'a>, String> {
    let mut sorted = Claims::default();
    let mut immediate = false;
    for of in &pod.claims {
        let name = of.name();
        let Some(claim) = volumes.claim(&of.id) else {
            return Err(if of.ephemeral {
                format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
                )
            } else {
                format!("persistentvolumeclaim {name:?} not found")
            });
        };
        if claim.lost {
            let volume = &claim.volume;
            return Err(format!(
                "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
            ));
        }
        if claim.deleting {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        if of.ephemeral && claim.owner.as_deref() != Some(&*pod.uid.0) {
            return Err(format!(
                "PVC {} was not created for pod {}/{} (pod is not owner)",
                of.id, pod.namespace, pod.name
            ));
        }
        if claim.bound {
            sorted.bound.push(claim);
        } else if claim.volume.is_empty()
            && volumes.class(&claim.class).is_some_and(|class| class.delayed)
        {
            sorted.delayed.push(claim);
        } else {
            immediate = true;
        }
    }
    if immediate {
        return Err(IMMEDIATE.to_owned());
    }
    sorted.delayed.sort_by(|a, b| (a.size, &a.id).cmp(&(b.size, &b.id)));
    Ok(sorted)
}

/// What is to be done for the claims on a node.
///
/// # Errors
/// The reasons why the node cannot have them, in Kubernetes' words.
pub(crate) fn find(
    claims: &Claims<'_>,
    node: &str,
    labels: &Labels,
    volumes: &Volumes,
) -> Result<Plan, Vec<&'static str>> {
    let mut reasons = Vec::new();
    for claim in &claims.bound {
        let Some(volume) = volumes.volume(&claim.volume) else {
            reasons.push(NOT_THERE);
            break;
        };
        if !reaches(volume, node, labels) {
            reasons.push(AFFINITY_CONFLICT);
            break;
        }
    }
    match unbound(&claims.delayed, node, labels, volumes) {
        Ok(plan) if reasons.is_empty() => Ok(plan),
        Ok(_) => Err(reasons),
        Err(reason) => {
            reasons.push(reason);
            Err(reasons)
        }
    }
}

fn unbound(
    claims: &[&ClaimInfo],
    node: &str,
    labels: &Labels,
    volumes: &Volumes,
) -> Result<Plan, &'static str> {
    let mut plan = Plan::default();
    let mut chosen = HashSet::new();
    for claim in claims {
        match volumes.selected(claim) {
            Some(selected) if selected != node => return Err(NO_VOLUME),
            Some(_) => plan.provisions.push(claim.id.clone()),
            None => match matching(claim, node, labels, volumes, &chosen) {
                Found::Meant => plan.awaits.push(claim.id.clone()),
                Found::Free(volume) => {
                    chosen.insert(volume.name.as_str());
                    plan.takes.push((claim.id.clone(), volume.name.clone()));
                }
                Found::Nothing => plan.provisions.push(claim.id.clone()),
            },
        }
    }
    for claim in claims.iter().filter(|claim| plan.provisions.contains(&claim.id)) {
        let Some(class) = volumes.class(&claim.class) else { return Err(NO_VOLUME) };
        if matches!(class.provisioner.as_str(), "" | NO_PROVISIONER)
            || !allowed(&class.topologies, labels)
        {
            return Err(NO_VOLUME);
        }
        if let Some(mut room) = volumes.room(&class.provisioner, &claim.class)
            && !room.any(|capacity| {
                capacity.largest.is_some_and(|largest| largest >= claim.size)
                    && capacity.nodes.as_ref().is_some_and(|nodes| nodes.matches(labels))
            })
        {
            return Err(NO_ROOM);
        }
    }
    Ok(plan)
}

/// What there is for a claim.
#[derive(Debug, PartialEq)]
enum Found<'a> {
    /// A volume that says it is for the claim.
    Meant,
    /// The smallest free volume that suits.
    Free(&'a VolumeInfo),
    Nothing,
}

fn matching<'a>(
    claim: &ClaimInfo,
    node: &str,
    labels: &Labels,
    volumes: &'a Volumes,
    chosen: &HashSet<&str>,
) -> Found<'a> {
    let mut smallest: Option<&VolumeInfo> = None;
    for volume in volumes.volumes().filter(|volume| !chosen.contains(volume.name.as_str())) {
        if !is_large_enough(volume, claim) {
            continue;
        }
        let within = reaches(volume, node, labels);
        if is_for(volume, claim, volumes) {
            // It has no other: on a node that cannot reach it there is nothing.
            return if within { Found::Meant } else { Found::Nothing };
        }
        let free = volume.available
            && volume.claimed.is_none()
            && volumes.taken_for(&volume.name).is_none();
        if free
            && within
            && volume.class == claim.class
            && claim.selector.as_ref().is_none_or(|wanted| wanted.matches(&volume.labels))
            && claim.modes.iter().all(|mode| volume.modes.contains(mode))
            && smallest.is_none_or(|other| volume.size < other.size)
        {
            smallest = Some(volume);
        }
    }
    smallest.map_or(Found::Nothing, Found::Free)
}

fn is_for(volume: &VolumeInfo, claim: &ClaimInfo, volumes: &Volumes) -> bool {
    let shown = volume
        .claimed
        .as_ref()
        .is_some_and(|(id, uid)| *id == claim.id && (uid.is_empty() || *uid == claim.uid));
    shown || volumes.taken_for(&volume.name) == Some(&claim.id)
}

/// Whether it could be the claim's at all.
fn is_large_enough(volume: &VolumeInfo, claim: &ClaimInfo) -> bool {
    volume.size >= claim.size
        && volume.block == claim.block
        && volume.attributes == claim.attributes
        && !volume.deleting
}

/// Whether the node is among those that reach the volume.
fn reaches(volume: &VolumeInfo, node: &str, labels: &Labels) -> bool {
    let wanted = volume.affinity.as_ref();
    wanted.is_none_or(|wanted| api::node_selector::matches(wanted, node, labels))
}

/// Whether a volume may be made for a node with these labels. A term without expressions allows none.
fn allowed(topologies: &[TopologySelectorTerm], labels: &Labels) -> bool {
    let holds = |term: &TopologySelectorTerm| {
        let wanted = term.match_label_expressions.as_deref().unwrap_or_default();
        let has = |key: &str, values: &[String]| {
            labels.get(key).is_some_and(|value| values.contains(value))
        };
        !wanted.is_empty() && wanted.iter().all(|one| has(&one.key, &one.values))
    };
    topologies.is_empty() || topologies.iter().any(holds)
}

#[cfg(test)]
mod tests;
