//! Which ResourceClaims a pod uses, and who uses a ResourceClaim.
//!
//! Source: k8s.io/dynamic-resource-allocation/resourceclaim.

use k8s_openapi::api::core::v1::{Pod, PodResourceClaim};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference};

use crate::owner;

/// Finalizer of a claim that is allocated: drivers still need it.
pub const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// How many users a claim has at most.
pub const MAX_USERS: usize = 256;

/// Which claim stands behind an entry of `spec.resourceClaims`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The claim of this name in the pod's namespace.
    Claim {
        /// Its name.
        name: String,
        /// It is made for the pod from a template, and has to be the pod's own.
        own: bool,
    },
    /// The claim has yet to be made from its template.
    NotYet,
    /// It was found that the pod needs none.
    None,
    /// Neither a claim nor a template is named.
    Unsupported,
}

/// The claim behind an entry of the pod's `spec.resourceClaims`.
#[must_use]
pub fn named(pod: &Pod, entry: &PodResourceClaim) -> Named {
    if let Some(name) = &entry.resource_claim_name {
        return Named::Claim { name: name.clone(), own: false };
    }
    if entry.resource_claim_template_name.is_none() {
        return Named::Unsupported;
    }
    let made = pod.status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    match made.into_iter().find(|status| status.name == entry.name) {
        None => Named::NotYet,
        Some(status) => match &status.resource_claim_name {
            None => Named::None,
            Some(name) => Named::Claim { name: name.clone(), own: true },
        },
    }
}

/// The entries of a pod's `spec.resourceClaims`.
pub fn entries(pod: &Pod) -> impl Iterator<Item = &PodResourceClaim> {
    pod.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten())
}

/// The users of a claim.
#[must_use]
pub fn users(claim: &ResourceClaim) -> &[ResourceClaimConsumerReference] {
    let users = claim.status.as_ref().and_then(|status| status.reserved_for.as_deref());
    users.unwrap_or_default()
}

/// Whether devices are allocated to a claim.
#[must_use]
pub fn is_allocated(claim: &ResourceClaim) -> bool {
    claim.status.as_ref().is_some_and(|status| status.allocation.is_some())
}

/// Whether the object of this UID uses a claim.
#[must_use]
pub fn is_reserved_for(claim: &ResourceClaim, uid: &str) -> bool {
    users(claim).iter().any(|user| user.uid == uid)
}

/// Whether one more may use a claim.
#[must_use]
pub fn can_be_reserved(claim: &ResourceClaim) -> bool {
    users(claim).len() < MAX_USERS
}

/// The entry of a pod in `status.reservedFor`.
#[must_use]
pub fn user(pod_name: &str, pod_uid: &str) -> ResourceClaimConsumerReference {
    ResourceClaimConsumerReference {
        api_group: None,
        resource: "pods".to_owned(),
        name: pod_name.to_owned(),
        uid: pod_uid.to_owned(),
    }
}

/// Name and UID of the pod that a claim was made for.
#[must_use]
pub fn owning_pod(claim: &ResourceClaim) -> Option<(&str, &str)> {
    let owner = owner::controller_of(&claim.metadata)?;
    let is_pod = owner.api_version == "v1" && owner.kind == "Pod";
    is_pod.then_some((owner.name.as_str(), owner.uid.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn claims_behind_the_entries_of_a_pod() {
        let pod: Pod = object(json!({"metadata": {"name": "p"},
            "spec": {"containers": [], "resourceClaims": [
                {"name": "given", "resourceClaimName": "c"},
                {"name": "made", "resourceClaimTemplateName": "t"},
                {"name": "later", "resourceClaimTemplateName": "t"},
                {"name": "needless", "resourceClaimTemplateName": "t"},
                {"name": "odd"}]},
            "status": {"resourceClaimStatuses": [
                {"name": "made", "resourceClaimName": "p-made-x"}, {"name": "needless"}]}}));
        let found: Vec<Named> = entries(&pod).map(|entry| named(&pod, entry)).collect();
        let claim = |name: &str, own| Named::Claim { name: name.to_owned(), own };
        let want = [
            claim("c", false),
            claim("p-made-x", true),
            Named::NotYet,
            Named::None,
            Named::Unsupported,
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn users_and_owner_of_a_claim() {
        let claim = |users: usize, owner: Value| -> ResourceClaim {
            let users: Vec<_> = (0..users).map(|n| user("p", &n.to_string())).collect();
            object(json!({"metadata": {"name": "c", "ownerReferences": [owner]},
                "spec": {}, "status": {"reservedFor": users}}))
        };
        let owner = |kind: &str, controller: bool| {
            json!({"apiVersion": "v1", "kind": kind, "name": "p", "uid": "u",
                "controller": controller})
        };
        let full = claim(MAX_USERS, owner("Pod", true));
        assert!(!can_be_reserved(&full) && is_reserved_for(&full, "255"));
        assert!(!is_reserved_for(&full, "256") && !is_allocated(&full));
        assert_eq!(owning_pod(&full), Some(("p", "u")));
        assert!(can_be_reserved(&claim(MAX_USERS - 1, owner("Pod", true))));
        assert_eq!(owning_pod(&claim(0, owner("Pod", false))), None);
        assert_eq!(owning_pod(&claim(0, owner("Node", true))), None);
    }
}
