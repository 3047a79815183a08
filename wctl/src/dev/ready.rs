//! When a dev cluster is ready: the node has said so since this process started.

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

/// Waits until the node is Ready by a heartbeat of this run, not of the one before a restart.
pub(crate) async fn node(client: Client, name: &str) -> Result<()> {
    let since = Timestamp::now().as_second();
    let nodes: Api<Node> = Api::all(client);
    let ready = move |node: Option<&Node>| node.is_some_and(|node| is_ready(node, since));
    let waited = kube::runtime::wait::await_condition(nodes, name, ready).await;
    waited.with_context(|| format!("watch node {name}"))?;
    Ok(())
}

fn is_ready(node: &Node, since: i64) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        condition.type_ == "Ready"
            && condition.status == "True"
            && condition
                .last_heartbeat_time
                .as_ref()
                .is_some_and(|time| time.0.as_second() >= since)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_old_heartbeat_does_not_count() {
        let node = |status: &str, time: &str| {
            serde_json::from_value::<Node>(
                json!({"metadata": {"name": "n"}, "status": {"conditions": [
                {"type": "Ready", "status": status, "lastHeartbeatTime": time}]}}),
            )
            .unwrap()
        };
        let since = "2026-01-01T00:00:10Z".parse::<Timestamp>().unwrap().as_second();
        for (status, time, want) in [
            ("True", "2026-01-01T00:00:10Z", true),
            ("True", "2026-01-01T00:00:09Z", false),
            ("False", "2026-01-01T00:00:11Z", false),
        ] {
            assert_eq!(is_ready(&node(status, time), since), want, "{status} {time}");
        }
    }
}
