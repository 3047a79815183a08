use serde_json::{Value, json};

use super::{V1, V2};
use crate::lifecycle::{before_status_update, before_update};
use crate::resources::{Resource, by_path};
use crate::strategy::Strategy as _;
use crate::strategy::tests::{accepts_update, changed, create, refuses, refuses_update};

fn autoscalers(version: &str) -> &'static Resource {
    by_path("autoscaling", version, "horizontalpodautoscalers").expect("served")
}

fn target() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
}

fn base() -> Value {
    json!({"metadata": {"name": "a"}, "spec": {"scaleTargetRef": target(), "maxReplicas": 3}})
}

#[test]
fn rules_of_both_versions() {
    let reference = |change: Value| json!({"spec": {"scaleTargetRef": change}});
    let both = [
        (
            json!({"spec": {"minReplicas": 0}}),
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        ),
        (
            json!({"spec": {"maxReplicas": 0}}),
            "spec.maxReplicas: Invalid value: 0: must be greater than 0",
        ),
        (
            json!({"spec": {"minReplicas": 4}}),
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
        ),
        (reference(json!({"kind": ""})), "spec.scaleTargetRef.kind: Required value"),
        (
            reference(json!({"name": "a/b"})),
            "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
        ),
        (
            reference(json!({"apiVersion": "v1"})),
            "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group",
        ),
        (reference(json!({"apiVersion": "a/b/c"})), "unexpected GroupVersion string: a/b/c"),
    ];
    for version in ["v1", "v2"] {
        refuses(autoscalers(version), &base(), &both);
        let controller = json!({"kind": "ReplicationController", "apiVersion": "v1"});
        create(autoscalers(version), changed(&base(), &reference(controller))).expect("valid");
        let moved = reference(json!({"apiVersion": "v1", "kind": "Other"}));
        refuses_update(
            autoscalers(version),
            &base(),
            &[(moved, "apiVersion must specify API group")],
        );
        accepts_update(autoscalers(version), &base(), &[reference(json!({"name": "other"}))]);
    }
    let percent = json!({"spec": {"targetCPUUtilizationPercentage": 0}});
    let wanted = "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0";
    refuses(autoscalers("v1"), &base(), &[(percent, wanted)]);
}

#[test]
fn metrics_of_v2() {
    let with = |metric: Value| json!({"spec": {"metrics": [metric]}});
    let target =
        |target: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
    let at = "spec.metrics[0]";
    let cases = [
        (json!({}), "type: Required value: must specify a metric source type"),
        (
            json!({"type": "X"}),
            "type: Unsupported value: \"X\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
        ),
        (
            json!({"type": "Pods"}),
            "pods: Required value: must populate information for the given metric source",
        ),
        (
            json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 1}},
                "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}}),
            "pods: Forbidden: must populate the given metric source only",
        ),
        (
            target(json!({})),
            "resource.target.type: Required value: must specify a metric target type",
        ),
        (
            target(json!({"type": "X"})),
            "resource.target.type: Invalid value: \"X\": must be either Utilization, Value, or AverageValue",
        ),
        (
            target(json!({"type": "Utilization"})),
            "resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
        ),
        (
            target(json!({"type": "Utilization", "averageUtilization": 1, "averageValue": "1"})),
            "resource.target.averageValue: Forbidden",
        ),
        (
            target(json!({"type": "AverageValue", "averageValue": "0"})),
            "resource.target.averageValue: Invalid value: \"0\": must be positive",
        ),
        (
            json!({"type": "Pods", "pods": {"metric": {}, "target": {"type": "Value", "value": "1"}}}),
            "pods.target.averageValue: Required value: must specify a positive target averageValue",
        ),
        (
            json!({"type": "Pods", "pods": {"metric": {}}}),
            "pods.metric.name: Required value: must specify a metric name",
        ),
        (
            json!({"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1", "averageValue": "1"}}}),
            "external.target.value: Forbidden: may not set both",
        ),
        (
            json!({"type": "Object", "object": {"metric": {"name": "m"}, "describedObject": {"kind": "K"}, "target": {"type": "Value", "value": "1"}}}),
            "object.describedObject.name: Required value",
        ),
        (
            json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 1}}}),
            "containerResource.container: Required value: must specify a container",
        ),
        (
            json!({"type": "ContainerResource", "containerResource": {"name": "x", "container": "c", "target": {"type": "Utilization", "averageUtilization": 1}}}),
            "containerResource.name: Invalid value: \"x\": must be a standard resource type",
        ),
    ];
    for (metric, wanted) in cases {
        refuses(autoscalers("v2"), &base(), &[(with(metric), &format!("{at}.{wanted}"))]);
    }
}

#[test]
fn behavior_is_completed_and_checked() {
    let behavior = |behavior: Value| json!({"spec": {"behavior": behavior}});
    let made = create(
        autoscalers("v2"),
        changed(&base(), &behavior(json!({"scaleDown": {"stabilizationWindowSeconds": 5}}))),
    )
    .expect("valid");
    assert_eq!(
        made["spec"]["behavior"],
        json!({
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15}]},
            "scaleDown": {"stabilizationWindowSeconds": 5, "selectPolicy": "Max", "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15}]},
        })
    );
    let policy = |policy: Value| behavior(json!({"scaleUp": {"policies": [policy]}}));
    refuses(
        autoscalers("v2"),
        &base(),
        &[
            (
                behavior(json!({"scaleUp": {"stabilizationWindowSeconds": -1}})),
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
            ),
            (
                behavior(json!({"scaleUp": {"stabilizationWindowSeconds": 3601}})),
                "must be less than or equal to 3600",
            ),
            (
                behavior(json!({"scaleUp": {"selectPolicy": "X"}})),
                "selectPolicy: Unsupported value: \"X\": supported values: \"Disabled\", \"Max\", \"Min\"",
            ),
            (
                behavior(json!({"scaleDown": {"tolerance": "-1"}})),
                "spec.behavior.scaleDown.tolerance: Invalid value",
            ),
            (
                policy(json!({"type": "X", "value": 1, "periodSeconds": 1})),
                "policies[0].type: Unsupported value: \"X\": supported values: \"Percent\", \"Pods\"",
            ),
            (
                policy(json!({"type": "Pods", "value": 0, "periodSeconds": 1})),
                "policies[0].value: Invalid value: 0: must be greater than zero",
            ),
            (
                policy(json!({"type": "Pods", "value": 1, "periodSeconds": 1801})),
                "policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
            ),
        ],
    );
}

/// An object of v2 with something of everything.
fn rich() -> Value {
    let selector = json!({"matchLabels": {"a": "b"}});
    let average = json!({"type": "AverageValue", "averageValue": "5"});
    let metric = |name: &str| json!({"name": name, "selector": selector});
    let mut object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a", "namespace": "d", "annotations": {"mine": "x"}},
        "spec": {"scaleTargetRef": target(), "minReplicas": 2, "maxReplicas": 9, "metrics": [
            {"type": "Object", "object": {"describedObject": target(), "metric": metric("o"), "target": {"type": "Value", "value": "7"}}},
            {"type": "Object", "object": {"describedObject": target(), "metric": metric("p"), "target": average}},
            {"type": "Pods", "pods": {"metric": metric("q"), "target": average}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 40}}},
            {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": average}},
            {"type": "External", "external": {"metric": metric("r"), "target": {"type": "Value", "value": "1"}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}],
            "behavior": {"scaleUp": {"tolerance": "100m", "selectPolicy": "Min"}}},
        "status": {"currentReplicas": 3, "desiredReplicas": 4, "observedGeneration": 2, "lastScaleTime": "2024-01-01T00:00:00Z",
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 50, "averageValue": "100m"}}},
                {"type": "External", "external": {"metric": metric("r"), "current": {"value": "2"}}}],
            "conditions": [{"type": "AbleToScale", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
    V2.default(&mut object);
    object
}

#[test]
fn nothing_is_lost_between_the_versions() {
    let stored = rich();
    let seen = V1.from_stored(stored.clone());
    assert_eq!(seen["apiVersion"], "autoscaling/v1");
    assert_eq!(
        seen["spec"],
        json!({"scaleTargetRef": target(), "minReplicas": 2, "maxReplicas": 9, "targetCPUUtilizationPercentage": 60})
    );
    assert_eq!(
        seen["status"],
        json!({"currentReplicas": 3, "desiredReplicas": 4, "observedGeneration": 2,
            "lastScaleTime": "2024-01-01T00:00:00Z", "currentCPUUtilizationPercentage": 50})
    );
    let annotations = seen["metadata"]["annotations"].as_object().expect("annotations");
    assert_eq!(annotations.len(), 5);
    let parsed = |key: &str| -> Value {
        let text =
            annotations[&format!("autoscaling.alpha.kubernetes.io/{key}")].as_str().expect("text");
        serde_json::from_str(text).expect("JSON")
    };
    assert_eq!(parsed("metrics")[0]["object"]["targetValue"], "7");
    assert_eq!(parsed("metrics")[1]["object"]["targetValue"], "0");
    assert_eq!(parsed("metrics")[3]["resource"]["targetAverageUtilization"], 40);
    assert_eq!(parsed("current-metrics")[0]["resource"]["currentAverageValue"], "100m");
    assert_eq!(parsed("behavior")["ScaleUp"]["Tolerance"], "100m");
    assert_eq!(parsed("conditions")[0]["type"], "AbleToScale");
    assert_eq!(V1.to_stored(seen), stored);
}

#[test]
fn defaults_of_v1_are_those_of_v2() {
    let made = create(autoscalers("v1"), base()).expect("valid");
    assert_eq!(
        made["spec"],
        json!({"scaleTargetRef": target(), "minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 80})
    );
    assert_eq!(made["status"], json!({"currentReplicas": 0, "desiredReplicas": 0}));
    assert!(made["metadata"].get("annotations").is_none());
    let mut stored = V1.to_stored(made.clone());
    let mut same = create(autoscalers("v2"), base()).expect("valid");
    for object in [&mut stored, &mut same] {
        crate::meta::remove(object, "apiVersion");
    }
    assert_eq!(stored["spec"], same["spec"]);
    // A broken annotation is as none, and does not stay.
    let broken = json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "[{\"type\": 7}]"}}});
    let made = create(autoscalers("v1"), changed(&base(), &broken)).expect("valid");
    assert!(made["metadata"].get("annotations").is_none());
}

/// Through v1, clients change what v1 shows and keep what it cannot.
#[test]
fn updates_through_v1() {
    let autoscalers = autoscalers("v1");
    let old = V1.from_stored(rich());
    let mut new = changed(
        &old,
        &json!({"spec": {"maxReplicas": 10, "targetCPUUtilizationPercentage": 70},
        "status": {"currentReplicas": 99}, "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/conditions": "[]"}}}),
    );
    before_update(autoscalers, &mut new, &old).expect("valid");
    let stored = V1.to_stored(new);
    assert_eq!(stored["status"], rich()["status"], "status has its own path");
    assert_eq!(stored["spec"]["maxReplicas"], 10);
    assert_eq!(stored["spec"]["metrics"][6]["resource"]["target"]["averageUtilization"], 70);
    assert_eq!(stored["spec"]["metrics"][0], rich()["spec"]["metrics"][0]);
    assert_eq!(stored["spec"]["behavior"], rich()["spec"]["behavior"]);

    let mut new =
        changed(&old, &json!({"spec": {"maxReplicas": 10}, "status": {"currentReplicas": 5}}));
    before_status_update(autoscalers, &mut new, &old).expect("valid");
    assert_eq!((&new["spec"], &new["status"]["currentReplicas"]), (&old["spec"], &json!(5)));
    let mut new = changed(&old, &json!({"status": {"desiredReplicas": -1}}));
    let status = before_status_update(autoscalers, &mut new, &old).expect_err("negative");
    assert!(status.message.contains("status.desiredReplicas: Invalid value: -1"), "{status}");
}
