//! PersistentVolumeClaim, alone and as a template in a StatefulSet.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidatePersistentVolumeClaim) and
//! pkg/api/persistentvolumeclaim.

use serde_json::{Value, json};

use super::{
    CLASS_ANNOTATION, positive, quantity, resource_name, validate_access_modes, validate_class,
    validate_volume_mode,
};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::Quantity;
use crate::strategy::{Strategy, bounds, keep_field, selector, set_default, warnings};

/// Keeps a claim while pods use it; taken away by the controller that watches them.
const PROTECTION: &str = "kubernetes.io/pvc-protection";

const IMMUTABLE: &str = "spec is immutable after creation except resources.requests and \
    volumeAttributesClassName for bound claims";

const RESIZE_STATUSES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

#[derive(Debug)]
pub(crate) struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn default(&self, object: &mut Value) {
        default(object);
    }

    /// Besides resetting the status this adds the finalizer of the StorageObjectInUseProtection
    /// admission plugin.
    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Pending"});
        super::protect(object, PROTECTION);
        let spec = &mut object["spec"];
        // What another namespace holds is not for everybody to copy.
        if spec["dataSourceRef"]["namespace"].as_str().is_some_and(|name| !name.is_empty()) {
            crate::meta::remove(spec, "dataSourceRef");
        }
        normalize_sources(spec);
        // The older field knows claims and snapshots only.
        let source = &spec["dataSource"];
        let known = matches!(
            (source["kind"].as_str(), source["apiGroup"].as_str().unwrap_or_default()),
            (Some("PersistentVolumeClaim"), "")
                | (Some("VolumeSnapshot"), "snapshot.storage.k8s.io")
        );
        if !known {
            crate::meta::remove(spec, "dataSource");
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
        normalize_sources(&mut new["spec"]);
        if old["spec"]["dataSource"].is_null() {
            crate::meta::remove(&mut new["spec"], "dataSource");
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        validate_spec(&object["spec"], &Path::new("spec"))
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        let annotation =
            |object: &Value| object["metadata"]["annotations"][CLASS_ANNOTATION].clone();
        if annotation(new) != annotation(old) {
            let path = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION);
            let shown = annotation(new).as_str().unwrap_or_default().to_owned();
            errors.push(FieldError::invalid(&path, shown, "field is immutable"));
        }
        errors.extend(validate_spec_update(new, old));
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let (status, path) = (&new["status"], Path::new("status"));
        let mut errors = Errors::new();
        for (name, amount) in status["capacity"].as_object().into_iter().flatten() {
            let at = path.child("capacity").key(name);
            errors.extend(super::basic_amount(amount, &at));
        }
        let at = path.child("allocatedResourceStatuses");
        for (name, word) in status["allocatedResourceStatuses"].as_object().into_iter().flatten() {
            errors.extend(validate_resource_key(name, &at));
            if !word.as_str().is_some_and(|word| RESIZE_STATUSES.contains(&word)) {
                errors.push(FieldError::not_supported(&at, name.as_str(), RESIZE_STATUSES));
            }
        }
        let at = path.child("allocatedResources");
        for (name, amount) in status["allocatedResources"].as_object().into_iter().flatten() {
            let wrong = validate_resource_key(name, &at);
            if wrong.is_empty() {
                errors.extend(super::basic_amount(amount, &at.key(name)));
            }
            errors.extend(wrong);
        }
        errors
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut told = Vec::from_iter(super::warning_of_class(object));
        told.extend(warnings_of_spec(&object["spec"], &Path::new("spec")));
        told
    }
}

/// Warnings about the spec of a claim, or of the template of one.
pub(in crate::strategy) fn warnings_of_spec(spec: &Value, path: &Path) -> Vec<String> {
    let resources = path.child("resources");
    let of = |amounts: &str| {
        let at = resources.child(amounts);
        warnings::of_fraction(&spec["resources"][amounts], "storage", &at)
    };
    ["requests", "limits"].into_iter().filter_map(of).collect()
}

/// Fills in what a claim, or the template of one, leaves out.
pub(in crate::strategy) fn default(object: &mut Value) {
    set_default(object, "spec", json!({}));
    let spec = &mut object["spec"];
    set_default(spec, "resources", json!({}));
    set_default(spec, "volumeMode", "Filesystem");
    set_default(object, "status", json!({}));
    set_default(&mut object["status"], "phase", "Pending");
}

/// The two fields for the source of a volume say the same, if either does.
fn normalize_sources(spec: &mut Value) {
    let (old, new) = (spec["dataSource"].clone(), spec["dataSourceRef"].clone());
    if new.is_null() && !old.is_null() {
        spec["dataSourceRef"] = old;
    } else if old.is_null()
        && !new.is_null()
        && new["namespace"].as_str().unwrap_or_default().is_empty()
    {
        spec["dataSource"] = new;
    }
    for field in ["dataSource", "dataSourceRef"] {
        if spec[field].is_null() {
            crate::meta::remove(spec, field);
        }
    }
}

/// Checks the spec of a claim.
pub(in crate::strategy) fn validate_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (modes, at) = (&spec["accessModes"], path.child("accessModes"));
    if modes.as_array().is_none_or(Vec::is_empty) {
        errors.push(FieldError::required(&at, "at least 1 access mode is required"));
    }
    errors.extend(selector::validate_value(&spec["selector"], &path.child("selector")));
    errors.extend(validate_access_modes(modes, &at));
    let at = path.child("resources").key("storage");
    match spec["resources"]["requests"].get("storage") {
        None => errors.push(FieldError::required(&at, "")),
        Some(amount) => errors.extend(positive(amount, &at)),
    }
    errors.extend(validate_class(spec, "storageClassName", path));
    errors.extend(validate_volume_mode(spec, path));
    errors.extend(validate_sources(spec, path));
    errors.extend(validate_class(spec, "volumeAttributesClassName", path));
    errors
}

fn validate_sources(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["dataSource", "dataSourceRef"] {
        let (source, at) = (&spec[field], path.child(field));
        if source.is_null() {
            continue;
        }
        let text = |field: &str| source[field].as_str().unwrap_or_default();
        for field in ["name", "kind"] {
            if text(field).is_empty() {
                errors.push(FieldError::required(&at.child(field), ""));
            }
        }
        match (text("apiGroup"), text("kind")) {
            ("", "PersistentVolumeClaim") => {}
            ("", kind) => {
                let detail =
                    "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
                errors.push(FieldError::invalid(&at, kind, detail));
            }
            (group, _) => {
                let messages = names::dns1123_subdomain(group);
                errors.extend(FieldError::invalid_each(&at.child("apiGroup"), group, &messages));
            }
        }
    }
    let (old, new) = (&spec["dataSource"], &spec["dataSourceRef"]);
    let same = ["apiGroup", "kind", "name"].iter().all(|field| old[*field] == new[*field]);
    if !old.is_null() && !new.is_null() && !same {
        let shown = path.child("dataSource").to_string();
        errors.push(FieldError::invalid(path, shown, "must match dataSourceRef"));
    }
    errors
}

fn validate_spec_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let (has, had) = (&new["spec"], &old["spec"]);
    let mut same = has.clone();
    // The controller that binds the claim names its volume, once.
    if had["volumeName"].as_str().unwrap_or_default().is_empty() {
        keep_field(&mut same, had, "volumeName");
    }
    let annotation = &old["metadata"]["annotations"][CLASS_ANNOTATION];
    if had["storageClassName"].is_null()
        && (annotation.is_null() || *annotation == has["storageClassName"])
    {
        keep_field(&mut same, had, "storageClassName");
    }
    let size = |spec: &Value| spec["resources"]["requests"].get("storage").cloned();
    let bound = new["status"]["phase"] == "Bound";
    if bound && same["resources"]["requests"].is_object() {
        same["resources"]["requests"]["storage"] = size(had).unwrap_or(Value::Null);
    }
    if bound {
        keep_field(&mut same, had, "volumeAttributesClassName");
    }
    if same != *had {
        errors.push(FieldError::forbidden(&path, IMMUTABLE));
    }
    let amount = |value: Option<Value>| value.as_ref().and_then(quantity).unwrap_or(Quantity::ZERO);
    let capacity = old["status"]["capacity"].get("storage").cloned();
    // After a failed expansion the request may come down again, but not to what there is already.
    if amount(size(has)) < amount(size(had)) && amount(size(has)) <= amount(capacity) {
        let at = path.child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(&at, "field can not be less than status.capacity"));
    }
    let at = Path::new("volumeMode");
    errors.extend(bounds::immutable(&has["volumeMode"], &had["volumeMode"], &at));
    let (class, current) = ("volumeAttributesClassName", "currentVolumeAttributesClassName");
    // What a volume is by now cannot be taken back to nothing.
    if has[class] != had[class] && !old["status"][current].is_null() {
        let to = match has[class].as_str() {
            None => "nil",
            Some("") => "empty string",
            Some(_) => return errors,
        };
        let detail = format!("update to {to} is forbidden when status.{current} is not nil");
        errors.push(FieldError::forbidden(&path.child(class), &detail));
    }
    errors
}

/// Of its own resources, Kubernetes resizes storage only.
fn validate_resource_key(name: &str, path: &Path) -> Errors {
    let errors = FieldError::invalid_each(path, name, &names::qualified_name(name));
    if errors.is_empty() && resource_name::is_native(name) && name != "storage" {
        return vec![FieldError::not_supported(path, name, &["storage"])];
    }
    errors
}
