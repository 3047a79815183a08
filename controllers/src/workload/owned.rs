//! The pods of an owner, found without looking at all the others of its namespace.

use std::sync::Arc;

use api::owner;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};

use crate::informer::{Index, Informer};

/// Pods by the uid of their controller, and those without one by namespace.
#[derive(Clone)]
pub(crate) struct OwnedPods(Index<Pod>);

/// No uid begins with a slash.
fn orphans(namespace: &str) -> String {
    format!("/{namespace}")
}

fn values(pod: &Pod) -> Vec<String> {
    let owner = owner::controller_of(&pod.metadata).map(|owner| owner.uid.clone());
    vec![owner.unwrap_or_else(|| orphans(&pod.namespace().unwrap_or_default()))]
}

impl OwnedPods {
    /// One for all controllers.
    pub(crate) fn new(pods: &mut Informer<Pod>) -> Self {
        Self(pods.index(values))
    }

    /// The pods whose controller has the uid.
    pub(crate) fn of(&self, uid: &str) -> Vec<Arc<Pod>> {
        self.0.get(uid)
    }

    /// The owner's pods, and those of its namespace that it may adopt.
    pub(crate) fn claimable<O: Resource>(&self, owner: &O) -> Vec<Arc<Pod>> {
        let mut pods = self.of(owner.meta().uid.as_deref().unwrap_or_default());
        pods.extend(self.0.get(&orphans(&owner.namespace().unwrap_or_default())));
        pods
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_found_by_its_controller_or_as_an_orphan_of_its_namespace() {
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "1"});
        let mut controller = owner.clone();
        controller["controller"] = true.into();
        for (owners, value) in
            [(json!([]), "/n"), (json!([owner]), "/n"), (json!([controller]), "1")]
        {
            let metadata = json!({"name": "p", "namespace": "n", "ownerReferences": owners});
            let pod: Pod = serde_json::from_value(json!({"metadata": metadata})).unwrap();
            assert_eq!(values(&pod), [value], "{owners}");
        }
    }
}
