//! Claims as volumes: which folder of this node stands behind a `persistentVolumeClaim` or `ephemeral`
//! volume, and why none does yet. Pure.
//!
//! The pod's folder keeps a symbolic link to the folder: it is there as long as the pod is, so that a
//! container started later needs no answer from the API server, and removing it touches no data.
//! The words are the kubelet's. Source: `pkg/kubelet/volumemanager/populator`.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, Node, PersistentVolume, PersistentVolumeClaim, Pod, Volume,
};

/// A volume of a pod that a claim stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimVolume {
    /// The volume's name in the pod.
    pub(crate) volume: String,
    /// The claim's name in the pod's namespace.
    pub(crate) claim: String,
    /// The claim was made for the pod and goes with it.
    pub(crate) ephemeral: bool,
    /// No container may write to it.
    pub(crate) read_only: bool,
}

/// What is behind a claim.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Backing {
    /// A path of the host, checked or made as its type says.
    HostPath(HostPathVolumeSource),
    /// A folder that must be there, and that gets the pod's fsGroup.
    Local(PathBuf),
}

/// Why there is nothing behind a claim (yet).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error("failed to fetch PVC from API server: {message}")]
    ClaimUnread { message: String },
    #[error("PVC is being deleted")]
    Deleted,
    #[error("PVC is not bound")]
    Unbound,
    #[error("PVC has empty pvc.Spec.VolumeName")]
    NoVolume,
    #[error("PVC {claim} was not created for pod {pod} (pod is not owner)")]
    NotOwner { claim: String, pod: String },
    #[error("failed to fetch PV {volume} from API server: {message}")]
    VolumeUnread { volume: String, message: String },
    #[error("found PV object {volume} with an unexpected pv.Spec.ClaimRef.UID")]
    OtherClaim { volume: String },
    #[error("volume {volume} has volumeMode {mode}, but is specified in {list}")]
    WrongList { volume: String, mode: String, list: &'static str },
    #[error(
        "volume {volume} has volumeMode Block, which this node cannot give: claim volumeMode Filesystem"
    )]
    Block { volume: String },
    #[error("failed to fetch Node {node} from API server: {message}")]
    NodeUnread { node: String, message: String },
    #[error("no matching NodeSelectorTerms")]
    Elsewhere { volume: String },
    #[error("PV {volume} is neither hostPath nor local, and this node mounts no others")]
    Unsupported { volume: String },
}

impl ClaimError {
    /// The text of the pod's `FailedMount` event.
    pub(crate) fn event(&self, namespace: &str, of: &ClaimVolume) -> String {
        if let Self::Elsewhere { volume } = self {
            return format!("MountVolume.NodeAffinity check failed for volume {volume:?} : {self}");
        }
        let (name, claim) = (&of.volume, &of.claim);
        format!(
            "Unable to attach or mount volumes: unmounted volumes=[{name}], unattached volumes=[], \
             failed to process volumes=[{name}]: error processing PVC {namespace}/{claim}: {self}"
        )
    }
}

/// The volumes of the pod that are claims.
pub(crate) fn of_pod(pod: &Pod) -> Vec<ClaimVolume> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| of_volume(pod, volume)).collect()
}

/// The claim that a volume is.
pub(crate) fn of_volume(pod: &Pod, volume: &Volume) -> Option<ClaimVolume> {
    let name = volume.name.clone();
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(ClaimVolume {
            volume: name,
            claim: source.claim_name.clone(),
            ephemeral: false,
            read_only: source.read_only == Some(true),
        });
    }
    volume.ephemeral.as_ref()?;
    let claim = format!("{}-{name}", pod.metadata.name.as_deref().unwrap_or_default());
    Some(ClaimVolume { volume: name, claim, ephemeral: true, read_only: false })
}

/// The name of the PersistentVolume that the claim is bound to.
pub(crate) fn bound(
    pod: &Pod,
    of: &ClaimVolume,
    claim: &PersistentVolumeClaim,
) -> Result<String, ClaimError> {
    let mut owners = claim.metadata.owner_references.iter().flatten();
    let owned = owners.any(|owner| {
        owner.controller == Some(true) && Some(&owner.uid) == pod.metadata.uid.as_ref()
    });
    if of.ephemeral && !owned {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let pod = pod.metadata.name.as_deref().unwrap_or_default();
        return Err(ClaimError::NotOwner {
            claim: format!("{namespace}/{}", of.claim),
            pod: format!("{namespace}/{pod}"),
        });
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(ClaimError::Deleted);
    }
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase != Some("Bound") {
        return Err(ClaimError::Unbound);
    }
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
    if name.is_empty() { Err(ClaimError::NoVolume) } else { Ok(name) }
}

/// Whether the containers use the volume as what it is: a file system.
pub(crate) fn check_mode(
    pod: &Pod,
    of: &ClaimVolume,
    volume: &PersistentVolume,
) -> Result<(), ClaimError> {
    let spec = pod.spec.clone().unwrap_or_default();
    let inits = spec.init_containers.unwrap_or_default();
    let containers: Vec<_> = inits.iter().chain(&spec.containers).collect();
    let mounted = containers
        .iter()
        .any(|container| container.volume_mounts.iter().flatten().any(|m| m.name == of.volume));
    let attached = containers
        .iter()
        .any(|container| container.volume_devices.iter().flatten().any(|d| d.name == of.volume));
    let mode = volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    let mode = mode.unwrap_or("Filesystem");
    let wrong = |list| {
        Err(ClaimError::WrongList { volume: of.volume.clone(), mode: mode.to_owned(), list })
    };
    match mode {
        "Block" if mounted => wrong("volumeMounts"),
        "Block" => Err(ClaimError::Block { volume: of.volume.clone() }),
        _ if attached => wrong("volumeDevices"),
        _ => Ok(()),
    }
}

/// What is behind the claim on this node.
pub(crate) fn backing(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
    node: &Node,
) -> Result<Backing, ClaimError> {
    let name = volume.metadata.name.clone().unwrap_or_default();
    let spec = volume.spec.clone().unwrap_or_default();
    let claimed_by = spec.claim_ref.and_then(|reference| reference.uid);
    if claimed_by != claim.metadata.uid {
        return Err(ClaimError::OtherClaim { volume: name });
    }
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let node = node.metadata.name.as_deref().unwrap_or_default();
    let wanted = spec.node_affinity.and_then(|affinity| affinity.required);
    if wanted.is_some_and(|wanted| !api::node_selector::matches(&wanted, node, &labels)) {
        return Err(ClaimError::Elsewhere { volume: name });
    }
    if let Some(source) = spec.host_path {
        return Ok(Backing::HostPath(source));
    }
    let local = spec.local.map(|source| Backing::Local(PathBuf::from(source.path)));
    local.ok_or(ClaimError::Unsupported { volume: name })
}

#[cfg(test)]
mod tests;
