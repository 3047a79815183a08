//! Who still needs a claim or a volume. Pure.

use std::sync::Arc;

use api::pod as pods;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;

/// Keeps a claim while a pod uses it.
pub(super) const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
/// Keeps a volume while a claim is bound to it.
pub(super) const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Whether the pod holds on to its claims: it is on a node and has not ended. A pod without a node
/// does not; no node starts it while its claim is being deleted.
pub(super) fn needs_claims(pod: &Pod) -> bool {
    pods::node_name(pod).is_some() && !pods::is_finished(pod)
}

/// The names of the claims in the pod's volumes, those of its ephemeral volumes among them.
pub(super) fn claims(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let named = volumes.iter().filter_map(|volume| {
        if let Some(claim) = &volume.persistent_volume_claim {
            return Some(claim.claim_name.clone());
        }
        volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name_any(), volume.name))
    });
    named.collect()
}

/// Whether the claim is deleted, protected, and used by none of these pods.
pub(super) fn claim_may_go(claim: &PersistentVolumeClaim, pods: &[Arc<Pod>]) -> bool {
    let (namespace, name) = (claim.namespace(), claim.name_any());
    let uses = |pod: &Pod| {
        pod.namespace() == namespace && needs_claims(pod) && claims(pod).contains(&name)
    };
    claim.metadata.deletion_timestamp.is_some()
        && claim.finalizers().iter().any(|finalizer| finalizer == CLAIM_FINALIZER)
        && !pods.iter().any(|pod| uses(pod))
}

/// Whether the volume is deleted, protected, and not bound.
pub(super) fn volume_may_go(volume: &PersistentVolume) -> bool {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    volume.metadata.deletion_timestamp.is_some()
        && volume.finalizers().iter().any(|finalizer| finalizer == VOLUME_FINALIZER)
        && phase != Some("Bound")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DELETED: &str = "2026-01-01T00:00:00Z";

    fn claim(deleted: bool, finalizers: Value) -> PersistentVolumeClaim {
        let deleted = deleted.then_some(DELETED);
        serde_json::from_value(json!({"metadata": {"name": "data-0", "namespace": "a",
            "deletionTimestamp": deleted, "finalizers": finalizers}}))
        .unwrap()
    }

    fn pod(namespace: &str, node: Option<&str>, phase: &str, volume: Value) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": "data", "namespace": namespace},
                "spec": {"nodeName": node, "containers": [], "volumes": [volume]},
                "status": {"phase": phase}}))
            .unwrap(),
        )
    }

    #[test]
    fn a_claim_goes_when_no_pod_on_a_node_uses_it() {
        let mounted = || json!({"name": "v", "persistentVolumeClaim": {"claimName": "data-0"}});
        let cases = [
            (pod("a", Some("n"), "Running", mounted()), false, "in use"),
            (pod("a", Some("n"), "Pending", mounted()), false, "about to start"),
            (pod("a", None, "Pending", mounted()), true, "without a node"),
            (pod("a", Some("n"), "Succeeded", mounted()), true, "ended"),
            (pod("b", Some("n"), "Running", mounted()), true, "another namespace"),
            (pod("a", Some("n"), "Running", json!({"name": "0", "ephemeral": {}})), false, "own"),
            (pod("a", Some("n"), "Running", json!({"name": "1", "ephemeral": {}})), true, "other"),
            (pod("a", Some("n"), "Running", json!({"name": "v", "emptyDir": {}})), true, "none"),
        ];
        for (pod, goes, case) in cases {
            let deleted = claim(true, json!([CLAIM_FINALIZER, "example.com/other"]));
            assert_eq!(claim_may_go(&deleted, &[pod]), goes, "{case}");
        }
        assert!(!claim_may_go(&claim(false, json!([CLAIM_FINALIZER])), &[]));
        assert!(!claim_may_go(&claim(true, json!(["example.com/other"])), &[]));
    }

    #[test]
    fn a_volume_goes_when_it_is_not_bound() {
        let volume = |deleted: Option<&str>, phase: &str| -> PersistentVolume {
            serde_json::from_value(json!({"metadata": {"name": "v", "deletionTimestamp": deleted,
                "finalizers": [VOLUME_FINALIZER]}, "status": {"phase": phase}}))
            .unwrap()
        };
        assert!(volume_may_go(&volume(Some(DELETED), "Available")));
        assert!(volume_may_go(&volume(Some(DELETED), "Released")));
        assert!(!volume_may_go(&volume(Some(DELETED), "Bound")));
        assert!(!volume_may_go(&volume(None, "Available")));
    }
}
