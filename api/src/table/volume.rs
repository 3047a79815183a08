//! Rows of volumes and claims.

use super::*;

/// The class of a volume or claim, in the days before it had a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub(crate) const VOLUME: Printer = Printer::new("PersistentVolume", |object, now| {
    let spec = &object["spec"];
    let claim = &spec["claimRef"];
    let claim = if claim.is_object() {
        format!("{}/{}", text(claim, "/namespace"), text(claim, "/name"))
    } else {
        String::new()
    };
    vec![
        name(object),
        or(text(object, "/spec/capacity/storage"), "0").into(),
        modes(&spec["accessModes"]).into(),
        cell(object, "/spec/persistentVolumeReclaimPolicy"),
        phase(object),
        claim.into(),
        class(object),
        or(text(object, "/spec/volumeAttributesClassName"), "<unset>").into(),
        cell(object, "/status/reason"),
        age(object, now),
        or(text(object, "/spec/volumeMode"), "<unset>").into(),
    ]
});

pub(crate) const CLAIM: Printer = Printer::new("PersistentVolumeClaim", |object, now| {
    let volume = text(object, "/spec/volumeName");
    let (capacity, modes) = if volume.is_empty() {
        ("", String::new())
    } else {
        let capacity = or(text(object, "/status/capacity/storage"), "0");
        (capacity, modes(&object["status"]["accessModes"]))
    };
    vec![
        name(object),
        phase(object),
        volume.into(),
        capacity.into(),
        modes.into(),
        class(object),
        or(text(object, "/spec/volumeAttributesClassName"), "<unset>").into(),
        age(object, now),
        or(text(object, "/spec/volumeMode"), "<unset>").into(),
    ]
});

fn phase(object: &Value) -> Value {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating".into();
    }
    cell(object, "/status/phase")
}

fn class(object: &Value) -> Value {
    let annotation = object["metadata"]["annotations"][CLASS_ANNOTATION].as_str();
    annotation.map_or_else(|| cell(object, "/spec/storageClassName"), Into::into)
}

/// `RWO,RWX`, always in the same order.
fn modes(modes: &Value) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| modes.as_array().into_iter().flatten().any(|found| found == mode);
    let found: Vec<&str> =
        short.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    found.join(",")
}
