//! Emptying a node, as `kubectl drain` does.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::USER;
use super::objects::NAMESPACE;
use crate::facts::{is_active, name, text};
use crate::laws::DRAIN;
use crate::random::Random;
use crate::world::{Call, State, World, row};

/// Evicts the pods of a cordoned node until none is left, and opens the node again.
pub(super) async fn drain(
    world: Arc<World>,
    calm: CancellationToken,
    node: String,
    mut random: Random,
) {
    // Some take all pods at once.
    let longest = if random.happens(500) { 20 } else { 200 };
    for _ in 0..20 {
        let pods = world.read(|state| evictable(state, &node));
        if pods.is_empty() {
            break;
        }
        for pod in &pods {
            let pause = random.millis(0, longest);
            sleep(pause).await;
            if calm.is_cancelled() {
                return;
            }
            let path = (NAMESPACE, pod.as_str(), "eviction");
            let call = Call::of_user(Method::POST, row("", "pods"), path, &json!({}));
            // The budget says when.
            world.request(DRAIN, &call).ok();
        }
        sleep(Duration::from_secs(2)).await;
    }
    if !calm.is_cancelled() {
        let patch = json!({"spec": {"unschedulable": false}});
        let call = Call::of_user(Method::PATCH, row("", "nodes"), ("", &*node, ""), &patch);
        world.request(USER, &call).ok();
    }
}

/// Pods on a node, but for those that would be put there again at once.
fn evictable(state: &State, node: &str) -> Vec<String> {
    let all = state.all(row("", "pods")).filter(|pod| text(pod, "/spec/nodeName") == node);
    let daemon =
        |pod: &&serde_json::Value| text(pod, "/metadata/ownerReferences/0/kind") == "DaemonSet";
    let evictable = all.filter(|pod| is_active(pod) && !daemon(pod));
    evictable.map(|pod| name(pod).to_owned()).collect()
}
