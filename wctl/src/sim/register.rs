//! How hollow nodes come into the cluster: Node and Lease, or those of the last run.

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use super::node::{self, HollowNode, LEASES};
use super::status;
use super::write::{Nodes, WriteError, node_path};

/// Nodes that register at the same time.
const PARALLEL: usize = 32;

/// What a node needs to register.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    /// In how many zones the nodes are.
    pub(super) zones: u32,
    /// How long a Lease holds.
    pub(super) grace: Duration,
    /// `status.nodeInfo.kubeletVersion`.
    pub(super) version: String,
}

/// Registers `count` nodes.
pub(super) async fn all(api: &Nodes, count: u32, registration: &Registration) -> Result<()> {
    let mut tasks = JoinSet::new();
    for first in (0..count).take(PARALLEL) {
        let (api, registration) = (api.clone(), registration.clone());
        tasks.spawn(async move {
            for at in (first..count).step_by(PARALLEL) {
                let node = HollowNode(at);
                let done = one(&api, node, &registration).await;
                done.with_context(|| format!("register node {}", node.name()))?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a registration panicked")??;
    }
    Ok(())
}

async fn one(api: &Nodes, node: HollowNode, registration: &Registration) -> Result<(), WriteError> {
    let now = status::now();
    let object = node.object(registration.zones, &registration.version, now);
    let object = match api.create(node, "/api/v1/nodes", &object).await {
        Err(error) if error.code() == 409 => {
            let status = format!("{}/status", node_path(node));
            api.patch(node, &status, &node::heartbeat(now, true)).await?;
            api.get(node, &node_path(node)).await?
        }
        created => created?,
    };
    lease(api, node, &object, registration.grace).await
}

/// Makes the Lease of a node, or renews the one that is there.
pub(super) async fn lease(
    api: &Nodes,
    node: HollowNode,
    object: &Value,
    grace: Duration,
) -> Result<(), WriteError> {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    let lease = node.lease(uid, grace, Timestamp::now());
    match api.create(node, &leases(), &lease).await {
        Err(error) if error.code() == 409 => renew(api, node).await,
        created => created.map(drop),
    }
}

/// Renews the Lease of a node.
pub(super) async fn renew(api: &Nodes, node: HollowNode) -> Result<(), WriteError> {
    let path = format!("{}/{}", leases(), node.name());
    api.merge(node, &path, &node::renewal(Timestamp::now())).await
}

fn leases() -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{LEASES}/leases")
}
