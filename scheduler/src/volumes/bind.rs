//! Writes down which volumes a pod's claims get, and waits until they have them.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use super::objects::ClaimInfo;
use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, SELECTED_NODE};
use crate::bind::{BindError, finish};
use crate::pod::PodInfo;

/// A free volume and the claim that it becomes the volume of.
#[derive(Debug)]
pub(crate) struct Take {
    pub(crate) claim: ClaimInfo,
    pub(crate) volume: String,
    /// The resourceVersion at which it was free.
    pub(crate) version: String,
}

/// All that is to be done for a pod.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) pod: Arc<PodInfo>,
    pub(crate) node: String,
    pub(crate) takes: Vec<Take>,
    pub(crate) provisions: Vec<ClaimInfo>,
    pub(crate) awaits: Vec<ClaimInfo>,
    /// How long to wait for the volumes.
    pub(crate) within: Duration,
}

impl Errand {
    /// Does it.
    ///
    /// # Errors
    /// [`BindError::Failed`] if a claim gets no volume, others for requests that failed.
    pub(crate) async fn run(self, client: Client) -> Result<(), BindError> {
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(client.clone(), &self.pod.namespace);
        for taken in &self.takes {
            self.take(&client, taken).await?;
        }
        for claim in &self.provisions {
            self.select(&claims, claim).await?;
        }
        let given = self.takes.iter().map(|taken| &taken.claim).chain(&self.awaits);
        for claim in given {
            self.made(&claims, claim, false).await?;
        }
        for claim in &self.provisions {
            self.made(&claims, claim, true).await?;
        }
        Ok(())
    }

    async fn take(&self, client: &Client, taken: &Take) -> Result<(), BindError> {
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let (namespace, name) = taken.claim.id.split_once('/').unwrap_or_default();
        // On the very version that was found free: another claim may be faster.
        let patch = Patch::Merge(json!({
            "metadata": {
                "resourceVersion": taken.version,
                "annotations": {BOUND_BY_CONTROLLER: "yes"},
            },
            "spec": {"claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": namespace, "name": name, "uid": taken.claim.uid}},
        }));
        let params = PatchParams::default();
        let request = volumes.patch(&taken.volume, &params, &patch);
        match finish("patch of a volume", &self.pod, request).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() || matches!(error, BindError::Gone { .. }) => Err(
                failed(format!("persistentvolume {:?} was taken by another claim", taken.volume)),
            ),
            Err(error) => Err(error),
        }
    }

    async fn select(
        &self,
        claims: &Api<PersistentVolumeClaim>,
        claim: &ClaimInfo,
    ) -> Result<(), BindError> {
        if claim.selected.as_ref() == Some(&self.node) {
            return Ok(());
        }
        let annotations = json!({SELECTED_NODE: self.node});
        let patch = json!({"metadata": {"uid": claim.uid, "annotations": annotations}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let name = name(claim);
        match finish("patch of a claim", &self.pod, claims.patch(name, &params, &patch)).await {
            // The claim is gone, not the pod.
            Err(BindError::Gone { .. }) => {
                Err(failed(format!("persistentvolumeclaim {name:?} not found")))
            }
            other => other.map(drop),
        }
    }

    /// Waits for the volume. A provisioner that cannot make it on the node takes the node away again.
    async fn made(
        &self,
        claims: &Api<PersistentVolumeClaim>,
        claim: &ClaimInfo,
        provisioned: bool,
    ) -> Result<(), BindError> {
        let name = name(claim);
        let given_up = |claim: &PersistentVolumeClaim| {
            provisioned && selected(claim) != Some(self.node.as_str())
        };
        let decided = |claim: Option<&PersistentVolumeClaim>| {
            claim.is_none_or(|claim| is_bound(claim) || given_up(claim))
        };
        let wait = await_condition(claims.clone(), name, decided);
        match tokio::time::timeout(self.within, wait).await {
            Ok(Ok(Some(claim))) if is_bound(&claim) => Ok(()),
            Ok(Ok(Some(_))) => Err(failed(format!("provisioning failed for PVC {name:?}"))),
            Ok(Ok(None)) => Err(failed(format!("persistentvolumeclaim {name:?} was deleted"))),
            Ok(Err(error)) => {
                let (namespace, pod) = (&self.pod.namespace, &self.pod.name);
                tracing::debug!(%error, namespace, name = pod, "claim not watched");
                Err(failed(format!("persistentvolumeclaim {name:?} could not be watched")))
            }
            Err(_) => Err(failed(format!("PVC {name:?} got no volume within {:?}", self.within))),
        }
    }
}

fn failed(why: String) -> BindError {
    BindError::Failed { reason: format!("binding volumes: {why}") }
}

fn name(claim: &ClaimInfo) -> &str {
    claim.id.split_once('/').map_or(claim.id.as_str(), |(_, name)| name)
}

/// Whether claim and volume are bound for good.
fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref());
    let annotations = claim.metadata.annotations.as_ref();
    named.is_some_and(|name| !name.is_empty())
        && annotations.is_some_and(|all| all.contains_key(BIND_COMPLETED))
}

fn selected(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.metadata.annotations.as_ref()?.get(SELECTED_NODE).map(String::as_str)
}
