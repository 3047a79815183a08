//! Rows of devices and of claims to them.

use super::*;

fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

pub(crate) const DEVICE_CLASS: Printer = Printer::new("DeviceClass", name_and_age);

pub(crate) const RESOURCE_CLAIM_TEMPLATE: Printer =
    Printer::new("ResourceClaimTemplate", name_and_age);

pub(crate) const RESOURCE_CLAIM: Printer = Printer::new("ResourceClaim", |object, now| {
    let status = &object["status"];
    let deleted = !object["metadata"]["deletionTimestamp"].is_null();
    let allocated = !status["allocation"].is_null();
    let reserved = status["reservedFor"].as_array().is_some_and(|users| !users.is_empty());
    let states: Vec<&str> = [
        ("deleted", deleted),
        ("pending", !allocated && !deleted),
        ("allocated", allocated),
        ("reserved", allocated && reserved),
    ]
    .into_iter()
    .filter_map(|(state, holds)| holds.then_some(state))
    .collect();
    vec![name(object), states.join(",").into(), age(object, now)]
});

pub(crate) const RESOURCE_SLICE: Printer = Printer::new("ResourceSlice", |object, now| {
    vec![
        name(object),
        cell(object, "/spec/nodeName"),
        cell(object, "/spec/driver"),
        cell(object, "/spec/pool/name"),
        age(object, now),
    ]
});
