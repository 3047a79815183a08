//! Rules of templates, limits and volumes: a change to a valid object, and the error that it earns.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::lifecycle::{before_status_update, before_update};
use crate::strategy::tests::{changed, create, refuses, resource};

fn update(plural: &str, old: &Value, change: &Value) -> Result<Value, String> {
    let mut new = changed(old, change);
    let done = before_update(resource("", plural), &mut new, old);
    done.map(|()| new).map_err(|status| status.message)
}

fn refuses_update(plural: &str, old: &Value, cases: &[(Value, &str)]) {
    for (change, wanted) in cases {
        let message = update(plural, old, change).expect_err(wanted);
        assert!(message.contains(wanted), "{change}\nwanted {wanted}\ngot    {message}");
    }
}

#[test]
fn pod_templates() {
    let base = json!({"metadata": {"name": "t"},
        "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}});
    refuses(
        resource("", "podtemplates"),
        &base,
        &[
            (json!({"template": null}), "template.spec.containers: Required value"),
            (
                json!({"template": {"metadata": {"annotations": {"a b": "c"}}}}),
                "template.annotations: Invalid value: \"a b\"",
            ),
        ],
    );
    let old = create(resource("", "podtemplates"), base).expect("valid");
    let label = json!({"template": {"metadata": {"labels": {"a": "b"}}}});
    assert_eq!(update("podtemplates", &old, &label).expect("valid")["metadata"]["generation"], 2);
}

#[test]
fn limit_ranges() {
    let limits = |limit: Value| json!({"spec": {"limits": [limit]}});
    let row = resource("", "limitranges");
    let base = changed(&json!({"metadata": {"name": "l"}}), &limits(json!({"type": "Container"})));
    refuses(
        row,
        &base,
        &[
            (
                limits(json!({"type": "Dream"})),
                "spec.limits[0].type: Invalid value: \"Dream\": must be a standard limit type or fully qualified",
            ),
            (
                json!({"spec": {"limits": [{"type": "Pod"}, {"type": "Pod"}]}}),
                "spec.limits[1].type: Duplicate value: \"Pod\"",
            ),
            (
                limits(json!({"type": "Container", "max": {"love": "1"}})),
                "spec.limits[0].max[love]: Invalid value: \"love\": must be a standard resource type or fully qualified",
            ),
            (
                limits(json!({"type": "Pod", "default": {"cpu": "1"}})),
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            ),
            (
                limits(json!({"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}})),
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            ),
            (
                limits(
                    json!({"type": "Container", "defaultRequest": {"cpu": "2"}, "default": {"cpu": "1"}}),
                ),
                "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is greater than default limit value 1",
            ),
            (
                limits(json!({"type": "PersistentVolumeClaim"})),
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required",
            ),
            (
                limits(json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}})),
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
            ),
            (
                limits(
                    json!({"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}}),
                ),
                "ratio 3 is greater than max/min = 2.000000",
            ),
        ],
    );
    let made =
        create(row, changed(&base, &limits(json!({"type": "Container", "min": {"cpu": "1"}}))))
            .expect("valid");
    assert_eq!(
        made["spec"]["limits"][0],
        json!({"type": "Container", "min": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}})
    );
}

#[test]
fn resource_quotas() {
    let base = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "5"}}});
    let scoped = |requirement: Value| json!({"spec": {"scopeSelector": {"matchExpressions": [requirement]}}});
    refuses(
        resource("", "resourcequotas"),
        &base,
        &[
            (
                json!({"spec": {"hard": {"love": "1"}}}),
                "spec.hard[love]: Invalid value: \"love\": must be a standard resource for quota",
            ),
            (
                json!({"spec": {"hard": {"pods": "-1"}}}),
                "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                json!({"spec": {"hard": {"pods": "1500m"}}}),
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
            ),
            (
                json!({"spec": {"scopes": ["Sometimes"]}}),
                "spec.scopes: Invalid value: [\"Sometimes\"]: unsupported scope",
            ),
            (
                json!({"spec": {"hard": {"configmaps": "1"}, "scopes": ["BestEffort"]}}),
                "unsupported scope applied to resource",
            ),
            (
                json!({"spec": {"scopes": ["BestEffort", "NotBestEffort"]}}),
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes",
            ),
            (
                scoped(json!({"scopeName": "PriorityClass", "operator": "In"})),
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value",
            ),
            (
                scoped(json!({"scopeName": "Terminating", "operator": "In", "values": ["x"]})),
                "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exist'",
            ),
            (
                scoped(json!({"scopeName": "PriorityClass", "operator": "Is"})),
                "not a valid selector operator",
            ),
        ],
    );
    let row = resource("", "resourcequotas");
    let many = json!({"spec": {"hard": {"requests.cpu": "1.5", "count/deployments.apps": "2",
        "requests.example.com/gpu": "1", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"}}});
    let old = create(row, changed(&base, &many)).expect("valid");
    let scopes = json!({"spec": {"hard": {"pods": "5"}, "scopes": ["BestEffort"]}});
    refuses_update(
        "resourcequotas",
        &create(row, base).expect("valid"),
        &[(scopes, "spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable")],
    );
    let mut used = changed(&old, &json!({"status": {"used": {"pods": "-1"}}}));
    let error = before_status_update(row, &mut used, &old).expect_err("negative");
    assert!(error.message.contains("status.used[pods]: Invalid value: \"-1\""), "{error}");
}

fn claim() -> Value {
    json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}}}})
}

#[test]
fn claims() {
    let row = resource("", "persistentvolumeclaims");
    let spec = |spec: Value| json!({"spec": spec});
    refuses(
        row,
        &claim(),
        &[
            (
                spec(json!({"accessModes": null})),
                "spec.accessModes: Required value: at least 1 access mode is required",
            ),
            (
                spec(json!({"accessModes": ["Read"]})),
                "spec.accessModes: Unsupported value: \"Read\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            ),
            (
                spec(json!({"accessModes": ["ReadWriteOncePod", "ReadWriteMany"]})),
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
            ),
            (spec(json!({"resources": null})), "spec.resources[storage]: Required value"),
            (
                spec(json!({"resources": {"requests": {"storage": "0"}}})),
                "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
            ),
            (
                spec(json!({"volumeMode": "Tape"})),
                "spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\"",
            ),
            (spec(json!({"storageClassName": "A"})), "spec.storageClassName: Invalid value: \"A\""),
            (
                spec(json!({"dataSourceRef": {"kind": "Tape", "name": "x"}})),
                "spec.dataSourceRef: Invalid value: \"Tape\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            ),
        ],
    );
    let source = json!({"apiGroup": "x.io", "kind": "Backup", "name": "b"});
    let made =
        create(row, changed(&claim(), &spec(json!({"dataSourceRef": source})))).expect("valid");
    assert!(made["spec"].get("dataSource").is_none(), "the older field knows no backups");
    let source = json!({"kind": "PersistentVolumeClaim", "name": "b"});
    let made = create(row, changed(&claim(), &spec(json!({"dataSource": source})))).expect("valid");
    assert_eq!(made["spec"]["dataSourceRef"], source);
    let old = create(row, claim()).expect("valid");
    let immutable = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    refuses_update(
        "persistentvolumeclaims",
        &old,
        &[
            (spec(json!({"accessModes": ["ReadWriteMany"]})), immutable),
            (spec(json!({"resources": {"requests": {"storage": "3Gi"}}})), immutable),
            (
                spec(json!({"volumeMode": "Block"})),
                "volumeMode: Invalid value: \"Block\": field is immutable",
            ),
            (spec(json!({"volumeAttributesClassName": "gold"})), immutable),
        ],
    );
    let bind = spec(json!({"volumeName": "pv", "storageClassName": "s"}));
    let mut bound = update("persistentvolumeclaims", &old, &bind).expect("bound once");
    refuses_update(
        "persistentvolumeclaims",
        &bound,
        &[(spec(json!({"volumeName": "other"})), immutable)],
    );
    bound["status"] = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}});
    let grown = spec(json!({"resources": {"requests": {"storage": "3Gi"}}}));
    update("persistentvolumeclaims", &bound, &grown).expect("bound claims grow");
    let gold = spec(json!({"volumeAttributesClassName": "gold"}));
    let mut gold =
        update("persistentvolumeclaims", &bound, &gold).expect("bound claims change class");
    let none = spec(json!({"volumeAttributesClassName": null}));
    update("persistentvolumeclaims", &gold, &none).expect("nothing was done yet");
    gold["status"]["currentVolumeAttributesClassName"] = "gold".into();
    refuses_update(
        "persistentvolumeclaims",
        &gold,
        &[(
            none,
            "spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil",
        )],
    );
    let less = spec(json!({"resources": {"requests": {"storage": "1Gi"}}}));
    refuses_update(
        "persistentvolumeclaims",
        &bound,
        &[(
            less,
            "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
        )],
    );
    let mut status = changed(
        &old,
        &json!({"status": {"allocatedResourceStatuses": {"storage": "NodeResizeFailed"}}}),
    );
    let error = before_status_update(row, &mut status, &old).expect_err("an old word");
    let words = "status.allocatedResourceStatuses: Unsupported value: \"storage\": supported values: \"ControllerResizeInProgress\", \"ControllerResizeInfeasible\", \"NodeResizeInProgress\", \"NodeResizeInfeasible\", \"NodeResizePending\"";
    assert!(error.message.contains(words), "{error}");
    let mut status = changed(&old, &json!({"status": {"allocatedResources": {"cpu": "1"}}}));
    let error = before_status_update(row, &mut status, &old).expect_err("no storage");
    assert!(
        error.message.contains("status.allocatedResources: Unsupported value: \"cpu\""),
        "{error}"
    );
}

#[test]
fn volumes() {
    let row = resource("", "persistentvolumes");
    let base = json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}});
    let spec = |spec: Value| json!({"spec": spec});
    refuses(
        row,
        &base,
        &[
            (spec(json!({"capacity": null})), "spec.capacity: Required value"),
            (
                spec(json!({"capacity": {"cpu": "1"}})),
                "spec.capacity: Unsupported value: {\"cpu\":\"1\",\"storage\":\"1Gi\"}: supported values: \"storage\"",
            ),
            (
                spec(json!({"capacity": {"storage": "0"}})),
                "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
            ),
            (spec(json!({"hostPath": null})), "spec: Required value: must specify a volume type"),
            (
                spec(json!({"nfs": {"server": "s", "path": "/x"}})),
                "spec.nfs: Forbidden: may not specify more than 1 volume type",
            ),
            (
                spec(json!({"hostPath": {"path": "/a/../b"}})),
                "spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
            ),
            (
                spec(json!({"hostPath": null, "nfs": {"path": "x"}})),
                "[spec.nfs.server: Required value, spec.nfs.path: Invalid value: \"x\": must be an absolute path]",
            ),
            (
                spec(json!({"hostPath": null, "local": {"path": "/x"}})),
                "spec.nodeAffinity: Required value: Local volume requires node affinity",
            ),
            (
                spec(json!({"hostPath": null, "csi": {"driver": "d"}})),
                "spec.csi.volumeHandle: Required value",
            ),
            (
                spec(json!({"persistentVolumeReclaimPolicy": "Burn"})),
                "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Burn\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
            ),
            (
                spec(
                    json!({"hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"}),
                ),
                "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            ),
            (
                spec(json!({"nodeAffinity": {}})),
                "spec.nodeAffinity.required: Required value: must specify required node constraints",
            ),
            (
                spec(json!({"volumeAttributesClassName": "x"})),
                "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
            ),
        ],
    );
    let old = create(row, base).expect("valid");
    refuses_update(
        "persistentvolumes",
        &old,
        &[
            (
                spec(json!({"hostPath": {"path": "/y"}})),
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
            ),
            (
                spec(json!({"volumeMode": "Block"})),
                "volumeMode: Invalid value: \"Block\": field is immutable",
            ),
        ],
    );
    let claim = spec(json!({"claimRef": {"namespace": "d", "name": "c"}}));
    update("persistentvolumes", &old, &claim).expect("claimed");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let stamped = |status: Value| {
        let mut new = changed(&old, &json!({"status": status}));
        row.strategy.stamp_status(&mut new, &old, now);
        new["status"]["lastPhaseTransitionTime"].clone()
    };
    assert_eq!(stamped(json!({"phase": "Bound"})), "2026-01-01T00:00:00Z");
    assert_eq!(stamped(json!({"message": "m"})), old["status"]["lastPhaseTransitionTime"]);
    let told = json!({"phase": "Bound", "lastPhaseTransitionTime": "2025-01-01T00:00:00Z"});
    assert_eq!(stamped(told), "2025-01-01T00:00:00Z");
}
