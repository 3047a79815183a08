//! The source of a PersistentVolume. What pods can mount by themselves as well is checked in one
//! place for both ([`volume_source`]); here is what is added because a volume has no namespace: the
//! secrets and Endpoints that it names must say theirs.

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::volume_source;

/// The fields of the sources, in the order in which Kubernetes looks for them.
pub(super) const FIELDS: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// The secrets that a CSI driver may be given.
const SECRETS: [&str; 4] = [
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
];

/// Checks that there is exactly one source, with all that it needs. `name` is that of the volume,
/// `path` that of its spec.
pub(super) fn validate(spec: &Value, name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut given = 0;
    for field in FIELDS {
        let source = &spec[*field];
        if source.is_null() {
            continue;
        }
        given += 1;
        // A flexVolume is refused with what comes after it only.
        if given > 1 && *field != "flexVolume" {
            let at = path.child(volume_source::surplus_name(field));
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type"));
            continue;
        }
        errors.extend(volume_source::validate(field, source, path));
        errors.extend(elsewhere(field, source, name, &path.child(field)));
        if *field == "local" && spec["nodeAffinity"]["required"].is_null() {
            let detail = "Local volume requires node affinity";
            errors.push(FieldError::required(&path.child("nodeAffinity"), detail));
        }
    }
    if given == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    errors
}

/// What a source needs that is outside of any namespace.
fn elsewhere(field: &str, source: &Value, name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    let (secret, at) = (&source["secretRef"], path.child("secretRef"));
    match field {
        "glusterfs" => errors.extend(endpoints_namespace(source, path)),
        "cinder" | "storageos" if !secret.is_null() && text(secret, "namespace").is_empty() => {
            errors.push(FieldError::required(&at.child("namespace"), ""));
        }
        "azureFile" if source["secretNamespace"] == "" => {
            errors.push(FieldError::required(&path.child("secretNamespace"), ""));
        }
        "iscsi" => {
            if let Some(detail) = volume_source::iscsi_name_is_too_long(name, source) {
                let portal = text(source, "targetPortal");
                errors.push(FieldError::invalid(&path.child("targetportal"), portal, detail));
            }
            if !secret.is_null() && text(secret, "name").is_empty() {
                errors.push(FieldError::required(&at.child("name"), ""));
            }
        }
        "csi" => {
            if text(source, "volumeHandle").is_empty() {
                errors.push(FieldError::required(&path.child("volumeHandle"), ""));
            }
            for field in SECRETS.iter().filter(|field| !source[**field].is_null()) {
                errors.extend(validate_secret(&source[*field], &path.child(field)));
            }
        }
        _ => {}
    }
    errors
}

fn endpoints_namespace(source: &Value, path: &Path) -> Errors {
    let at = path.child("endpointsNamespace");
    match source["endpointsNamespace"].as_str() {
        None => Errors::new(),
        Some("") => {
            let detail = "if the endpointnamespace is set, it must be a valid namespace name";
            vec![FieldError::invalid(&at, "", detail)]
        }
        Some(name) => FieldError::invalid_each(&at, name, &names::dns1123_label(name)),
    }
}

/// A secret by its name and namespace.
fn validate_secret(secret: &Value, path: &Path) -> Errors {
    let check = |field: &str, rule: fn(&str) -> Vec<String>| {
        let (text, at) = (secret[field].as_str().unwrap_or_default(), path.child(field));
        if text.is_empty() {
            return vec![FieldError::required(&at, "")];
        }
        FieldError::invalid_each(&at, text, &rule(text))
    };
    let mut errors = check("name", names::dns1123_subdomain);
    errors.extend(check("namespace", names::dns1123_label));
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(spec: &Value) -> Vec<String> {
        let errors = validate(spec, "volume", &Path::new("spec"));
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sources_are_checked_as_those_of_pods_and_say_where_the_rest_is() {
        let secret = |name: &str, namespace: &str| json!({"name": name, "namespace": namespace});
        for (spec, want) in [
            (json!({"hostPath": {"path": "/x", "type": "File"}}), vec![]),
            (
                json!({"hostPath": {"path": "/x", "type": "Odd"}}),
                vec![
                    "spec.hostPath.type: Unsupported value: \"Odd\": supported values: \"\", \
                    \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \
                    \"File\", \"FileOrCreate\", \"Socket\"",
                ],
            ),
            (
                json!({"gcePersistentDisk": {"partition": 256}}),
                vec![
                    "spec.persistentDisk.pdName: Required value",
                    "spec.persistentDisk.partition: Invalid value: 256: must be between 1 and 255, \
                     inclusive",
                ],
            ),
            (
                json!({"iscsi": {"targetPortal": "p", "iqn": "odd", "lun": 256,
                    "chapAuthSession": true}}),
                vec![
                    "spec.iscsi.iqn: Invalid value: \"odd\": must be valid format starting with iqn, \
                     eui, or naa",
                    "spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
                    "spec.iscsi.secretRef: Required value",
                ],
            ),
            (
                json!({"iscsi": {"targetPortal": "p".repeat(58),
                    "iqn": "iqn.2001-04.com.example:storage", "secretRef": {},
                    "initiatorName": "iqn.2001-04.com.example:host"}}),
                vec![
                    &*format!(
                        "spec.iscsi.targetportal: Invalid value: \"{}\": Total length of <volume \
                         name>:<iscsi.targetPortal> must be under 64 characters if \
                         iscsi.initiatorName is specified.",
                        "p".repeat(58)
                    ),
                    "spec.iscsi.secretRef.name: Required value",
                ],
            ),
            (
                json!({"fc": {"targetWWNs": ["a"]}}),
                vec!["spec.fc.lun: Required value: lun is required if targetWWNs is specified"],
            ),
            (
                json!({"flexVolume": {"driver": "d", "options": {"x.k8s.io/y": "z"}}}),
                vec![
                    "spec.flexVolume.options[x.k8s.io/y]: Invalid value: \"x.k8s.io/y\": \
                    kubernetes.io and k8s.io namespaces are reserved",
                ],
            ),
            (
                json!({"flocker": {}}),
                vec![
                    "spec.flocker: Required value: one of datasetName and datasetUUID is required",
                ],
            ),
            (
                json!({"azureFile": {"secretName": "s", "shareName": "t", "secretNamespace": ""}}),
                vec!["spec.azureFile.secretNamespace: Required value"],
            ),
            (
                json!({"glusterfs": {"endpoints": "e", "path": "p", "endpointsNamespace": ""}}),
                vec![
                    "spec.glusterfs.endpointsNamespace: Invalid value: \"\": if the \
                    endpointnamespace is set, it must be a valid namespace name",
                ],
            ),
            (
                json!({"cinder": {"volumeID": "v", "secretRef": {}}}),
                vec![
                    "spec.cinder.secretRef.name: Required value",
                    "spec.cinder.secretRef.namespace: Required value",
                ],
            ),
            (json!({"cinder": {"volumeID": "v", "secretRef": secret("s", "n")}}), vec![]),
            (
                json!({"cephfs": {}, "rbd": {"image": "i"}}),
                vec![
                    "spec.rbd.monitors: Required value",
                    "spec.cephFS: Forbidden: may not specify more than 1 volume type",
                ],
            ),
            (
                json!({"local": {"path": "a/../b"}, "nodeAffinity": {"required": {}}}),
                vec!["spec.local.path: Invalid value: \"a/../b\": must not contain '..'"],
            ),
            (
                json!({"csi": {"driver": "d", "volumeHandle": "h",
                    "nodeExpandSecretRef": secret("s", "n"), "nodePublishSecretRef": secret("s", "")}}),
                vec!["spec.csi.nodePublishSecretRef.namespace: Required value"],
            ),
            (json!({}), vec!["spec: Required value: must specify a volume type"]),
        ] {
            assert_eq!(told(&spec), want, "{spec}");
        }
        let odd = json!({"csi": {"driver": "-", "controllerPublishSecretRef": secret("A", "b.c")}});
        let all = told(&odd);
        for (n, start) in [
            "spec.csi.driver: Invalid value: \"-\": a lowercase RFC 1123 subdomain",
            "spec.csi.volumeHandle: Required value",
            "spec.csi.controllerPublishSecretRef.name: Invalid value: \"A\": a lowercase RFC 1123",
            "spec.csi.controllerPublishSecretRef.namespace: Invalid value: \"b.c\"",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(all[n].starts_with(start), "{all:?}");
        }
    }
}
