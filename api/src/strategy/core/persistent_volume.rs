//! PersistentVolume.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidatePersistentVolume).

mod source;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::NodeSelector;
use serde_json::{Value, json};

use super::{positive, validate_access_modes, validate_class, validate_volume_mode};
use crate::field::{Errors, FieldError, Path};
use crate::meta;
use crate::strategy::{
    Strategy, bounds, keep_field, object_at, pod, set_default, typed, volume_source, warnings,
};

/// Keeps a volume while a claim is bound to it; taken away by the controller that watches them.
const PROTECTION: &str = "kubernetes.io/pv-protection";

const RECLAIM_POLICIES: &[&str] = &["Delete", "Recycle", "Retain"];

/// Sources that no node can mount any more, those that Kubernetes warns about here, in its order.
const OLD_SOURCES: &[&str] =
    &["cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd"];

const RECYCLE: &str = "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. \
    Instead, the recommended approach is to use dynamic provisioning.";

#[derive(Debug)]
pub(crate) struct PersistentVolume;

impl Strategy for PersistentVolume {
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        let spec = &mut object["spec"];
        set_default(spec, "persistentVolumeReclaimPolicy", "Retain");
        set_default(spec, "volumeMode", "Filesystem");
        for (source, defaults) in [
            ("/hostPath", json!({"type": ""})),
            ("/iscsi", json!({"iscsiInterface": "default"})),
            ("/rbd", json!({"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"})),
            (
                "/azureDisk",
                json!({"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": false}),
            ),
            ("/scaleIO", json!({"storageMode": "ThinProvisioned", "fsType": "xfs"})),
        ] {
            let Some(source) = object_at(spec, source) else { continue };
            for (field, value) in defaults.as_object().into_iter().flatten() {
                set_default(source, field, value.clone());
            }
        }
        set_default(object, "status", json!({}));
        set_default(&mut object["status"], "phase", "Pending");
    }

    /// Besides resetting the status this adds the finalizer of the StorageObjectInUseProtection
    /// admission plugin.
    fn prepare_for_create(&self, object: &mut Value) {
        let now = object["metadata"]["creationTimestamp"].clone();
        object["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": now});
        super::protect(object, PROTECTION);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn stamp_status(&self, new: &mut Value, old: &Value, now: Timestamp) {
        const FIELD: &str = "lastPhaseTransitionTime";
        let (has, had) = (&new["status"], &old["status"]);
        let told = !has[FIELD].is_null() && has[FIELD] != had[FIELD];
        let phase = |status: &Value| status["phase"].as_str().unwrap_or("Pending").to_owned();
        if phase(has) != phase(had) && !told {
            new["status"][FIELD] = meta::time(now).into();
        }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut told = Vec::from_iter(super::warning_of_class(object));
        if spec["persistentVolumeReclaimPolicy"] == "Recycle" {
            told.push(RECYCLE.to_owned());
        }
        let at = path.child("nodeAffinity").child("required").child("nodeSelectorTerms");
        let terms = spec["nodeAffinity"]["required"]["nodeSelectorTerms"].as_array();
        for (n, term) in terms.into_iter().flatten().enumerate() {
            told.extend(warnings::of_expressions(term, false, &at.index(n)));
        }
        let old = OLD_SOURCES.iter().filter(|field| !spec[**field].is_null());
        told.extend(old.filter_map(|field| volume_source::deprecation(field, &path)));
        told
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Errors::new();
        let (modes, at) = (&spec["accessModes"], path.child("accessModes"));
        if modes.as_array().is_none_or(Vec::is_empty) {
            errors.push(FieldError::required(&at, ""));
        }
        errors.extend(validate_access_modes(modes, &at));
        errors.extend(validate_capacity(&spec["capacity"], &path.child("capacity")));
        let policy = spec["persistentVolumeReclaimPolicy"].as_str().unwrap_or_default();
        let at = path.child("persistentVolumeReclaimPolicy");
        if !policy.is_empty() && !RECLAIM_POLICIES.contains(&policy) {
            errors.push(FieldError::not_supported(&at, policy, RECLAIM_POLICIES));
        }
        errors.extend(validate_affinity(&spec["nodeAffinity"], &path.child("nodeAffinity")));
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        errors.extend(source::validate(spec, name, &path));
        let host_path = spec["hostPath"]["path"].as_str().unwrap_or_default();
        if policy == "Recycle"
            && !host_path.is_empty()
            && host_path.split('/').all(|part| matches!(part, "" | "."))
        {
            let detail = "may not be 'recycle' for a hostPath mount of '/'";
            errors.push(FieldError::forbidden(&at, detail));
        }
        errors.extend(validate_class(spec, "storageClassName", &path));
        errors.extend(validate_volume_mode(spec, &path));
        if let Some(class) = spec["volumeAttributesClassName"].as_str() {
            if class.is_empty() {
                let at = path.child("volumeAttributesClassName");
                errors.push(FieldError::required(&at, "an empty string is disallowed"));
            }
            errors.extend(validate_class(spec, "volumeAttributesClassName", &path));
            if spec["csi"].is_null() {
                let detail = "has to be specified when using volumeAttributesClassName";
                errors.push(FieldError::required(&path.child("csi"), detail));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        let (mut has, had) = (new["spec"].clone(), &old["spec"]);
        // The secret for expanding a volume may come later.
        const EXPAND: &str = "controllerExpandSecretRef";
        if had["csi"].is_object() && had["csi"][EXPAND].is_null() && has["csi"].is_object() {
            meta::remove(&mut has["csi"], EXPAND);
        }
        if source::FIELDS.iter().any(|source| has[*source] != had[*source]) {
            let detail = "spec.persistentvolumesource is immutable after creation";
            let path = Path::new("spec").child("persistentvolumesource");
            errors.push(FieldError::forbidden(&path, detail));
        }
        let path = Path::new("volumeMode");
        errors.extend(bounds::immutable(&has["volumeMode"], &had["volumeMode"], &path));
        if !had["nodeAffinity"].is_null() {
            let path = Path::new("nodeAffinity");
            errors.extend(bounds::immutable(&has["nodeAffinity"], &had["nodeAffinity"], &path));
        }
        let class = "volumeAttributesClassName";
        if had[class].is_string() && has[class].is_null() {
            let path = Path::new("spec").child(class);
            let detail = "update from non-nil value to nil is forbidden";
            errors.push(FieldError::forbidden(&path, detail));
        }
        errors
    }
}

fn validate_capacity(capacity: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(amounts) = capacity.as_object().filter(|amounts| !amounts.is_empty()) else {
        errors.push(FieldError::required(path, ""));
        errors.push(FieldError::not_supported(path, capacity.clone(), &["storage"]));
        return errors;
    };
    if !amounts.contains_key("storage") || amounts.len() > 1 {
        errors.push(FieldError::not_supported(path, capacity.clone(), &["storage"]));
    }
    for (name, amount) in amounts {
        let at = path.key(name);
        errors.extend(super::basic_amount(amount, &at));
        errors.extend(positive(amount, &at));
    }
    errors
}

fn validate_affinity(affinity: &Value, path: &Path) -> Errors {
    if affinity.is_null() {
        return Errors::new();
    }
    let at = path.child("required");
    if affinity["required"].is_null() {
        return vec![FieldError::required(&at, "must specify required node constraints")];
    }
    match typed::<NodeSelector>(&affinity["required"]) {
        Ok(selector) => pod::validate_node_selector(&selector, &at),
        Err(errors) => errors,
    }
}
