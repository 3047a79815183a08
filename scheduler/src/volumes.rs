//! The volumes of pods: what the scheduler knows of claims, volumes and storage classes, which of them
//! go together on a node, and writing it down.
//!
//! [`objects`] reduces the API's objects, [`Volumes`] keeps them together with what was decided and not
//! yet seen, [`find`] matches a pod's claims with a node (pure), [`bind`] writes the outcome and waits
//! until the volumes are there. The plugins that use it are `VolumeBinding`, `VolumeZone`,
//! `VolumeRestrictions` and `NodeVolumeLimits`.
//!
//! A claim whose class waits for its first pod gets a free volume that the node reaches, or is told the
//! node by the annotation `volume.kubernetes.io/selected-node`, and a provisioner makes its volume
//! there. The pod is bound when all its claims are.
//!
//! Source: <https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode>,
//! `pkg/scheduler/framework/plugins/volumebinding`.

pub(crate) mod bind;
mod disks;
pub(crate) mod find;
mod known;
pub mod objects;

use k8s_openapi::api::core::v1::Pod;

pub use disks::Disk;
pub(crate) use disks::{conflict, disks};
pub use find::Plan;
pub use known::Volumes;

/// Annotation of a claim: the node where its first pod will run.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Annotation of a claim: it and its volume are bound for good.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of a volume: its claim was chosen for it, not by a person.
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// The provisioner of classes whose volumes are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// A claim that a pod's volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// `namespace/name`.
    pub id: Box<str>,
    /// It is made for the pod.
    pub ephemeral: bool,
}

impl Claim {
    /// Its name in its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.split_once('/').map_or(&*self.id, |(_, name)| name)
    }
}

/// The claims that the pod's volumes are.
pub(crate) fn claims(pod: &Pod) -> Box<[Claim]> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let claim = |volume: &k8s_openapi::api::core::v1::Volume| {
        if let Some(source) = &volume.persistent_volume_claim {
            let id = format!("{namespace}/{}", source.claim_name).into();
            return Some(Claim { id, ephemeral: false });
        }
        volume.ephemeral.as_ref()?;
        let id = format!("{namespace}/{pod_name}-{}", volume.name).into();
        Some(Claim { id, ephemeral: true })
    };
    volumes.filter_map(claim).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_of_a_pod() {
        let volumes = json!([
            {"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "b", "emptyDir": {}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]);
        let pod = json!({"metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [], "volumes": volumes}});
        let claim = |id: &str, ephemeral| Claim { id: id.into(), ephemeral };
        let found = claims(&serde_json::from_value(pod).unwrap());
        assert_eq!(*found, [claim("n/c", false), claim("n/p-e", true)]);
        assert_eq!(found[1].name(), "p-e");
    }
}
