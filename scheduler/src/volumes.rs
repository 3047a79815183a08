//! The claims of a pod that is about to be bound.
//!
//! A claim whose class waits for its first pod gets a free volume of the node ([`free`]), or is told the
//! node by the annotation `volume.kubernetes.io/selected-node`, and a provisioner makes its volume
//! there. The pod is bound when all its claims are. A claim that is not there yet, or whose volume is on another node, sends
//! the pod back to the queue. [`judge`] decides, [`ready`] reads and writes.
//!
//! Source: `pkg/scheduler/framework/plugins/volumebinding`.

mod free;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use self::free::Found;
use crate::bind::{BindError, finish};
use crate::pod::PodInfo;

/// Annotation of a claim: the node where its first pod will run.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Annotation of a volume: its claim was chosen for it, not by a person.
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// The provisioner of classes whose volumes are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
/// How long to wait for a volume to be made before the pod is tried anew, as in Kubernetes.
const BOUND_WITHIN: Duration = Duration::from_secs(600);

/// A claim that a pod's volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name in the pod's namespace.
    pub name: String,
    /// It is made for the pod.
    pub ephemeral: bool,
}

/// The claims that the pod's volumes are.
pub(crate) fn claims(pod: &Pod) -> Box<[Claim]> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let claim = |volume: &k8s_openapi::api::core::v1::Volume| {
        if let Some(source) = &volume.persistent_volume_claim {
            return Some(Claim { name: source.claim_name.clone(), ephemeral: false });
        }
        volume.ephemeral.as_ref()?;
        Some(Claim { name: format!("{pod_name}-{}", volume.name), ephemeral: true })
    };
    volumes.filter_map(claim).collect()
}

/// The node that was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// What a claim needs before its pod can be bound.
#[derive(Debug, PartialEq, Eq)]
enum Verdict<'a> {
    /// It is bound to this volume, which must be within the node's reach.
    Bound(&'a str),
    /// Its class says when its volume is made.
    Unbound,
    /// The pod cannot run.
    Impossible(String),
}

fn judge<'a>(of: &Claim, claim: Option<&'a PersistentVolumeClaim>) -> Verdict<'a> {
    let name = &of.name;
    let Some(claim) = claim else {
        return Verdict::Impossible(if of.ephemeral {
            format!(
                "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
            )
        } else {
            format!("persistentvolumeclaim {name:?} not found")
        });
    };
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or("");
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        return Verdict::Impossible(format!(
            "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
        ));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Verdict::Impossible(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    if is_bound(claim) { Verdict::Bound(volume) } else { Verdict::Unbound }
}

/// Whether claim and volume are bound for good.
fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref());
    let annotations = claim.metadata.annotations.as_ref();
    named.is_some_and(|name| !name.is_empty())
        && annotations.is_some_and(|all| all.contains_key("pv.kubernetes.io/bind-completed"))
}

fn selected(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.metadata.annotations.as_ref()?.get(SELECTED_NODE).map(String::as_str)
}

fn reaches(volume: &PersistentVolume, node: &Chosen) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|wanted| api::node_selector::matches(wanted, &node.name, &node.labels))
}

/// Waits until every claim of the pod has a volume that the node reaches.
///
/// # Errors
/// [`BindError::Unschedulable`] if a claim has none and will get none without further ado, others for
/// requests that failed.
pub(crate) async fn ready(client: &Client, pod: &PodInfo, node: &Chosen) -> Result<(), BindError> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &pod.namespace);
    let mut awaited = Vec::new();
    for of in &pod.claims {
        let found = finish("lookup of a claim", pod, claims.get_opt(&of.name)).await?;
        match judge(of, found.as_ref()) {
            Verdict::Impossible(reason) => return Err(BindError::Unschedulable { reason }),
            Verdict::Bound(volume) => within_reach(client, pod, node, volume).await?,
            Verdict::Unbound => {
                let found = found.unwrap_or_default();
                let class = class_of(client, pod, &found).await?;
                let class = class.filter(|class| {
                    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
                });
                let Some(class) = class else {
                    let reason = "pod has unbound immediate PersistentVolumeClaims".to_owned();
                    return Err(BindError::Unschedulable { reason });
                };
                awaited.push((found, class));
            }
        }
    }
    // Told only now: no volume is taken for a pod that another claim keeps waiting.
    let mut making = Vec::new();
    for (claim, class) in awaited {
        let exists = take(client, pod, &claim, node).await?;
        if !exists && class.provisioner == NO_PROVISIONER {
            let reason = "node(s) didn't find available persistent volumes to bind".to_owned();
            return Err(BindError::Unschedulable { reason });
        }
        if !exists {
            select(&claims, pod, &claim, node).await?;
        }
        making.push((claim, !exists));
    }
    for (claim, provisioned) in &making {
        made(&claims, pod, claim, node, *provisioned).await?;
    }
    Ok(())
}

async fn within_reach(
    client: &Client,
    pod: &PodInfo,
    node: &Chosen,
    volume: &str,
) -> Result<(), BindError> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let found = finish("lookup of a volume", pod, volumes.get_opt(volume)).await?;
    let reason = match found {
        Some(found) if reaches(&found, node) => return Ok(()),
        Some(_) => "node(s) had volume node affinity conflict".to_owned(),
        None => {
            "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".to_owned()
        }
    };
    Err(BindError::Unschedulable { reason })
}

async fn class_of(
    client: &Client,
    pod: &PodInfo,
    claim: &PersistentVolumeClaim,
) -> Result<Option<StorageClass>, BindError> {
    let named = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let Some(named) = named.filter(|name| !name.is_empty()) else { return Ok(None) };
    let classes: Api<StorageClass> = Api::all(client.clone());
    finish("lookup of a storage class", pod, classes.get_opt(named)).await
}

/// Makes a free volume on the node the claim's. Whether there is one for it.
async fn take(
    client: &Client,
    pod: &PodInfo,
    claim: &PersistentVolumeClaim,
    node: &Chosen,
) -> Result<bool, BindError> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let list = finish("list of volumes", pod, volumes.list(&ListParams::default())).await?;
    let free = match free::find(claim, &list.items, node) {
        Found::Meant => return Ok(true),
        Found::Nothing => return Ok(false),
        Found::Free(volume) => volume,
    };
    let name = free.metadata.name.as_deref().unwrap_or_default();
    let of = &claim.metadata;
    // On the very version that was found free: another claim may be faster.
    let patch = json!({
        "metadata": {
            "resourceVersion": free.metadata.resource_version,
            "annotations": {BOUND_BY_CONTROLLER: "yes"},
        },
        "spec": {"claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": of.namespace, "name": of.name, "uid": of.uid}},
    });
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    match finish("patch of a volume", pod, volumes.patch(name, &params, &patch)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_conflict() || matches!(error, BindError::Gone { .. }) => {
            let reason = format!("persistentvolume {name:?} was taken by somebody else");
            Err(BindError::Unschedulable { reason })
        }
        Err(error) => Err(error),
    }
}

async fn select(
    claims: &Api<PersistentVolumeClaim>,
    pod: &PodInfo,
    claim: &PersistentVolumeClaim,
    node: &Chosen,
) -> Result<(), BindError> {
    if selected(claim) == Some(node.name.as_str()) {
        return Ok(());
    }
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let annotations = json!({SELECTED_NODE: node.name});
    let patch = json!({"metadata": {"uid": claim.metadata.uid, "annotations": annotations}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    match finish("patch of a claim", pod, claims.patch(name, &params, &patch)).await {
        // The claim is gone, not the pod.
        Err(BindError::Gone { .. }) => {
            let reason = format!("persistentvolumeclaim {name:?} not found");
            Err(BindError::Unschedulable { reason })
        }
        other => other.map(drop),
    }
}

/// Waits for the volume. A provisioner that cannot make it there takes the node away again.
async fn made(
    claims: &Api<PersistentVolumeClaim>,
    pod: &PodInfo,
    claim: &PersistentVolumeClaim,
    node: &Chosen,
    provisioned: bool,
) -> Result<(), BindError> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let given_up =
        |claim: &PersistentVolumeClaim| provisioned && selected(claim) != Some(node.name.as_str());
    let decided = |claim: Option<&PersistentVolumeClaim>| {
        claim.is_none_or(|claim| is_bound(claim) || given_up(claim))
    };
    let why = |why: &str| {
        let reason = format!("binding volumes: persistentvolumeclaim {name:?} {why}");
        BindError::Unschedulable { reason }
    };
    match tokio::time::timeout(BOUND_WITHIN, await_condition(claims.clone(), name, decided)).await {
        Ok(Ok(Some(claim))) if is_bound(&claim) => Ok(()),
        Ok(Ok(Some(_))) => Err(why("got no volume on the chosen node")),
        Ok(Ok(None)) => Err(why("was deleted")),
        Ok(Err(error)) => {
            tracing::debug!(%error, namespace = pod.namespace, name = pod.name, "claim not watched");
            Err(why("could not be watched"))
        }
        Err(_) => Err(why("got no volume in time")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn claims_of_a_pod() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "volumes": [
            {"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "b", "emptyDir": {}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}});
        let claim = |name: &str, ephemeral| Claim { name: name.to_owned(), ephemeral };
        let found = claims(&serde_json::from_value(pod).unwrap());
        assert_eq!(*found, [claim("c", false), claim("p-e", true)]);
    }

    #[test]
    fn a_claim_is_bound_or_unbound_or_in_the_way() {
        let of = |ephemeral| Claim { name: "c".to_owned(), ephemeral };
        let claim =
            |value: Value| -> PersistentVolumeClaim { serde_json::from_value(value).unwrap() };
        let done = json!({"pv.kubernetes.io/bind-completed": "yes"});
        let impossible = |reason: &str| Verdict::Impossible(reason.to_owned());
        for (value, verdict) in [
            (json!({}), Verdict::Unbound),
            (json!({"spec": {"volumeName": "v"}}), Verdict::Unbound),
            (
                json!({"metadata": {"annotations": done}, "spec": {"volumeName": "v"}}),
                Verdict::Bound("v"),
            ),
            (
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
                impossible("persistentvolumeclaim \"c\" is being deleted"),
            ),
            (
                json!({"spec": {"volumeName": "v"}, "status": {"phase": "Lost"}}),
                impossible(
                    "persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"v\"",
                ),
            ),
        ] {
            assert_eq!(judge(&of(false), Some(&claim(value.clone()))), verdict, "{value}");
        }
        let missing = impossible("persistentvolumeclaim \"c\" not found");
        assert_eq!(judge(&of(false), None), missing);
        let awaited =
            "waiting for ephemeral volume controller to create the persistentvolumeclaim \"c\"";
        assert_eq!(judge(&of(true), None), impossible(awaited));
    }

    #[test]
    fn a_volume_is_within_reach_of_the_nodes_it_names() {
        let expression = json!({"key": "disk", "operator": "In", "values": ["a"]});
        let affinity =
            json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}});
        let volume = |affinity: Value| -> PersistentVolume {
            serde_json::from_value(json!({"spec": {"nodeAffinity": affinity}})).unwrap()
        };
        let node = |disk: &str| Chosen {
            name: "n".to_owned(),
            labels: [("disk".to_owned(), disk.to_owned())].into(),
        };
        assert!(reaches(&volume(Value::Null), &node("b")));
        assert!(reaches(&volume(affinity.clone()), &node("a")));
        assert!(!reaches(&volume(affinity), &node("b")));
    }
}
