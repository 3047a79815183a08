//! Devices for pods: what the scheduler knows of claims, device classes and the devices of nodes, which
//! devices go to which claim, and writing it down.
//!
//! ```text
//! ResourceSlice: the devices that a node reaches ─┐
//! DeviceClass: which devices are of a kind ───────┼─► allocate (pure) ─► reserve ─► write
//! ResourceClaim: which devices a pod asks for ────┘    a node's devices   held      claim's status
//! ```
//!
//! [`known`] keeps the objects and what was decided and is not yet seen, [`pools`] gathers what a node
//! reaches, [`allocate`] searches devices for all claims of a pod on one node, [`outcome`] words what was
//! found as the claim's allocation, [`write`] puts it there together with the reservation for the pod.
//! The plugin is [`crate::plugins::DynamicResources`].
//!
//! A device goes to one claim at a time (administrators may look at it besides), so one that was decided
//! counts as taken from that moment: until the watch shows the claim, or it is known that nothing was
//! written.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/>,
//! k8s.io/dynamic-resource-allocation/structured.

pub(crate) mod allocate;
mod constraint;
mod counters;
mod known;
pub(crate) mod outcome;
pub(crate) mod pools;
mod requests;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use std::fmt;
use std::sync::Arc;

use api::resource_claim;
pub use api::resource_claim::Named;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::ResourceClaim;
pub use known::{Devices, News, Slice};
use kube::ResourceExt;

use crate::pod::PodInfo;

/// Which device: the names of driver, pool and device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId {
    /// Name of the driver.
    pub driver: Arc<str>,
    /// Name of the pool.
    pub pool: Arc<str>,
    /// Name of the device in its pool.
    pub device: Arc<str>,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.driver, self.pool, self.device)
    }
}

/// `namespace/name` of a claim.
pub(crate) fn id(claim: &ResourceClaim) -> String {
    format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any())
}

/// The claims of a pod, in the order of `spec.resourceClaims`.
pub(crate) fn named(pod: &Pod) -> Box<[Named]> {
    resource_claim::entries(pod).map(|entry| resource_claim::named(pod, entry)).collect()
}

/// The claims that a pod uses.
///
/// # Errors
/// Why one of them cannot be used now, in Kubernetes' words.
pub(crate) fn claims<'a>(
    pod: &PodInfo,
    devices: &'a Devices,
) -> Result<Vec<&'a Arc<ResourceClaim>>, String> {
    let (namespace, of) = (&pod.namespace, &pod.name);
    let mut all = Vec::with_capacity(pod.demands.resource_claims.len());
    for named in &pod.demands.resource_claims {
        let (name, own) = match named {
            Named::None => continue,
            Named::NotYet => {
                return Err(format!("pod \"{namespace}/{of}\": ResourceClaim not created yet"));
            }
            Named::Unsupported => {
                return Err(format!(
                    "pod \"{namespace}/{of}\": none of the supported fields are set"
                ));
            }
            Named::Claim { name, own } => (name, *own),
        };
        let id = format!("{namespace}/{name}");
        let Some(claim) = devices.claim(&id) else {
            return Err(format!("could not find ResourceClaim {id:?}"));
        };
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("resourceclaim {name:?} is being deleted"));
        }
        if own && !api::owner::is_controlled_by(&claim.metadata, &pod.uid.0) {
            return Err(format!(
                "ResourceClaim {id} was not created for pod {namespace}/{of} (pod is not owner)"
            ));
        }
        all.push(claim);
    }
    Ok(all)
}

/// Whether a pod uses the claim with this id, `namespace/name`.
pub(crate) fn uses(pod: &PodInfo, id: &str) -> bool {
    let Some((namespace, name)) = id.split_once('/') else { return false };
    let mut claims = pod.demands.resource_claims.iter();
    namespace == pod.namespace
        && claims.any(|named| matches!(named, Named::Claim { name: used, .. } if used == name))
}
