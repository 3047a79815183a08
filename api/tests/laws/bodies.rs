//! Bodies of requests: objects and patches.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::checks;

/// Names of fields that mean something somewhere, and some that mean nothing.
const FIELDS: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "creationTimestamp",
    "containers",
    "initContainers",
    "image",
    "ports",
    "containerPort",
    "protocol",
    "env",
    "value",
    "valueFrom",
    "resources",
    "limits",
    "requests",
    "cpu",
    "memory",
    "selector",
    "matchLabels",
    "template",
    "replicas",
    "strategy",
    "rollingUpdate",
    "maxSurge",
    "data",
    "schedule",
    "jobTemplate",
    "type",
    "clusterIP",
    "port",
    "targetPort",
    "volumes",
    "emptyDir",
    "sizeLimit",
    "tolerations",
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "unknown",
];

/// JSON over few words, deep enough for a container's port.
pub(super) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(0_i64), Just(-1), Just(80), any::<i64>()].prop_map(Value::from),
        any::<i32>().prop_map(|eighths| (f64::from(eighths) / 8.0).into()),
        prop::sample::select(vec![
            "",
            "a",
            "b",
            "x",
            "1",
            "100m",
            "1Gi",
            "25%",
            "TCP",
            "delete",
            "replace",
            "merge",
            "Always",
            "* * * * *",
            "2026-11-21T12:48:26Z",
            "None",
            "10.96.0.7",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let fields = prop::collection::vec((prop::sample::select(FIELDS), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
            fields.prop_map(|fields| {
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::Object(fields.collect::<Map<_, _>>())
            }),
        ]
    })
}

/// A pod that is almost right: a few of its fields are anything.
fn pod() -> impl Strategy<Value = Value> {
    let container = ("[a-c]", prop::option::of((prop::sample::select(FIELDS), value())));
    let containers = prop::collection::vec(container, 1..3).prop_map(|all| {
        let container = |(name, more): (String, Option<(&str, Value)>)| {
            let mut container = json!({"name": name, "image": "x"});
            if let Some((field, value)) = more {
                container[field] = value;
            }
            container
        };
        Value::from(all.into_iter().map(container).collect::<Vec<_>>())
    });
    let odd = || prop::option::of((prop::sample::select(FIELDS), value()));
    (containers, odd(), odd()).prop_map(|(containers, spec, metadata)| {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": containers}});
        if let Some((field, value)) = spec {
            pod["spec"][field] = value;
        }
        if let Some((field, value)) = metadata {
            pod["metadata"][field] = value;
        }
        pod
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn objects(object in prop_oneof![pod(), value()]) {
        checks::body(object.to_string().as_bytes());
        if let Some(message) = api::protobuf::write(&object) {
            checks::protobuf_body(&message);
        }
    }

    #[test]
    fn patches(patch in value()) {
        checks::patch(patch.to_string().as_bytes());
    }

    #[test]
    fn json_patches(
        operations in prop::collection::vec(
            ("(add|remove|replace|move|copy|test|x)", "(/(spec|metadata|containers|0|1|2|-|name|a~1b|~2|)){0,4}", value()),
            0..5,
        ),
    ) {
        let operation = |(op, path, value)| json!({"op": op, "path": path, "from": "/spec", "value": value});
        let patch: Vec<Value> = operations.into_iter().map(operation).collect();
        checks::patch(Value::from(patch).to_string().as_bytes());
    }

    #[test]
    fn configurations(one in pod(), two in pod()) {
        checks::server_side_apply(&one, &two);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        checks::body(&bytes);
        checks::patch(&bytes);
        checks::protobuf_body(&bytes);
        checks::protobuf_body(&[b"k8s\0", &bytes[..]].concat());
    }
}
