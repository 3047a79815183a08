//! The objects that must be as they are, so that a server stays reachable whatever else is set.
//!
//! Source: k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap.

use serde_json::{Value, json};

/// The schema, and the priority level, of those who may never be made to wait.
pub(super) const EXEMPT: &str = "exempt";
/// The schema, and the priority level, of requests that no other schema matches.
const CATCH_ALL: &str = "catch-all";

/// The spec that the FlowSchema of this name must have.
pub(super) fn flow_schema(name: &str) -> Option<Value> {
    let rules = |groups: &[&str]| {
        let subjects: Vec<Value> =
            groups.iter().map(|group| json!({"kind": "Group", "group": {"name": group}})).collect();
        json!([{
            "subjects": subjects,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
                "clusterScope": true, "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }])
    };
    match name {
        EXEMPT => Some(json!({
            "priorityLevelConfiguration": {"name": EXEMPT}, "matchingPrecedence": 1,
            "rules": rules(&["system:masters"]),
        })),
        CATCH_ALL => Some(json!({
            "priorityLevelConfiguration": {"name": CATCH_ALL}, "matchingPrecedence": 10_000,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": rules(&["system:unauthenticated", "system:authenticated"]),
        })),
        _ => None,
    }
}

/// The spec that the PriorityLevelConfiguration of this name must have. What the exempt level has
/// in `exempt` is the administrator's.
pub(super) fn priority_level(name: &str) -> Option<Value> {
    match name {
        EXEMPT => Some(json!({
            "type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0},
        })),
        CATCH_ALL => Some(json!({
            "type": "Limited",
            "limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"},
                "lendablePercent": 0},
        })),
        _ => None,
    }
}
