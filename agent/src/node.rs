//! The Node object: registration, status, and the Lease that says the node is alive.
//!
//! The node registers itself, or finds itself registered and brings what is its own up to date. Its Lease
//! in `kube-node-lease` is renewed every ten seconds and costs the API server next to nothing; the status
//! is written when it differs and every five minutes.
//! Source: `pkg/kubelet/kubelet_node_status.go`, KEP-589.

mod announce;
pub(crate) mod facts;
mod lease;
mod object;

use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::event::{Recorder, Severity};
use crate::merge;

pub use announce::announce;
pub(crate) use facts::Facts;
pub(crate) use object::Report;

/// How often an unchanged status is written anyway.
const REPORT: Duration = Duration::from_secs(300);
/// Pause after a failed attempt to register or report.
const RETRY: Duration = Duration::from_secs(2);
/// Deadline of one request.
const REQUEST: Duration = Duration::from_secs(10);

/// Keeps the Node object and its Lease up to date until shutdown.
pub(crate) async fn run(
    config: &Config,
    report: Report,
    client: kube::Client,
    events: Recorder,
    shutdown: CancellationToken,
) {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = loop {
        match tokio::time::timeout(REQUEST, register(config, &report, &nodes)).await {
            Ok(Ok(node)) => break node,
            Ok(Err(error)) => {
                tracing::warn!(%error, node = config.node_name, "registering the node failed; trying again")
            }
            Err(_) => tracing::warn!(
                node = config.node_name,
                "registering the node took too long; trying again"
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shutdown.cancelled() => return,
        }
    };
    tracing::info!(node = config.node_name, "node registered");
    events.node(&node, Severity::Normal, "Starting", "Starting kubelet.".to_owned());
    let keep = keep_status(config, &report, &nodes);
    tokio::select! {
        () = keep => {}
        () = lease::renew(&client, &config.node_name) => {}
        () = shutdown.cancelled() => {}
    }
}

/// Writes the status every five minutes, and at once when the Node says something else: after a partition
/// somebody else has declared us unreachable, and only we know better.
async fn keep_status(config: &Config, report: &Report, nodes: &Api<Node>) {
    let changes = watch_object(nodes.clone(), &config.node_name).default_backoff();
    pin_mut!(changes);
    let mut pause = REPORT;
    loop {
        let due = tokio::select! {
            next = changes.next() => match next {
                Some(Ok(Some(current))) => !object::is_current(config, report, &current),
                Some(Ok(None)) => true,
                Some(Err(error)) => {
                    tracing::debug!(%error, "watch of the own node failed; trying again");
                    false
                }
                None => return,
            },
            () = tokio::time::sleep(pause) => true,
        };
        if !due {
            continue;
        }
        pause = match tokio::time::timeout(REQUEST, refresh(config, report, nodes)).await {
            Ok(Ok(())) => REPORT,
            Ok(Err(error)) => {
                tracing::warn!(%error, node = config.node_name, "writing the node's status failed; trying again");
                RETRY
            }
            Err(_) => RETRY,
        };
    }
}

/// Creates the Node, or adopts the one that is there; either way its status says Ready at the end.
async fn register(
    config: &Config,
    report: &Report,
    nodes: &Api<Node>,
) -> Result<Node, kube::Error> {
    let wanted = object::node(config, report, Timestamp::now());
    let found = match nodes.create(&PostParams::default(), &wanted).await {
        Ok(created) => created,
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let current = nodes.get(&config.node_name).await?;
            match object::metadata_patch(&current, &wanted) {
                Some(patch) => {
                    nodes
                        .patch(&config.node_name, &PatchParams::default(), &Patch::Merge(patch))
                        .await?
                }
                None => current,
            }
        }
        Err(error) => return Err(error),
    };
    write_status(config, report, nodes, &found).await?;
    Ok(found)
}

async fn refresh(config: &Config, report: &Report, nodes: &Api<Node>) -> Result<(), kube::Error> {
    match nodes.get_opt(&config.node_name).await? {
        Some(current) => write_status(config, report, nodes, &current).await,
        // Somebody deleted it while we live.
        None => register(config, report, nodes).await.map(drop),
    }
}

async fn write_status(
    config: &Config,
    report: &Report,
    nodes: &Api<Node>,
    current: &Node,
) -> Result<(), kube::Error> {
    let status = object::status(config, report, current.status.as_ref(), Timestamp::now());
    let old = serde_json::to_value(current.status.clone().unwrap_or_default()).unwrap_or_default();
    let new = serde_json::to_value(&status).unwrap_or_default();
    let Some(difference) = merge::difference(&old, &new) else { return Ok(()) };
    let patch = Patch::Merge(serde_json::json!({"status": difference}));
    nodes.patch_status(&config.node_name, &PatchParams::default(), &patch).await.map(drop)
}
