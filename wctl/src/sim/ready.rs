//! When the simulation is ready: every hollow node has been without the taint of a new node, so that
//! pods can be placed on it.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use client::{Event, Follower, Raw};
use kube::runtime::watcher;
use serde::Deserialize;

use super::node::HollowNode;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

#[derive(Deserialize)]
struct Node {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    taints: Vec<Taint>,
}

#[derive(Deserialize)]
struct Taint {
    key: String,
}

/// Waits until all `count` nodes have been ready.
pub(super) async fn nodes(client: kube::Client, count: u32) -> Result<()> {
    let mut follower = Follower::new(client, "/api/v1/nodes", watcher::Config::default());
    let mut ready = HashSet::new();
    while ready.len() < count as usize {
        let seen = match follower.next().await.context("watch the nodes")? {
            Event::Listed(all) => all,
            Event::Applied(one) => vec![one],
            Event::Deleted(_) => continue,
        };
        ready.extend(seen.iter().filter_map(|raw| ready_node(raw, count)));
    }
    Ok(())
}

/// The node's place, if it is one of `count` hollow ones and ready.
fn ready_node(raw: &Raw, count: u32) -> Option<u32> {
    let node: Node = raw.parse().ok()?;
    let waits = node.spec.taints.iter().any(|taint| taint.key == NOT_READY);
    let ours = HollowNode::named(&node.metadata.name, count)?;
    (!waits).then_some(ours.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_without_the_taint_of_new_ones() {
        let ready = |json: &str| ready_node(&Raw::new(json.to_owned().into()), 5);
        let tainted = r#"{"metadata": {"name": "hollow-3"}, "spec": {"taints": [
            {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}}"#;
        assert_eq!(ready(tainted), None);
        let other = tainted.replace("not-ready", "unschedulable");
        assert_eq!(ready(&other), Some(3));
        assert_eq!(ready(&tainted.replace("hollow-3", "another")), None);
        assert_eq!(ready(r#"{"metadata": {"name": "hollow-0"}}"#), Some(0));
    }
}
