//! Rules of PodDisruptionBudgets, PriorityClasses and RuntimeClasses.

use serde_json::{Value, json};

use super::tests::{accepts_update, changed, create, refuses, refuses_update, resource};
use crate::lifecycle::{before_status_update, before_update};

#[test]
fn pod_disruption_budgets() {
    let budgets = resource("policy", "poddisruptionbudgets");
    let base = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}});
    let spec = |change: Value| json!({"spec": change});
    refuses(
        budgets,
        &base,
        &[
            (
                spec(json!({"maxUnavailable": 1})),
                "minAvailable and maxUnavailable cannot be both set",
            ),
            (
                spec(json!({"minAvailable": -1})),
                "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                spec(json!({"minAvailable": "101%"})),
                "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%",
            ),
            (
                spec(json!({"minAvailable": "x"})),
                "spec.minAvailable: Invalid value: \"x\": a valid percent string must be",
            ),
            (
                spec(json!({"selector": {"matchLabels": {"a": "b c"}}})),
                "spec.selector.matchLabels: Invalid value: \"b c\"",
            ),
            (
                spec(json!({"unhealthyPodEvictionPolicy": "X"})),
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"X\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
            ),
        ],
    );
    accepts_update(
        budgets,
        &base,
        &[spec(json!({"minAvailable": 2, "selector": {"matchLabels": {"a": "c"}}}))],
    );
    let old = create(budgets, base).expect("valid");
    let condition = json!({"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
        "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z"});
    let with = |change: Value| {
        let condition = changed(&condition, &change);
        json!({"status": {"conditions": [condition]}})
    };
    for (change, wanted) in [
        (json!({"status": {"currentHealthy": -1}}), "status.currentHealthy: Invalid value: -1"),
        (with(json!({"type": "a b"})), "status.conditions[0].type: Invalid value: \"a b\""),
        (
            with(json!({"status": "Yes"})),
            "status.conditions[0].status: Unsupported value: \"Yes\": supported values: \"False\", \"True\", \"Unknown\"",
        ),
        (with(json!({"reason": ""})), "status.conditions[0].reason: Required value: must be set"),
        (
            with(json!({"reason": "a b"})),
            "status.conditions[0].reason: Invalid value: \"a b\": a condition reason must start",
        ),
        (
            with(json!({"lastTransitionTime": null})),
            "status.conditions[0].lastTransitionTime: Required value: must be set",
        ),
        (
            json!({"status": {"conditions": [condition, condition]}}),
            "status.conditions[1].type: Duplicate value",
        ),
    ] {
        let mut new = changed(&old, &change);
        let status = before_status_update(budgets, &mut new, &old).expect_err(wanted);
        assert!(status.message.contains(wanted), "wanted {wanted}\ngot    {status}");
    }
    let mut new = changed(&old, &with(json!({})));
    before_status_update(budgets, &mut new, &old).expect("valid");
}

#[test]
fn priority_classes() {
    let classes = resource("scheduling.k8s.io", "priorityclasses");
    let base = json!({"metadata": {"name": "c"}, "value": 7});
    let named = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value});
    let reserved = "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: ";
    refuses(
        classes,
        &base,
        &[
            (
                json!({"value": 1_000_000_001}),
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
            ),
            (
                named("system-x", 1),
                &format!("{reserved}system-x is not a known system priority class"),
            ),
            (
                named("system-node-critical", 1),
                &format!(
                    "{reserved}value of system-node-critical PriorityClass must be 2000001000"
                ),
            ),
            (
                changed(
                    &named("system-node-critical", 2_000_001_000),
                    &json!({"globalDefault": true}),
                ),
                "globalDefault of system-node-critical PriorityClass must be false",
            ),
            (
                json!({"preemptionPolicy": "X"}),
                "preemptionPolicy: Unsupported value: \"X\": supported values: \"Never\", \"PreemptLowerPriority\"",
            ),
        ],
    );
    create(classes, named("system-cluster-critical", 2_000_000_000)).expect("valid");
    refuses_update(
        classes,
        &base,
        &[
            (json!({"value": 8}), "value: Forbidden: may not be changed in an update."),
            (
                json!({"preemptionPolicy": "Never"}),
                "preemptionPolicy: Invalid value: \"Never\": field is immutable",
            ),
        ],
    );
    let old = create(classes, base).expect("valid");
    let mut new = changed(&old, &json!({"description": "d", "globalDefault": true}));
    before_update(classes, &mut new, &old).expect("valid");
    assert_eq!(new["metadata"]["generation"], 1);
}

#[test]
fn runtime_classes() {
    let classes = resource("node.k8s.io", "runtimeclasses");
    let base = json!({"metadata": {"name": "c"}, "handler": "h", "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]}});
    let scheduling = |change: Value| json!({"scheduling": change});
    refuses(
        classes,
        &base,
        &[
            (json!({"handler": ""}), "handler: Invalid value: \"\": a lowercase RFC 1123 label"),
            (json!({"handler": "A.b"}), "handler: Invalid value: \"A.b\""),
            (
                json!({"overhead": {"podFixed": {"cpu": "-1"}}}),
                "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                scheduling(json!({"nodeSelector": {"a": "b c"}})),
                "scheduling.nodeSelector: Invalid value: \"b c\"",
            ),
            (
                scheduling(json!({"tolerations": [{"operator": "X"}]})),
                "scheduling.tolerations[0].operator: Unsupported value: \"X\"",
            ),
            (
                scheduling(
                    json!({"tolerations": [{"key": "k", "operator": "Exists"}, {"key": "k", "operator": "Exists"}]}),
                ),
                "scheduling.tolerations[1]: Duplicate value",
            ),
        ],
    );
    refuses_update(
        classes,
        &base,
        &[(json!({"handler": "i"}), "handler: Invalid value: \"i\": field is immutable")],
    );
    accepts_update(classes, &base, &[scheduling(json!({"nodeSelector": {"a": "c"}}))]);
}
