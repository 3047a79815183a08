mod slices;
mod status;

use serde_json::{Value, json};

use crate::strategy::tests::{accepts_update, changed, create, refuses, refuses_update, resource};

const GROUP: &str = "resource.k8s.io";

fn claim() -> Value {
    json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": [
        {"name": "a", "exactly": {"deviceClassName": "gpu"}},
        {"name": "b", "firstAvailable": [{"name": "big", "deviceClassName": "gpu"}]}]}}})
}

#[test]
fn device_classes() {
    let classes = resource(GROUP, "deviceclasses");
    let base = json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "x.io/gpu",
        "selectors": [{"cel": {"expression": "true"}}],
        "config": [{"opaque": {"driver": "x.io", "parameters": {"a": 1}}}]}});
    let spec = |spec: Value| json!({"spec": spec});
    let config = |parameters: Value| {
        spec(json!({"config": [{"opaque": {"driver": "x.io", "parameters": parameters}}]}))
    };
    let many = vec![json!({"cel": {"expression": "true"}}); 33];
    refuses(
        classes,
        &base,
        &[
            (spec(json!({"selectors": [{}]})), "spec.selectors[0].cel: Required value"),
            (
                spec(json!({"selectors": [{"cel": {"expression": "x".repeat(10 * 1024 + 1)}}]})),
                "spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes",
            ),
            (
                spec(json!({"selectors": [{"cel": {"expression": "noSuchVar"}}]})),
                "spec.selectors[0].cel.expression: Invalid value: \"noSuchVar\": compilation failed: \
                 ERROR: <input>:1:1: undeclared reference to 'noSuchVar' (in container '')",
            ),
            (
                spec(json!({"selectors": [{"cel": {"expression": "device.driver"}}]})),
                "spec.selectors[0].cel.expression: Invalid value: \"device.driver\": must evaluate to bool",
            ),
            (
                spec(json!({"selectors": many})),
                "spec.selectors: Too many: 33: must have at most 32 items",
            ),
            (spec(json!({"config": [{}]})), "spec.config[0].opaque: Required value"),
            (
                spec(json!({"config": [{"opaque": {"driver": "", "parameters": {}}}]})),
                "spec.config[0].opaque.driver: Required value",
            ),
            (config(Value::Null), "spec.config[0].opaque.parameters: Required value"),
            (
                config(json!([1])),
                "spec.config[0].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object",
            ),
            (
                config(json!({"a": "x".repeat(10 * 1024)})),
                "spec.config[0].opaque.parameters: Too long: may not be more than 10240 bytes",
            ),
            (
                spec(json!({"extendedResourceName": "cpu"})),
                "spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name",
            ),
        ],
    );
    accepts_update(classes, &base, &[spec(json!({"selectors": null}))]);
}

#[test]
fn requests_of_claims() {
    let request = |request: Value| json!({"spec": {"devices": {"requests": [request]}}});
    let exactly = |change: Value| {
        request(
            json!({"name": "a", "exactly": changed(&json!({"deviceClassName": "gpu"}), &change)}),
        )
    };
    let toleration = |toleration: Value| exactly(json!({"tolerations": [toleration]}));
    let same = json!({"name": "a", "exactly": {"deviceClassName": "gpu"}});
    refuses(
        resource(GROUP, "resourceclaims"),
        &claim(),
        &[
            (
                request(json!({"name": "a"})),
                "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            ),
            (
                request(
                    json!({"name": "a", "exactly": {"deviceClassName": "g"}, "firstAvailable": [{"name": "x", "deviceClassName": "g"}]}),
                ),
                "spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
            ),
            (
                json!({"spec": {"devices": {"requests": [same, same]}}}),
                "spec.devices.requests[1]: Duplicate value: \"a\"",
            ),
            (
                exactly(json!({"deviceClassName": ""})),
                "requests[0].exactly.deviceClassName: Required value",
            ),
            (
                exactly(json!({"deviceClassName": "A"})),
                "exactly.deviceClassName: Invalid value: \"A\"",
            ),
            (
                exactly(json!({"count": -1})),
                "exactly.count: Invalid value: -1: must be greater than zero",
            ),
            (
                exactly(json!({"allocationMode": "All", "count": 1})),
                "exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'",
            ),
            (
                exactly(json!({"allocationMode": "Some"})),
                "exactly.allocationMode: Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\"",
            ),
            (
                toleration(json!({"key": "a b", "operator": "Exists"})),
                "tolerations[0].key: Invalid value",
            ),
            (toleration(json!({"key": "a"})), "exactly.tolerations[0].operator: Required value"),
            (
                toleration(json!({"operator": "Exists", "value": "x"})),
                "tolerations[0].value: Invalid value: \"x\": must be empty for operator `Exists`",
            ),
            (
                toleration(json!({"operator": "Exists", "effect": "X"})),
                "tolerations[0].effect: Unsupported value: \"X\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
            ),
        ],
    );
}

#[test]
fn constraints_of_claims() {
    let devices = |devices: Value| json!({"spec": {"devices": devices}});
    let constraint = |constraint: Value| devices(json!({"constraints": [constraint]}));
    refuses(
        resource(GROUP, "resourceclaims"),
        &claim(),
        &[
            (
                constraint(json!({})),
                "spec.devices.constraints[0]: Required value: exactly one of \"matchAttribute\"",
            ),
            (
                constraint(json!({"matchAttribute": "numa"})),
                "constraints[0].matchAttribute: Invalid value: \"numa\": a fully qualified name must be",
            ),
            (
                constraint(json!({"matchAttribute": "x.io/1a"})),
                "constraints[0].matchAttribute: Invalid value: \"1a\": a valid C identifier must start",
            ),
            (
                constraint(json!({"distinctAttribute": "/a"})),
                "constraints[0].distinctAttribute: Invalid value: \"\": the domain must not be empty",
            ),
            (
                constraint(json!({"matchAttribute": "x.io/a", "requests": ["none"]})),
                "constraints[0].requests[0]: Invalid value: \"none\": must be the name of a request in the claim",
            ),
            (
                constraint(json!({"matchAttribute": "x.io/a", "requests": ["a", "a"]})),
                "constraints[0].requests[1]: Duplicate value: \"a\"",
            ),
            (
                devices(
                    json!({"config": [{"requests": ["b/small"], "opaque": {"driver": "x.io", "parameters": {}}}]}),
                ),
                "spec.devices.config[0].requests[0]: Invalid value: \"b/small\": must be the name",
            ),
        ],
    );
    let good = constraint(json!({"matchAttribute": "x.io/a", "requests": ["a", "b/big", "b"]}));
    create(resource(GROUP, "resourceclaims"), changed(&claim(), &good)).expect("valid");
}

#[test]
fn claims_and_templates_stay_as_they_are() {
    let claims = resource(GROUP, "resourceclaims");
    let made = create(claims, claim()).expect("valid");
    let sub = &made["spec"]["devices"]["requests"][1]["firstAvailable"][0];
    assert_eq!((&sub["allocationMode"], &sub["count"]), (&json!("ExactCount"), &json!(1)));
    let other = json!({"spec": {"devices": {"requests": []}}});
    refuses_update(claims, &claim(), &[(other, "spec: Invalid value: {")]);
    accepts_update(claims, &claim(), &[json!({"metadata": {"labels": {"a": "b"}}})]);

    let templates = resource(GROUP, "resourceclaimtemplates");
    let base = json!({"metadata": {"name": "t"}, "spec": {"spec": claim()["spec"]}});
    refuses(
        templates,
        &base,
        &[
            (
                json!({"spec": {"metadata": {"labels": {"a b": "c"}}}}),
                "spec.metadata.labels: Invalid value",
            ),
            (
                json!({"spec": {"spec": {"devices": {"requests": [{"name": "a"}]}}}}),
                "spec.spec.devices.requests[0]: Required value",
            ),
        ],
    );
    let other = json!({"spec": {"metadata": {"labels": {"a": "b"}}}});
    refuses_update(templates, &base, &[(other, "field is immutable")]);
}
