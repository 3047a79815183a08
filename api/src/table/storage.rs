//! Rows of storage classes and of what storage drivers report.

use super::*;

/// The annotation that makes a StorageClass the default one, and its name in old clusters.
const DEFAULT_CLASS: &[&str] = &[
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// The annotation that makes a VolumeAttributesClass the default one.
const DEFAULT_ATTRIBUTES: &[&str] = &["volumeattributesclass.alpha.kubernetes.io/is-default-class"];

fn name_marked(object: &Value, annotations: &[&str]) -> Value {
    let marked = annotations.iter().any(|key| object["metadata"]["annotations"][key] == "true");
    let mark = if marked { " (default)" } else { "" };
    format!("{}{mark}", text(object, "/metadata/name")).into()
}

fn flag(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false).into()
}

pub(crate) const STORAGE_CLASS: Printer = Printer::new("StorageClass", |object, now| {
    vec![
        name_marked(object, DEFAULT_CLASS),
        cell(object, "/provisioner"),
        or(text(object, "/reclaimPolicy"), "Delete").into(),
        or(text(object, "/volumeBindingMode"), "Immediate").into(),
        flag(object, "/allowVolumeExpansion"),
        age(object, now),
    ]
});

pub(crate) const VOLUME_ATTRIBUTES_CLASS: Printer =
    Printer::new("VolumeAttributesClass", |object, now| {
        vec![name_marked(object, DEFAULT_ATTRIBUTES), cell(object, "/driverName"), age(object, now)]
    });

pub(crate) const VOLUME_ATTACHMENT: Printer = Printer::new("VolumeAttachment", |object, now| {
    vec![
        name(object),
        cell(object, "/spec/attacher"),
        cell(object, "/spec/source/persistentVolumeName"),
        cell(object, "/spec/nodeName"),
        flag(object, "/status/attached"),
        age(object, now),
    ]
});

pub(crate) const CSI_DRIVER: Printer = Printer::new("CSIDriver", |object, now| {
    let spec = &object["spec"];
    let join = |list: &Value, text: fn(&Value) -> &str| {
        let all = list.as_array().into_iter().flatten();
        let all: Vec<String> = all.map(|item| text(item).to_owned()).collect();
        if all.is_empty() { None } else { Some(all.join(",")) }
    };
    let audiences = join(&spec["tokenRequests"], |r| r["audience"].as_str().unwrap_or_default());
    let modes = join(&spec["volumeLifecycleModes"], |mode| mode.as_str().unwrap_or_default());
    vec![
        name(object),
        spec["attachRequired"].as_bool().unwrap_or(true).into(),
        flag(object, "/spec/podInfoOnMount"),
        flag(object, "/spec/storageCapacity"),
        audiences.unwrap_or_else(|| "<unset>".to_owned()).into(),
        flag(object, "/spec/requiresRepublish"),
        modes.unwrap_or_else(|| "<none>".to_owned()).into(),
        age(object, now),
    ]
});

pub(crate) const CSI_NODE: Printer = Printer::new("CSINode", |object, now| {
    let drivers = object["spec"]["drivers"].as_array().map_or(0, Vec::len);
    vec![name(object), drivers.into(), age(object, now)]
});

pub(crate) const CSI_STORAGE_CAPACITY: Printer = Printer::new("CSIStorageCapacity", |object, _| {
    let capacity = or(text(object, "/capacity"), "<unset>");
    vec![name(object), cell(object, "/storageClassName"), capacity.into()]
});
