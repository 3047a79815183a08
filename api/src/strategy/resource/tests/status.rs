use serde_json::{Value, json};

use super::{GROUP, claim};
use crate::lifecycle::before_status_update;
use crate::strategy::tests::{changed, create, resource};

fn result() -> Value {
    json!({"request": "a", "driver": "x.io", "pool": "node/1", "device": "gpu-0"})
}

fn allocated() -> Value {
    json!({"status": {"allocation": {"devices": {"results": [result()]}},
        "devices": [{"driver": "x.io", "pool": "node/1", "device": "gpu-0"}],
        "reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}})
}

fn update(old: &Value, change: &Value) -> Result<Value, String> {
    let mut new = changed(old, change);
    before_status_update(resource(GROUP, "resourceclaims"), &mut new, old)
        .map(|()| new)
        .map_err(|status| status.message)
}

#[test]
fn what_is_refused() {
    let old = create(resource(GROUP, "resourceclaims"), claim()).expect("valid");
    let results = |change: Value| json!({"status": {"allocation": {"devices": {"results": [changed(&result(), &change)]}}}});
    let device = |change: Value| {
        let device =
            changed(&json!({"driver": "x.io", "pool": "node/1", "device": "gpu-0"}), &change);
        json!({"status": {"devices": [device]}})
    };
    let cases = [
        (
            json!({"status": {"allocation": null, "devices": null}}),
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
        ),
        (
            json!({"status": {"reservedFor": [{"resource": "", "name": "p", "uid": "u"}]}}),
            "status.reservedFor[0].resource: Required value",
        ),
        (
            results(json!({"request": "z"})),
            "status.allocation.devices.results[0].request: Invalid value: \"z\"",
        ),
        (
            results(json!({"driver": ""})),
            "status.allocation.devices.results[0].driver: Required value",
        ),
        (results(json!({"pool": "A"})), "results[0].pool: Invalid value: \"A\""),
        (results(json!({"device": "A"})), "results[0].device: Invalid value: \"A\""),
        (
            results(json!({"shareID": "x"})),
            "results[0].shareID: Invalid value: \"x\": uid must be in RFC 4122",
        ),
        (
            results(json!({"bindingConditions": ["a"]})),
            "results[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions",
        ),
        (
            results(json!({"bindingConditions": ["a"], "bindingFailureConditions": ["a"]})),
            "bindingFailureConditions[0]: Invalid value: \"a\": bindingFailureConditions must not overlap with bindingConditions",
        ),
        (
            device(json!({"device": "gpu-1"})),
            "status.devices[0]: Invalid value: \"x.io/node/1/gpu-1\": must be an allocated device in the claim",
        ),
        (
            device(json!({"data": [1]})),
            "status.devices[0].data: Invalid value: \"<value omitted>\": must be a valid JSON object",
        ),
        (
            device(json!({"networkData": {"ips": ["10.0.0.1"]}})),
            "networkData.ips[0]: Invalid value: \"10.0.0.1\": must be a valid address in CIDR form",
        ),
        (
            device(json!({"networkData": {"interfaceName": "x".repeat(257)}})),
            "networkData.interfaceName: Too long: may not be more than 256 bytes",
        ),
        (
            json!({"status": {"allocation": {"devices": {"config": [{"source": "Air", "opaque": {"driver": "x.io", "parameters": {}}}]}}}}),
            "status.allocation.devices.config[0].source: Unsupported value: \"Air\": supported values: \"FromClaim\", \"FromClass\"",
        ),
    ];
    for (change, wanted) in cases {
        let error = update(&old, &changed(&allocated(), &change)).expect_err(wanted);
        assert!(error.contains(wanted), "wanted {wanted}\ngot    {error}");
    }
}

#[test]
fn an_allocation_stays_until_it_is_given_back() {
    let old = create(resource(GROUP, "resourceclaims"), claim()).expect("valid");
    let mut held = update(&old, &allocated()).expect("valid");
    assert_eq!(held["spec"], old["spec"]);
    let moved = json!({"status": {"allocation": {"devices": {"results":
        [changed(&result(), &json!({"device": "gpu-1"}))]}}}});
    let error = update(&held, &moved).expect_err("moved");
    assert!(error.contains("status.allocation: Invalid value"), "{error}");
    assert!(error.contains("field is immutable"), "{error}");
    held["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let second =
        json!({"status": {"reservedFor": [{"resource": "pods", "name": "q", "uid": "v"}]}});
    let error = update(&held, &second).expect_err("being deleted");
    assert!(
        error.contains("status.reservedFor: Forbidden: new entries may not be added"),
        "{error}"
    );
    let free = json!({"status": {"allocation": null, "reservedFor": null}});
    let free = update(&held, &free).expect("given back");
    assert_eq!(free["status"].get("devices"), None, "what was said about the device goes with it");
}
