//! Rows of the small kinds of the core group and of leases.

use super::*;

pub(crate) const CONFIG_MAP: Printer = Printer::new("ConfigMap", |object, now| {
    let entries = count(&object["data"]) + count(&object["binaryData"]);
    vec![name(object), entries.into(), age(object, now)]
});

pub(crate) const LEASE: Printer = Printer::new("Lease", |object, now| {
    vec![name(object), cell(object, "/spec/holderIdentity"), age(object, now)]
});

pub(crate) const NAMESPACE: Printer = Printer::new("Namespace", |object, now| {
    vec![name(object), cell(object, "/status/phase"), age(object, now)]
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

pub(crate) const SECRET: Printer = Printer::new("Secret", |object, now| {
    vec![name(object), cell(object, "/type"), count(&object["data"]).into(), age(object, now)]
});
