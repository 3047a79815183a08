//! The claims of a StatefulSet's pods: which there have to be, and who takes them along. Pure.
//!
//! `persistentVolumeClaimRetentionPolicy` is kept by owner references, so that the garbage collector
//! does what it says: a claim that is to go with the set is owned by the set, one that is to go with
//! a pod scaled away is owned by that pod while it ends.
//!
//! Source: k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_utils.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::owner;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

use super::identity;
use crate::workload::claim;

/// What to do about a claim.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ClaimStep {
    /// Write it.
    Create(Box<PersistentVolumeClaim>),
    /// Give it these owners.
    Own { claim: Arc<PersistentVolumeClaim>, references: Vec<OwnerReference> },
}

/// The set's claim templates.
pub(super) fn templates(set: &StatefulSet) -> &[PersistentVolumeClaim] {
    let spec = set.spec.as_ref();
    spec.and_then(|spec| spec.volume_claim_templates.as_deref()).unwrap_or_default()
}

/// The name of a pod's claim.
pub(super) fn name(set: &StatefulSet, template: &str, ordinal: i32) -> String {
    format!("{template}-{}-{ordinal}", set.name_any())
}

fn find<'a>(
    claims: &'a [Arc<PersistentVolumeClaim>],
    name: &str,
) -> Option<&'a Arc<PersistentVolumeClaim>> {
    claims.iter().find(|claim| claim.metadata.name.as_deref() == Some(name))
}

/// Whether a pod to create has to wait: a claim of its own is on its way out, or was an earlier
/// pod's and goes with it.
pub(super) fn are_stale(
    set: &StatefulSet,
    ordinal: i32,
    claims: &[Arc<PersistentVolumeClaim>],
) -> bool {
    let pod = identity::name(set, ordinal);
    templates(set).iter().any(|template| {
        let name = name(set, &template.name_any(), ordinal);
        find(claims, &name).is_some_and(|claim| {
            claim.metadata.deletion_timestamp.is_some()
                || claim.owner_references().iter().any(|o| o.kind == "Pod" && o.name == pod)
        })
    })
}

/// What to do about the claims of the pod with this ordinal; `pod` is that pod, if it exists.
pub(super) fn steps(
    set: &StatefulSet,
    ordinal: i32,
    pod: Option<&Pod>,
    claims: &[Arc<PersistentVolumeClaim>],
) -> Vec<ClaimStep> {
    let mut steps = Vec::new();
    for template in templates(set) {
        let name = name(set, &template.name_any(), ordinal);
        match find(claims, &name) {
            None if identity::is_wanted(set, ordinal) => {
                steps
                    .push(ClaimStep::Create(Box::new(claim_of(set, template, name, ordinal, pod))));
            }
            None => {}
            Some(claim) => {
                let references = owners(set, ordinal, pod, claim.owner_references());
                if references != claim.owner_references() {
                    steps.push(ClaimStep::Own { claim: claim.clone(), references });
                }
            }
        }
    }
    steps
}

fn claim_of(
    set: &StatefulSet,
    template: &PersistentVolumeClaim,
    name: String,
    ordinal: i32,
    pod: Option<&Pod>,
) -> PersistentVolumeClaim {
    let mut claim = template.clone();
    claim.metadata.name = Some(name);
    claim.metadata.namespace = set.namespace();
    let selector = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone());
    let labels: &mut BTreeMap<String, String> = claim.metadata.labels.get_or_insert_default();
    labels.extend(selector.unwrap_or_default());
    claim.metadata.owner_references =
        Some(owners(set, ordinal, pod, &[])).filter(|owners| !owners.is_empty());
    claim.status = None;
    claim
}

/// The owners a claim is to have. What neither the set nor the pod is stays; if somebody else
/// controls the claim, the two keep out of it.
fn owners(
    set: &StatefulSet,
    ordinal: i32,
    pod: Option<&Pod>,
    had: &[OwnerReference],
) -> Vec<OwnerReference> {
    let set_uid = set.metadata.uid.as_deref();
    let pod_uid = pod.and_then(|pod| pod.metadata.uid.as_deref());
    let is = |o: &OwnerReference, uid: Option<&str>| uid == Some(o.uid.as_str());
    let others = had.iter().filter(|o| !is(o, set_uid) && !is(o, pod_uid));
    let others: Vec<OwnerReference> = others.cloned().collect();
    if others.iter().any(|other| other.controller == Some(true)) {
        return others;
    }
    let policy = set.spec.as_ref();
    let policy = policy.and_then(|s| s.persistent_volume_claim_retention_policy.as_ref());
    let deletes = |when: Option<&String>| when.map(String::as_str) == Some("Delete");
    let with_set = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let with_pod = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
    let scaled_away = !identity::is_wanted(set, ordinal);
    let new = if with_pod && scaled_away {
        pod.map(|pod| {
            let uid = pod.uid().unwrap_or_default();
            owner::controller_reference("v1", "Pod", &pod.name_any(), &uid)
        })
    } else {
        with_set.then(|| claim::reference(set))
    };
    // An equal reference stays as and where it is.
    match new {
        Some(new) if had.iter().any(|o| o.uid == new.uid && o.controller == Some(true)) => {
            had.iter().filter(|o| o.uid == new.uid || others.contains(o)).cloned().collect()
        }
        Some(new) => others.into_iter().chain([new]).collect(),
        None => others,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn set(deleted: &str, scaled: &str) -> StatefulSet {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "n", "uid": "set"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": {},
                "persistentVolumeClaimRetentionPolicy":
                    {"whenDeleted": deleted, "whenScaled": scaled},
                "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"tier": "db"}},
                    "spec": {"accessModes": ["ReadWriteOnce"]}}]}}))
        .unwrap()
    }

    fn claim(ordinal: i32, owners: Value) -> Arc<PersistentVolumeClaim> {
        let name = format!("data-web-{ordinal}");
        let value = json!({"metadata": {"name": name, "ownerReferences": owners}});
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn owner(kind: &str, name: &str, uid: &str) -> Value {
        let version = if kind == "Pod" { "v1" } else { "apps/v1" };
        json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true,
            "blockOwnerDeletion": true})
    }

    fn pod(ordinal: i32) -> Pod {
        let metadata = json!({"name": format!("web-{ordinal}"), "uid": format!("pod{ordinal}")});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn owners_keep_the_retention_policy() {
        let of_set = || owner("StatefulSet", "web", "set");
        let of_pod = |n: i32| owner("Pod", &format!("web-{n}"), &format!("pod{n}"));
        let other = || json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"});
        let stranger = || owner("ReplicaSet", "x", "x");
        // Policies, ordinal (0 is wanted, 1 scaled away), owners before and after.
        for (deleted, scaled, ordinal, before, after) in [
            ("Retain", "Retain", 0, json!([]), json!([])),
            ("Retain", "Retain", 0, json!([of_set()]), json!([])),
            ("Delete", "Retain", 0, json!([]), json!([of_set()])),
            ("Delete", "Retain", 1, json!([]), json!([of_set()])),
            ("Retain", "Delete", 0, json!([of_pod(0)]), json!([])),
            ("Retain", "Delete", 1, json!([]), json!([of_pod(1)])),
            ("Delete", "Delete", 0, json!([of_pod(0)]), json!([of_set()])),
            ("Delete", "Delete", 1, json!([of_set()]), json!([of_pod(1)])),
            ("Delete", "Retain", 0, json!([of_set(), other()]), json!([of_set(), other()])),
            ("Delete", "Delete", 1, json!([of_set(), other()]), json!([other(), of_pod(1)])),
            ("Delete", "Retain", 0, json!([stranger()]), json!([stranger()])),
        ] {
            let case = format!("{deleted} {scaled} {ordinal} {before}");
            let set = set(deleted, scaled);
            let found =
                steps(&set, ordinal, Some(&pod(ordinal)), &[claim(ordinal, before.clone())]);
            if before == after {
                assert_eq!(found, [], "{case}");
                continue;
            }
            let [ClaimStep::Own { references, .. }] = &found[..] else {
                panic!("{case}: {found:?}")
            };
            assert_eq!(json!(references), after, "{case}");
        }
    }

    #[test]
    fn missing_claims_are_written_with_the_labels_of_the_set() {
        let found = steps(&set("Delete", "Retain"), 0, None, &[]);
        let [ClaimStep::Create(made)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(made.name_any(), "data-web-0");
        assert_eq!(json!(made.labels()), json!({"app": "a", "tier": "db"}));
        assert_eq!(json!(made.owner_references()), json!([owner("StatefulSet", "web", "set")]));
        assert!(steps(&set("Delete", "Retain"), 1, None, &[]).is_empty(), "no longer wanted");
    }

    #[test]
    fn a_pod_waits_for_the_end_of_an_earlier_ones_claim() {
        let set = set("Retain", "Delete");
        assert!(!are_stale(&set, 0, &[]));
        assert!(!are_stale(&set, 0, &[claim(0, json!([]))]));
        assert!(are_stale(&set, 0, &[claim(0, json!([owner("Pod", "web-0", "earlier")]))]));
        let mut going = (*claim(0, json!([]))).clone();
        going.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        assert!(are_stale(&set, 0, &[Arc::new(going)]));
    }
}
