//! What becomes of a claim when its users have ended: they are struck out, the devices are given
//! back when nobody is left, and a claim that was made for a pod goes. Pure.

use api::resource_claim::{FINALIZER, is_allocated, users};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference};
use kube::ResourceExt;

/// What to do about a claim, in this order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Who uses it from now on, if that changes.
    pub(super) users: Option<Vec<ResourceClaimConsumerReference>>,
    /// Its devices are given back.
    pub(super) deallocate: bool,
    /// Its finalizer goes.
    pub(super) release: bool,
    /// It is deleted.
    pub(super) delete: bool,
}

/// Decides. `is_over` says whether a user is gone or done for good, `owner_is_over` the same of the pod
/// that the claim was made for.
pub(super) fn plan(
    claim: &ResourceClaim,
    is_over: impl Fn(&ResourceClaimConsumerReference) -> bool,
    owner_is_over: bool,
) -> Plan {
    let users = users(claim);
    let left: Vec<_> = users.iter().filter(|user| !is_over(user)).cloned().collect();
    let unused = left.is_empty();
    let was_used = left.len() < users.len();
    let deleted = claim.metadata.deletion_timestamp.is_some();
    // Without the finalizer it was somebody else who allocated it. One that is allocated in advance
    // and was never used stays allocated, unless it is to go.
    let ours = claim.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let give_back = ours && unused && (was_used || deleted);
    Plan {
        users: was_used.then_some(left),
        deallocate: give_back && is_allocated(claim),
        release: give_back,
        delete: unused && owner_is_over && !deleted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(users: &[&str], meta: Value, allocated: bool) -> ResourceClaim {
        let users: Vec<_> = users.iter().map(|uid| api::resource_claim::user("p", uid)).collect();
        let mut status = json!({"reservedFor": users});
        if allocated {
            status["allocation"] = json!({});
        }
        let claim = json!({"metadata": meta, "spec": {}, "status": status});
        serde_json::from_value(claim).unwrap()
    }

    #[test]
    fn users_that_ended_give_the_devices_back() {
        let kept = json!({"finalizers": [FINALIZER]});
        let going = json!({"finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let left = |uids: &[&str]| {
            Some(uids.iter().map(|uid| api::resource_claim::user("p", uid)).collect::<Vec<_>>())
        };
        let nothing = Plan::default;
        let all = |users| Plan { users, deallocate: true, release: true, delete: false };
        // Users, of whom those beginning with x are over; metadata; is allocated; the plan.
        let cases = [
            (vec!["a"], &kept, true, nothing()),
            (vec!["a", "x"], &kept, true, Plan { users: left(&["a"]), ..nothing() }),
            (vec!["x", "xx"], &kept, true, all(left(&[]))),
            (vec!["x"], &json!({}), true, Plan { users: left(&[]), ..nothing() }),
            (vec![], &kept, true, nothing()),
            (vec![], &going, true, all(None)),
            (vec![], &going, false, Plan { release: true, ..nothing() }),
            (vec!["a"], &going, true, nothing()),
            (vec!["x"], &going, true, all(left(&[]))),
        ];
        for (users, meta, allocated, want) in cases {
            let claim = claim(&users, meta.clone(), allocated);
            let got = plan(&claim, |user| user.uid.starts_with('x'), false);
            assert_eq!(got, want, "{users:?} {meta}");
        }
    }

    #[test]
    fn a_claim_goes_with_the_pod_it_was_made_for() {
        let delete = |users: &[&str], meta: Value, over| {
            plan(&claim(users, meta, false), |user| user.uid == "x", over).delete
        };
        assert!(delete(&[], json!({}), true) && delete(&["x"], json!({}), true));
        assert!(!delete(&["a"], json!({}), true), "somebody else uses it");
        assert!(!delete(&[], json!({}), false));
        let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert!(!delete(&[], going, true), "it is going already");
    }
}
