//! Evicts the pods that do not tolerate a node's `NoExecute` taints, when their time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use client::Clock;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use super::{eviction, plan};
use crate::disrupted;
use crate::events::{Recorder, Subject};
use crate::informer::Key;
use crate::reconcile::{ReconcileError, request, unless_gone};

/// The `source.component` of its events, as in Kubernetes.
const NAME: &str = "taint-eviction-controller";

/// See the module.
#[derive(Clone)]
pub(super) struct TaintEviction {
    client: Client,
    clock: Clock,
    recorder: Recorder,
    /// Pods that are to go later, by node.
    later: Arc<Mutex<BTreeMap<String, BTreeSet<Key>>>>,
}

impl TaintEviction {
    pub(super) fn new(client: Client, clock: Clock, recorder: &Recorder) -> Self {
        Self { client, clock, recorder: recorder.named(NAME), later: Arc::default() }
    }

    /// Whether there is anything to decide about pods of the node.
    pub(super) fn concerns(&self, node: &Node) -> bool {
        plan::evicts(node) || self.later.lock().contains_key(&node.name_any())
    }

    /// A node is gone: others care for its pods.
    pub(super) fn forget(&self, node: &str) {
        self.later.lock().remove(node);
    }

    /// Evicts those of the node's pods that have to go. Returns when the next one has to.
    pub(super) async fn look_at(
        &self,
        node: &Node,
        all: &[Arc<Pod>],
    ) -> Result<Option<Duration>, ReconcileError> {
        let name = node.name_any();
        let later = self.later.lock().remove(&name).unwrap_or_default();
        let plan = eviction::plan(all, node, &later, self.clock.now());
        if !plan.later.is_empty() {
            self.later.lock().insert(name, plan.later);
        }
        for pod in &plan.stay {
            let message = format!("Cancelling deletion of Pod {}", Key::of(&**pod));
            self.recorder.normal(Subject::of(&**pod), "TaintManagerEviction", message);
        }
        let mut failed = None;
        for pod in &plan.go {
            if let Err(error) = self.evict(pod).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(plan.next), Err)
    }

    async fn evict(&self, pod: &Arc<Pod>) -> Result<(), ReconcileError> {
        let key = Key::of(&**pod);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let message = "Taint manager: deleting due to NoExecute taint";
        let condition =
            disrupted::condition(pod, "DeletionByTaintManager", message, self.clock.now());
        if let Some(condition) = condition.filter(|_| !pods::is_finished(pod)) {
            let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid()},
                "status": {"conditions": [condition]}}));
            let params = PatchParams::default();
            let patched = api.patch_status(&key.name, &params, &patch);
            let patched = request("patch status of", &key, patched).await;
            if unless_gone(patched)?.is_none() {
                return Ok(());
            }
        }
        let params = DeleteParams::default()
            .preconditions(Preconditions { uid: pod.uid(), resource_version: None });
        unless_gone(request("delete", &key, api.delete(&key.name, &params)).await)?;
        let message = format!("Marking for deletion Pod {key}");
        self.recorder.normal(Subject::of(&**pod), "TaintManagerEviction", message);
        Ok(())
    }
}
