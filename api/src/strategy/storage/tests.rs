use serde_json::{Value, json};

use crate::lifecycle::before_update;
use crate::strategy::tests::{accepts_update, changed, create, refuses, refuses_update, resource};

const GROUP: &str = "storage.k8s.io";

#[test]
fn storage_classes() {
    let classes = resource(GROUP, "storageclasses");
    let topologies = |terms: Value| json!({"allowedTopologies": terms});
    let zone =
        |values: Value| json!({"matchLabelExpressions": [{"key": "zone", "values": values}]});
    let base = json!({"metadata": {"name": "c"}, "provisioner": "x.io/y", "parameters": {"a": "b"},
        "allowedTopologies": [zone(json!(["a", "b"])), zone(json!(["c"]))]});
    refuses(
        classes,
        &base,
        &[
            (json!({"provisioner": ""}), "provisioner: Required value"),
            (json!({"provisioner": "a b"}), "provisioner: Invalid value: \"a b\": name part"),
            (
                json!({"parameters": {"": "x"}}),
                "parameters: Invalid value: \"\": field can not be empty.",
            ),
            (
                json!({"parameters": {"k": "x".repeat(256 * 1024)}}),
                "parameters: Too long: may not be more than 262144 bytes",
            ),
            (
                json!({"reclaimPolicy": "Recycle"}),
                "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
            ),
            (
                json!({"volumeBindingMode": "X"}),
                "volumeBindingMode: Unsupported value: \"X\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
            ),
            (
                topologies(json!([zone(json!([]))])),
                "allowedTopologies[0].matchLabelExpressions[0].values: Required value",
            ),
            (
                topologies(json!([zone(json!(["a", "a"]))])),
                "matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
            ),
            (
                topologies(json!([zone(json!(["a"])), zone(json!(["a"]))])),
                "allowedTopologies[1].matchLabelExpressions: Duplicate value",
            ),
        ],
    );
    refuses_update(
        classes,
        &base,
        &[
            (
                json!({"provisioner": "z"}),
                "provisioner: Forbidden: updates to provisioner are forbidden.",
            ),
            (
                json!({"parameters": {"a": "c"}}),
                "parameters: Forbidden: updates to parameters are forbidden.",
            ),
            (
                json!({"reclaimPolicy": "Retain"}),
                "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
            ),
            (
                json!({"volumeBindingMode": "WaitForFirstConsumer"}),
                "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable",
            ),
        ],
    );
    accepts_update(classes, &base, &[json!({"allowVolumeExpansion": true})]);
}

#[test]
fn volume_attributes_classes() {
    let classes = resource(GROUP, "volumeattributesclasses");
    let base =
        json!({"metadata": {"name": "c"}, "driverName": "x.io", "parameters": {"iops": "1"}});
    refuses(
        classes,
        &base,
        &[
            (json!({"driverName": ""}), "driverName: Required value"),
            (
                json!({"parameters": null}),
                "parameters: Required value: must contain at least one key/value pair",
            ),
        ],
    );
    refuses_update(
        classes,
        &base,
        &[
            (
                json!({"driverName": "y.io"}),
                "driverName: Forbidden: updates to driverName are forbidden.",
            ),
            (
                json!({"parameters": {"iops": "2"}}),
                "parameters: Forbidden: updates to parameters are forbidden.",
            ),
        ],
    );
}

#[test]
fn csi_drivers() {
    let drivers = resource(GROUP, "csidrivers");
    let base =
        json!({"metadata": {"name": "x.io"}, "spec": {"tokenRequests": [{"audience": "a"}]}});
    let tokens = |requests: Value| json!({"spec": {"tokenRequests": requests}});
    refuses(
        drivers,
        &base,
        &[
            (
                json!({"spec": {"fsGroupPolicy": "X"}}),
                "spec.fsGroupPolicy: Unsupported value: \"X\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
            ),
            (
                json!({"spec": {"volumeLifecycleModes": ["X"]}}),
                "spec.volumeLifecycleModes: Unsupported value: \"X\": supported values: \"Persistent\", \"Ephemeral\"",
            ),
            (
                tokens(json!([{"audience": "a"}, {"audience": "a"}])),
                "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
            ),
            (
                tokens(json!([{"audience": "", "expirationSeconds": 599}])),
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
            ),
            (
                tokens(json!([{"audience": "", "expirationSeconds": (1_u64 << 32) + 1}])),
                "may not specify a duration larger than 2^32 seconds",
            ),
            (
                json!({"spec": {"nodeAllocatableUpdatePeriodSeconds": 9}}),
                "must be greater than or equal to 10 seconds",
            ),
            (
                json!({"spec": {"tokenRequests": null, "serviceAccountTokenInSecrets": true}}),
                "spec.serviceAccountTokenInSecrets: Invalid value: true",
            ),
        ],
    );
    refuses_update(
        drivers,
        &base,
        &[
            (
                json!({"spec": {"attachRequired": false}}),
                "spec.attachedRequired: Invalid value: false: field is immutable",
            ),
            (
                json!({"spec": {"volumeLifecycleModes": ["Ephemeral"]}}),
                "spec.volumeLifecycleModes: Invalid value",
            ),
        ],
    );
    let old = create(drivers, base).expect("valid");
    assert!(old["metadata"].get("generation").is_none());
    for (change, generation) in [
        (json!({"podInfoOnMount": true}), json!(null)),
        (json!({"requiresRepublish": true}), json!(1)),
    ] {
        let mut new = changed(&old, &json!({"spec": change}));
        before_update(drivers, &mut new, &old).expect("valid");
        assert_eq!(new["metadata"]["generation"], generation, "{change}");
    }
}

#[test]
fn csi_nodes_and_capacities() {
    let nodes = resource(GROUP, "csinodes");
    let driver = |change: Value| {
        let mut driver = json!({"name": "x.io", "nodeID": "n", "allocatable": {"count": 3}, "topologyKeys": ["zone"]});
        json_patch::merge(&mut driver, &change);
        json!({"spec": {"drivers": [driver]}})
    };
    let base = changed(&json!({"metadata": {"name": "n"}}), &driver(json!({})));
    let long = "x".repeat(257);
    refuses(
        nodes,
        &base,
        &[
            (driver(json!({"name": ""})), "spec.drivers[0].name: Required value"),
            (driver(json!({"name": "a_"})), "spec.drivers[0].name: Invalid value: \"a_\""),
            (driver(json!({"nodeID": ""})), "spec.drivers[0].nodeID: Required value"),
            (driver(json!({"nodeID": long})), "must be 256 characters or less"),
            (
                driver(json!({"allocatable": {"count": -1}})),
                "spec.drivers[0].allocatable.count: Invalid value: -1",
            ),
            (
                driver(json!({"topologyKeys": ["a", "a"]})),
                "spec.drivers[0]: Duplicate value: \"a\"",
            ),
            (driver(json!({"topologyKeys": ["a b"]})), "spec.drivers[0]: Invalid value: \"a b\""),
            (
                json!({"spec": {"drivers": [{"name": "x.io", "nodeID": "n"}, {"name": "x.io", "nodeID": "n"}]}}),
                "spec.drivers[1].name: Duplicate value: \"x.io\"",
            ),
        ],
    );
    refuses_update(
        nodes,
        &base,
        &[(driver(json!({"nodeID": "m"})), "spec.drivers: Invalid value")],
    );
    accepts_update(
        nodes,
        &base,
        &[driver(json!({"allocatable": {"count": 4}})), json!({"spec": {"drivers": []}})],
    );
    let empty = create(nodes, json!({"metadata": {"name": "n"}})).expect("valid");
    assert_eq!(empty["spec"], json!({"drivers": null}));

    let capacities = resource(GROUP, "csistoragecapacities");
    let base = json!({"metadata": {"name": "c"}, "storageClassName": "s", "capacity": "1Gi",
        "nodeTopology": {"matchLabels": {"zone": "a"}}});
    refuses(
        capacities,
        &base,
        &[
            (json!({"storageClassName": ""}), "storageClassName: Invalid value: \"\""),
            (
                json!({"capacity": "-1"}),
                "capacity: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                json!({"maximumVolumeSize": "-1"}),
                "maximumVolumeSize: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                json!({"nodeTopology": {"matchLabels": {"zone": "a b"}}}),
                "nodeTopology.matchLabels: Invalid value: \"a b\"",
            ),
        ],
    );
    refuses_update(
        capacities,
        &base,
        &[
            (
                json!({"storageClassName": "t"}),
                "storageClassName: Invalid value: \"t\": field is immutable",
            ),
            (
                json!({"nodeTopology": null}),
                "nodeTopology: Invalid value: null: field is immutable",
            ),
        ],
    );
    accepts_update(capacities, &base, &[json!({"capacity": "2Gi"})]);
}

#[test]
fn volume_attachments() {
    let attachments = resource(GROUP, "volumeattachments");
    let base = json!({"metadata": {"name": "a"}, "spec": {"attacher": "x.io", "nodeName": "n",
        "source": {"persistentVolumeName": "p"}}, "status": {"attached": true}});
    let source = |source: Value| json!({"spec": {"source": source}});
    let inline = |change: Value| {
        let mut spec = json!({"csi": {"driver": "x.io", "volumeHandle": "h"}, "accessModes": ["ReadWriteOnce"]});
        json_patch::merge(&mut spec, &change);
        source(json!({"persistentVolumeName": null, "inlineVolumeSpec": spec}))
    };
    refuses(
        attachments,
        &base,
        &[
            (json!({"spec": {"attacher": ""}}), "spec.attacher: Required value"),
            (json!({"spec": {"attacher": "a_"}}), "spec.attacher: Invalid value: \"a_\""),
            (json!({"spec": {"nodeName": "A"}}), "spec.nodeName: Invalid value: \"A\""),
            (
                source(json!(null)),
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ),
            (
                source(json!({"inlineVolumeSpec": {}})),
                "spec.source: Forbidden: must specify exactly one",
            ),
            (
                source(json!({"persistentVolumeName": ""})),
                "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
            ),
            (
                source(json!({"persistentVolumeName": "A"})),
                "spec.source.persistentVolumeName: Invalid value: \"A\"",
            ),
            (inline(json!({"csi": null})), "spec.source.inlineVolumeSpec.csi: Required value"),
            (
                inline(json!({"capacity": {"storage": "1"}})),
                "spec.source.inlineVolumeSpec.capacity: Forbidden",
            ),
            (
                inline(json!({"accessModes": null})),
                "spec.source.inlineVolumeSpec.accessModes: Required value",
            ),
        ],
    );
    create(attachments, changed(&base, &inline(json!({})))).expect("valid");
    refuses_update(
        attachments,
        &base,
        &[(json!({"spec": {"nodeName": "m"}}), "field is immutable")],
    );
    let made = create(attachments, base).expect("valid");
    assert_eq!(made["status"], json!({"attached": false}));
    let with_error = |message: &str| {
        json!({"spec": {"nodeName": "evil"}, "metadata": {"labels": {"a": "b"}},
        "status": {"attached": true, "attachError": {"message": message}}})
    };
    let mut new = changed(&made, &with_error("no"));
    crate::lifecycle::before_status_update(attachments, &mut new, &made).expect("valid");
    assert_eq!((&new["spec"], &new["metadata"]), (&made["spec"], &made["metadata"]));
    assert_eq!(new["status"]["attached"], true);
    let mut new = changed(&made, &with_error(&"x".repeat(1025)));
    let status =
        crate::lifecycle::before_status_update(attachments, &mut new, &made).expect_err("long");
    assert!(status.message.contains("status.attachError.message: Too long"), "{status}");
}
