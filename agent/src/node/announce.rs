//! A node that joins a cluster says where it is, and learns which addresses its pods have.
//!
//! Both come before the agent runs: its serving certificate is for the addresses that the Node says, and
//! its pod network is made of the range that the control plane gives it.

use std::net::IpAddr;

use futures_util::{StreamExt as _, pin_mut};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use serde_json::json;

use super::{REQUEST, RETRY, object};

/// Registers the node with its addresses, or corrects them, and waits until it has a range of pod
/// addresses. Trouble with the API server is waited out. Whoever gives up drops the future.
pub async fn announce(client: kube::Client, name: &str, ip: IpAddr) -> Ipv4Net {
    let nodes: Api<Node> = Api::all(client);
    loop {
        match tokio::time::timeout(REQUEST, register(&nodes, name, ip)).await {
            Ok(Ok(())) => break,
            Ok(Err(error)) => {
                tracing::warn!(%error, node = name, "announcing the node failed; trying again");
            }
            Err(_) => {
                tracing::warn!(node = name, "announcing the node took too long; trying again")
            }
        }
        tokio::time::sleep(RETRY).await;
    }
    tracing::info!(node = name, %ip, "waiting for a range of pod addresses");
    let changes = watch_object(nodes, name).default_backoff();
    pin_mut!(changes);
    loop {
        match changes.next().await {
            Some(Ok(Some(node))) => {
                if let Some(range) = range_of(&node) {
                    tracing::info!(node = name, %range, "the node has a range of pod addresses");
                    return range;
                }
            }
            Some(Ok(None)) | None => {}
            Some(Err(error)) => tracing::debug!(%error, "watch of the own node failed"),
        }
    }
}

async fn register(nodes: &Api<Node>, name: &str, ip: IpAddr) -> Result<(), kube::Error> {
    let addresses = object::addresses(name, ip);
    let node = Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("kubernetes.io/hostname".to_owned(), name.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec::default()),
        status: Some(NodeStatus { addresses: Some(addresses.clone()), ..NodeStatus::default() }),
    };
    let found = match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(status)) if status.code == 409 => nodes.get(name).await?,
        other => other?,
    };
    if found.status.and_then(|status| status.addresses).as_ref() != Some(&addresses) {
        let patch = Patch::Merge(json!({"status": {"addresses": addresses}}));
        nodes.patch_status(name, &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

fn range_of(node: &Node) -> Option<Ipv4Net> {
    node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()
}
