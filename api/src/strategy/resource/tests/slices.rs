use serde_json::{Value, json};

use super::GROUP;
use crate::strategy::tests::{accepts_update, changed, create, refuses, refuses_update, resource};

fn slice() -> Value {
    json!({"metadata": {"name": "s"}, "spec": {"driver": "x.io", "nodeName": "n",
        "pool": {"name": "n", "resourceSliceCount": 1, "generation": 0},
        "devices": [{"name": "gpu-0"}]}})
}

fn spec(change: Value) -> Value {
    json!({"spec": change})
}

fn device(change: Value) -> Value {
    spec(json!({"devices": [changed(&json!({"name": "gpu-0"}), &change)]}))
}

#[test]
fn places_and_pools() {
    let slices = resource(GROUP, "resourceslices");
    let term = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]});
    refuses(
        slices,
        &slice(),
        &[
            (spec(json!({"driver": ""})), "spec.driver: Required value"),
            (spec(json!({"pool": {"name": ""}})), "spec.pool.name: Required value"),
            (
                spec(json!({"pool": {"resourceSliceCount": 0}})),
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
            ),
            (
                spec(json!({"pool": {"generation": -1}})),
                "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
            ),
            (
                spec(json!({"nodeName": null})),
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
            ),
            (
                spec(json!({"allNodes": true})),
                "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of",
            ),
            (
                spec(json!({"allNodes": false})),
                "spec.allNodes: Invalid value: false: must be either unset or set to true",
            ),
            (
                spec(
                    json!({"nodeName": null, "nodeSelector": {"nodeSelectorTerms": [term, term]}}),
                ),
                "spec.nodeSelector.nodeSelectorTerms: Invalid value",
            ),
            (
                spec(json!({"sharedCounters": [{"name": "c", "counters": {"m": {"value": "1"}}}]})),
                "spec: Invalid value: \"\": only one of `sharedCounters` or `devices` is allowed",
            ),
            (
                spec(json!({"devices": null, "sharedCounters": [{"name": "c", "counters": {}}]})),
                "spec.sharedCounters[0].counters: Required value",
            ),
            (
                spec(json!({"devices": [{"name": "a"}, {"name": "a"}]})),
                "spec.devices[1]: Duplicate value: \"a\"",
            ),
            (
                spec(json!({"devices": vec![json!({"name": "a"}); 129]})),
                "spec.devices: Too many: 129: must have at most 128 items",
            ),
            (
                spec(
                    json!({"devices": vec![json!({"name": "a", "attributes": {"x": {"ints": [1]}}}); 65]}),
                ),
                "spec.devices: Too many: 65: must have at most 64 items",
            ),
        ],
    );
    refuses_update(
        slices,
        &slice(),
        &[
            (
                spec(json!({"driver": "y.io"})),
                "spec.driver: Invalid value: \"y.io\": field is immutable",
            ),
            (
                spec(json!({"pool": {"name": "m"}})),
                "spec.pool.name: Invalid value: \"m\": field is immutable",
            ),
            (
                spec(json!({"nodeName": "m"})),
                "spec.nodeName: Invalid value: \"m\": field is immutable",
            ),
        ],
    );
    accepts_update(slices, &slice(), &[spec(json!({"pool": {"generation": 2}, "devices": null}))]);
}

#[test]
fn devices() {
    let attribute = |value: Value| device(json!({"attributes": {"a": value}}));
    let taint = |taint: Value| device(json!({"taints": [taint]}));
    let many: serde_json::Map<String, Value> =
        (0..33).map(|n| (format!("a{n}"), json!({"int": n}))).collect();
    let slices = resource(GROUP, "resourceslices");
    refuses(
        slices,
        &slice(),
        &[
            (device(json!({"name": "A"})), "spec.devices[0].name: Invalid value: \"A\""),
            (
                device(json!({"attributes": many})),
                "spec.devices[0]: Invalid value: 33: the total number of attributes and capacities must not exceed 32",
            ),
            (
                device(json!({"attributes": {"a-b": {"int": 1}}})),
                "spec.devices[0].attributes: Invalid value: \"a-b\": a valid C identifier",
            ),
            (
                attribute(json!({})),
                "spec.devices[0].attributes[a]: Invalid value: \"\": exactly one value must be specified",
            ),
            (attribute(json!({"int": 1, "bool": true})), "exactly one value must be specified"),
            (
                attribute(json!({"string": "x".repeat(65)})),
                "attributes[a].string: Too long: may not be more than 64 bytes",
            ),
            (
                attribute(json!({"versions": ["1.0.0", "1.0"]})),
                "attributes[a].versions[1]: Invalid value: \"1.0\": must be a string compatible with semver.org spec 2.0.0",
            ),
            (
                taint(json!({"key": "", "effect": "None"})),
                "spec.devices[0].taints[0].key: Invalid value",
            ),
            (taint(json!({"key": "k"})), "spec.devices[0].taints[0].effect: Required value"),
            (
                taint(json!({"key": "k", "effect": "X"})),
                "taints[0].effect: Unsupported value: \"X\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
            ),
            (
                device(
                    json!({"consumesCounters": [{"counterSet": "c", "counters": {"A": {"value": "1"}}}]}),
                ),
                "consumesCounters[0].counters: Invalid value: \"A\"",
            ),
            (
                device(json!({"nodeName": "n"})),
                "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set",
            ),
            (
                spec(json!({"nodeName": null, "perDeviceNodeSelection": true})),
                "spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required",
            ),
        ],
    );
    let tainted = taint(json!({"key": "k", "effect": "NoExecute"}));
    let made = create(slices, changed(&slice(), &tainted)).expect("valid");
    assert_eq!(made["spec"]["devices"][0]["taints"][0]["timeAdded"], "1970-01-01T00:00:00Z");
    let version = attribute(json!({"version": "1.2.3-rc.1+build.5"}));
    create(slices, changed(&slice(), &version)).expect("a version");
}

#[test]
fn capacities() {
    let policy = |policy: Value| {
        device(json!({"allowMultipleAllocations": true,
            "capacity": {"m": {"value": "10Gi", "requestPolicy": policy}}}))
    };
    let range = |range: Value| policy(json!({"default": "2Gi", "validRange": range}));
    let slices = resource(GROUP, "resourceslices");
    refuses(
        slices,
        &slice(),
        &[
            (
                device(json!({"capacity": {"m": {"value": "1", "requestPolicy": {}}}})),
                "spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true",
            ),
            (
                policy(json!({"validValues": ["1Gi"], "validRange": {"min": "1Gi"}})),
                "requestPolicy: Forbidden: exactly one policy can be specified",
            ),
            (
                policy(json!({"validValues": ["1Gi"]})),
                "requestPolicy.default: Required value: required when validValues is defined",
            ),
            (
                policy(json!({"default": "1Gi", "validValues": ["2Gi", "1Gi"]})),
                "validValues[1]: Invalid value: \"1Gi\": values must be sorted in ascending order",
            ),
            (
                policy(json!({"default": "1Gi", "validValues": ["1Gi", "11Gi"]})),
                "validValues[1]: Invalid value: \"11Gi\": option is larger than capacity value: 10Gi",
            ),
            (
                policy(json!({"default": "3Gi", "validValues": ["1Gi"]})),
                "validValues: Invalid value: \"3Gi\": default value is not valid according to the requestPolicy",
            ),
            (
                policy(json!({"default": "1Gi", "validValues": ["1Gi", "1Gi"]})),
                "validValues[1]: Duplicate value: \"1073741824\"",
            ),
            (
                range(json!({"min": "3Gi"})),
                "validRange.default: Invalid value: \"2Gi\": default is less than min: 3Gi",
            ),
            (
                range(json!({"min": "1Gi", "max": "11Gi"})),
                "validRange.max: Invalid value: \"11Gi\": max is larger than capacity value: 10Gi",
            ),
            (
                range(json!({"min": "1Gi", "step": "0"})),
                "validRange.step: Invalid value: \"0\": must be greater than zero",
            ),
            (
                range(json!({"min": "1Gi", "step": "3Gi"})),
                "validRange.step: Invalid value: \"2Gi\": value is not a multiple of a given step (3Gi) from (1Gi)",
            ),
        ],
    );
    let good = range(json!({"min": "1Gi", "max": "4Gi", "step": "1Gi"}));
    create(slices, changed(&slice(), &good)).expect("valid");
}
