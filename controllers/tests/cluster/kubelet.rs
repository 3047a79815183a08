//! What a node does for pods, as far as controllers see it: they start and become ready.
//!
//! And a witness, who sees every change of the pods in its order.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use parking_lot::Mutex;
use serde_json::json;

use crate::api::Cluster;

/// Pods with a container of this image never start.
pub(crate) const BROKEN: &str = "broken";

/// All pods at one moment, by name.
type Pods = BTreeMap<String, Pod>;

/// Starts pods, and calls `witness` with all pods after every change, in the order of the changes.
pub(crate) fn run(cluster: &Cluster, witness: impl Fn(&Pods) + Send + 'static) {
    let api: Api<Pod> = cluster.api("default");
    cluster.spawn(async move {
        let mut events = watcher::watcher(api.clone(), watcher::Config::default()).boxed();
        let mut pods = Pods::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                    let name = pod.name_any();
                    let waits = pod.metadata.deletion_timestamp.is_none() && is_pending(&pod);
                    if waits && !is_broken(&pod) {
                        start(&api, &name).await;
                    }
                    pods.insert(name, pod);
                    witness(&pods);
                }
                Ok(Event::Delete(pod)) => {
                    pods.remove(&pod.name_any());
                    witness(&pods);
                }
                Ok(Event::Init | Event::InitDone) | Err(_) => {}
            }
        }
    });
}

fn is_pending(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending")
}

fn is_broken(pod: &Pod) -> bool {
    image(pod) == BROKEN
}

/// The image of a pod's container.
pub(crate) fn image(pod: &Pod) -> &str {
    let container = pod.spec.as_ref().map(|spec| &spec.containers[0]);
    container.and_then(|container| container.image.as_deref()).unwrap_or_default()
}

/// Whether a pod is ready and not on its way out.
pub(crate) fn serves(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && ::api::pod::is_ready(pod)
}

async fn start(api: &Api<Pod>, name: &str) {
    let patch = json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    // It may be gone already.
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.ok();
}

/// What a witness has noted.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: String) {
        self.0.lock().push(note);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}
