//! What is behind the claims that a pod's volumes are. Read when the pod's sandbox is made, and then no
//! more: a node may get the claims of its pods, but not watch them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::Api;

use crate::context::Context;
use crate::image::chain;
use crate::volume::claim::{self, Backing, ClaimError, ClaimVolume};

/// Deadline of one request.
const REQUEST: Duration = Duration::from_secs(15);

/// What is behind each volume that is a claim, by the volume's name.
pub(super) type Backings = BTreeMap<String, Backing>;

/// Looks all of them up; the error is an event's text.
pub(super) async fn backings(context: &Context, pod: &Pod) -> Result<Backings, String> {
    let mut found = Backings::new();
    for of in claim::of_pod(pod) {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let backing = backing(context, pod, namespace, &of).await;
        found.insert(of.volume.clone(), backing.map_err(|error| error.event(namespace, &of))?);
    }
    Ok(found)
}

async fn backing(
    context: &Context,
    pod: &Pod,
    namespace: &str,
    of: &ClaimVolume,
) -> Result<Backing, ClaimError> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    let claim =
        get(claims.get(&of.claim)).await.map_err(|message| ClaimError::ClaimUnread { message })?;
    let name = claim::bound(pod, of, &claim)?;
    let volumes: Api<PersistentVolume> = Api::all(context.client.clone());
    let volume = get(volumes.get(&name))
        .await
        .map_err(|message| ClaimError::VolumeUnread { volume: name, message })?;
    claim::check_mode(pod, of, &volume)?;
    let (nodes, name): (Api<Node>, _) =
        (Api::all(context.client.clone()), &context.config.node_name);
    let node = get(nodes.get(name))
        .await
        .map_err(|message| ClaimError::NodeUnread { node: name.clone(), message })?;
    claim::backing(&claim, &volume, &node)
}

/// The answer, or why there is none, in the API server's words if it said any.
async fn get<K>(request: impl Future<Output = kube::Result<K>>) -> Result<K, String> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(kube::Error::Api(status))) => Err(status.message.clone()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("the API server did not answer in time".to_owned()),
    }
}
