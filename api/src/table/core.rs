//! Rows of the small kinds of the core group and of leases.

use super::*;

pub(crate) const COMPONENT_STATUS: Printer = Printer::new("ComponentStatus", |object, _| {
    let conditions = object["conditions"].as_array();
    let health = conditions.into_iter().flatten().find(|c| c["type"] == "Healthy");
    let status = match health.and_then(|condition| condition["status"].as_str()) {
        Some("True") => "Healthy",
        Some("False") => "Unhealthy",
        _ => "Unknown",
    };
    let of = |field: &str| health.map_or_else(|| "".into(), |c| cell(c, field));
    vec![name(object), status.into(), of("/message"), of("/error")]
});

pub(crate) const CONFIG_MAP: Printer = Printer::new("ConfigMap", |object, now| {
    let entries = count(&object["data"]) + count(&object["binaryData"]);
    vec![name(object), entries.into(), age(object, now)]
});

pub(crate) const LEASE: Printer = Printer::new("Lease", |object, now| {
    vec![name(object), cell(object, "/spec/holderIdentity"), age(object, now)]
});

pub(crate) const LIMIT_RANGE: Printer = Printer::new("LimitRange", |object, _| {
    vec![name(object), cell(object, "/metadata/creationTimestamp")]
});

pub(crate) const NAMESPACE: Printer = Printer::new("Namespace", |object, now| {
    vec![name(object), cell(object, "/status/phase"), age(object, now)]
});

pub(crate) const POD_TEMPLATE: Printer = Printer::new("PodTemplate", |object, _| {
    let (names, images) = containers(&object["template"]["spec"]);
    let labels = labels(&object["template"]["metadata"]["labels"]);
    vec![name(object), names.into(), images.into(), labels.into()]
});

pub(crate) const REPLICATION_CONTROLLER: Printer =
    Printer::new("ReplicationController", |object, now| {
        let (names, images) = containers(&object["spec"]["template"]["spec"]);
        vec![
            name(object),
            number(object, "/spec/replicas"),
            number(object, "/status/replicas"),
            number(object, "/status/readyReplicas"),
            age(object, now),
            names.into(),
            images.into(),
            labels(&object["spec"]["selector"]).into(),
        ]
    });

pub(crate) const RESOURCE_QUOTA: Printer = Printer::new("ResourceQuota", |object, now| {
    let used = &object["status"]["used"];
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in object["status"]["hard"].as_object().into_iter().flatten() {
        let used = used.get(resource).and_then(Value::as_str).unwrap_or("0");
        let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(format!("{resource}: {used}/{}", hard.as_str().unwrap_or_default()));
    }
    vec![name(object), requests.join(", ").into(), limits.join(", ").into(), age(object, now)]
});

pub(crate) const SECRET: Printer = Printer::new("Secret", |object, now| {
    vec![name(object), cell(object, "/type"), count(&object["data"]).into(), age(object, now)]
});
