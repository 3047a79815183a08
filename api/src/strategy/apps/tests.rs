//! Rules of workloads: a change to a valid object, and the error that it earns.

use serde_json::{Value, json};

use crate::lifecycle::{before_status_update, before_update};
use crate::strategy::tests::{changed, create, refuses, resource};

fn workload(name: &str, spec: &Value) -> Value {
    let mut object = json!({"metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    json_patch::merge(&mut object["spec"], spec);
    object
}

/// What all workloads refuse.
fn common(kind: &str, empty: &str) -> Vec<(Value, String)> {
    let template = |change: Value| json!({"spec": {"template": {"spec": change}}});
    let mounts =
        json!([{"name": "c", "image": "i", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]);
    vec![
        (
            json!({"spec": {"selector": {"matchLabels": {"x": "y"}}}}),
            "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`".to_owned(),
        ),
        (
            json!({"spec": {"selector": {"matchLabels": null}}}),
            format!("spec.selector: Invalid value: {{}}: empty selector is invalid for {empty}"),
        ),
        (
            json!({"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}}}),
            "spec.selector.matchExpressions[0].values[0]: Invalid value: \"b c\"".to_owned(),
        ),
        (
            template(json!({"restartPolicy": "Never"})),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"".to_owned(),
        ),
        (
            template(json!({"activeDeadlineSeconds": 5})),
            format!("spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in {kind} is not Supported"),
        ),
        (
            template(json!({"containers": mounts})),
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"none\"".to_owned(),
        ),
        (
            template(json!({"ephemeralContainers": [{"name": "e", "image": "i"}]})),
            "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template".to_owned(),
        ),
        (
            json!({"spec": {"template": {"metadata": {"labels": {"bad key": "x"}}}}}),
            "spec.template.labels: Invalid value: \"bad key\"".to_owned(),
        ),
        (
            json!({"spec": {"minReadySeconds": -1}}),
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0".to_owned(),
        ),
    ]
}

fn refuses_all(plural: &str, base: &Value, common: &[(Value, String)], cases: &[(Value, &str)]) {
    let row = resource("apps", plural);
    let all: Vec<(Value, &str)> =
        common.iter().map(|(change, wanted)| (change.clone(), wanted.as_str())).collect();
    refuses(row, base, &all);
    refuses(row, base, cases);
}

/// What an update of the object or, with `status`, of its status comes to.
fn update(plural: &str, base: &Value, change: &Value, status: bool) -> Result<Value, String> {
    let row = resource("apps", plural);
    let old = create(row, base.clone()).expect("valid");
    let mut new = changed(&old, change);
    let done = if status { before_status_update } else { before_update };
    done(row, &mut new, &old).map(|()| new).map_err(|status| status.message)
}

fn refuses_update(plural: &str, base: &Value, status: bool, cases: &[(Value, &str)]) {
    for (change, wanted) in cases {
        let message = update(plural, base, change, status).expect_err(wanted);
        assert!(message.contains(wanted), "{change}\nwanted {wanted}\ngot    {message}");
    }
}

#[test]
fn deployments() {
    let base = workload("d", &json!({}));
    let strategy = |strategy: Value| json!({"spec": {"strategy": strategy}});
    let rolling = |change: Value| json!({"spec": {"strategy": {"rollingUpdate": change}}});
    refuses_all(
        "deployments",
        &base,
        &common("ReplicaSet", "deployment"),
        &[
            (json!({"spec": {"selector": null}}), "spec.selector: Required value"),
            (json!({"spec": {"replicas": -1}}), "spec.replicas: Invalid value: -1"),
            (
                strategy(json!({"type": "Magic"})),
                "spec.strategy: Unsupported value: {\"type\":\"Magic\"}: supported values: \"Recreate\", \"RollingUpdate\"",
            ),
            (
                strategy(json!({"type": "Recreate", "rollingUpdate": {}})),
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ),
            (
                rolling(json!({"maxUnavailable": "x"})),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"x\": a valid percent string",
            ),
            (
                rolling(json!({"maxUnavailable": "101%"})),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            ),
            (
                rolling(json!({"maxUnavailable": 0, "maxSurge": "0%"})),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            ),
            (
                json!({"spec": {"progressDeadlineSeconds": 5, "minReadySeconds": 5}}),
                "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
            ),
            (
                json!({"spec": {"revisionHistoryLimit": -1}}),
                "spec.revisionHistoryLimit: Invalid value: -1",
            ),
        ],
    );
    let surge = changed(&base, &rolling(json!({"maxSurge": "200%"})));
    create(resource("apps", "deployments"), surge).expect("as many more as one likes");
    let label = json!({"spec": {"selector": {"matchLabels": {"x": "y"}},
        "template": {"metadata": {"labels": {"x": "y"}}}}});
    let wanted = "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"x\":\"y\"}}: field is immutable";
    refuses_update("deployments", &base, false, &[(label, wanted)]);
    let annotated = json!({"metadata": {"annotations": {"x": "y"}}});
    let new = update("deployments", &base, &annotated, false).expect("valid");
    assert_eq!(new["metadata"]["generation"], 2, "annotations are handed down");
    refuses_update(
        "deployments",
        &base,
        true,
        &[
            (
                json!({"status": {"replicas": 1, "readyReplicas": 2}}),
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            ),
            (
                json!({"status": {"replicas": 2, "availableReplicas": 1}}),
                "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
            ),
            (json!({"status": {"collisionCount": -1}}), "status.collisionCount: Invalid value: -1"),
        ],
    );
}

#[test]
fn replica_sets() {
    let base = workload("r", &json!({}));
    refuses_all(
        "replicasets",
        &base,
        &common("ReplicaSet", "deployment"),
        &[(json!({"spec": {"replicas": -1}}), "spec.replicas: Invalid value: -1")],
    );
    refuses_update(
        "replicasets",
        &base,
        true,
        &[
            (
                json!({"status": {"fullyLabeledReplicas": 1}}),
                "status.fullyLabeledReplicas: Invalid value: 1: cannot be greater than status.replicas",
            ),
            (json!({"status": {"replicas": -1}}), "status.replicas: Invalid value: -1"),
        ],
    );
    let set = create(resource("apps", "replicasets"), base).expect("valid");
    let scaled = crate::strategy::with_scale(set, &json!({"spec": {"replicas": 4}}));
    let scale = crate::strategy::scale_of(&scaled);
    assert_eq!(scale["spec"]["replicas"], 4);
    assert_eq!(scale["status"]["selector"], "a=b");
}

#[test]
fn daemon_sets() {
    let base = workload("d", &json!({}));
    let rolling = |change: Value| json!({"spec": {"updateStrategy": {"rollingUpdate": change}}});
    refuses_all(
        "daemonsets",
        &base,
        &common("DaemonSet", "daemonset"),
        &[
            (
                json!({"spec": {"updateStrategy": {"type": "X"}}}),
                "spec.updateStrategy: Unsupported value: {\"type\":\"X\"}: supported values: \"RollingUpdate\", \"OnDelete\"",
            ),
            (
                rolling(json!({"maxUnavailable": 0})),
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ),
            (
                rolling(json!({"maxSurge": 1})),
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ),
        ],
    );
    let generation = |object: &Value| {
        object["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone()
    };
    let other = json!({"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}});
    let new = update("daemonsets", &base, &other, false).expect("valid");
    assert_eq!((generation(&new), &new["metadata"]["generation"]), (json!("2"), &json!(2)));
    let meddled = json!({"metadata": {"annotations": null}, "spec": {"minReadySeconds": 1}});
    let new = update("daemonsets", &base, &meddled, false).expect("valid");
    assert_eq!((generation(&new), &new["metadata"]["generation"]), (json!("1"), &json!(2)));
    let ready = (json!({"status": {"numberReady": -1}}), "status.numberReady: Invalid value: -1");
    refuses_update("daemonsets", &base, true, &[ready]);
}

#[test]
fn stateful_sets() {
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let mount =
        json!([{"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/x"}]}]);
    let base = workload(
        "s",
        &json!({"volumeClaimTemplates": [claim], "template": {"spec": {"containers": mount}}}),
    );
    let mut bad_claim = claim.clone();
    bad_claim["spec"]["accessModes"] = json!([]);
    let update_strategy = |strategy: Value| json!({"spec": {"updateStrategy": strategy}});
    refuses_all(
        "statefulsets",
        &base,
        &common("StatefulSet", "statefulset"),
        &[
            (json!({"metadata": {"name": "a.b"}}), "metadata.name: Invalid value: \"a.b\""),
            (
                json!({"spec": {"podManagementPolicy": "X"}}),
                "spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady' or 'Parallel'",
            ),
            (
                update_strategy(json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}})),
                "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'",
            ),
            (
                update_strategy(
                    json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}),
                ),
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
            ),
            (
                json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Burn"}}}),
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Burn\": supported values: \"Retain\", \"Delete\"",
            ),
            (
                json!({"spec": {"ordinals": {"start": -1}}}),
                "spec.ordinals.start: Invalid value: -1",
            ),
            (
                json!({"spec": {"volumeClaimTemplates": [bad_claim]}}),
                "spec.volumeClaimTemplates[0].spec.accessModes: Required value",
            ),
            (json!({"spec": {"serviceName": "A"}}), "spec.serviceName: Invalid value: \"A\""),
        ],
    );
    refuses_update(
        "statefulsets",
        &base,
        false,
        &[
            (
                json!({"spec": {"serviceName": "other"}}),
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ),
            (json!({"spec": {"podManagementPolicy": "Parallel"}}), "spec: Forbidden: updates to"),
        ],
    );
    let change = json!({"spec": {"replicas": 3, "minReadySeconds": 2, "revisionHistoryLimit": 2}});
    update("statefulsets", &base, &change, false).expect("these may change");
    let available = (
        json!({"status": {"replicas": 1, "availableReplicas": 1}}),
        "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas",
    );
    refuses_update("statefulsets", &base, true, &[available]);
}

#[test]
fn controller_revisions() {
    let base = json!({"metadata": {"name": "r"}, "data": {"a": 1}, "revision": 1});
    refuses(
        resource("apps", "controllerrevisions"),
        &base,
        &[
            (json!({"data": null}), "data: Required value: data is mandatory"),
            (json!({"revision": -1}), "revision: Invalid value: -1"),
        ],
    );
    let data = (json!({"data": {"a": 2}}), "data: Invalid value: {\"a\":2}: field is immutable");
    refuses_update("controllerrevisions", &base, false, &[data]);
    update("controllerrevisions", &base, &json!({"revision": 2}), false).expect("counts on");
}
