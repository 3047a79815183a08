//! VolumeAttachment. Source: k8s.io/kubernetes/pkg/apis/storage/validation.

use serde_json::{Value, json};

use super::{IMMUTABLE, size, text, validate_driver_name};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::{Strategy, set_default};

/// Bytes of all metadata that a driver may attach, and of an error's message.
const MAX_METADATA: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024;
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
const INLINE: &str = "may not be specified in the context of inline volumes";

#[derive(Debug)]
pub(crate) struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(&mut object["spec"], "source", json!({}));
        set_default(object, "status", json!({}));
        set_default(&mut object["status"], "attached", false);
    }

    fn first_status(&self) -> Option<Value> {
        Some(json!({"attached": false}))
    }

    fn status_is_alone(&self) -> bool {
        true
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        if subresource == "status" { &[&["metadata"], &["spec"]] } else { &[&["status"]] }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = validate_any(object);
        let attacher = text(spec, "attacher");
        if !attacher.is_empty() {
            errors.extend(validate_driver_name(attacher, &path.child("attacher")));
        }
        let volume = text(&spec["source"], "persistentVolumeName");
        if !volume.is_empty() {
            let path = path.child("source").child("persistentVolumeName");
            let messages = names::dns1123_subdomain(volume);
            errors.extend(FieldError::invalid_each(&path, volume, &messages));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = validate_any(new);
        if new["spec"] != old["spec"] {
            errors.push(FieldError::invalid(&Path::new("spec"), new["spec"].clone(), IMMUTABLE));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        self.validate_update(new, old)
    }
}

/// What holds for old objects too; names were once not looked at.
fn validate_any(object: &Value) -> Errors {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = Errors::new();
    if text(spec, "attacher").is_empty() {
        errors.push(FieldError::required(&path.child("attacher"), ""));
    }
    errors.extend(validate_source(&spec["source"], &path.child("source")));
    let node = text(spec, "nodeName");
    let messages = names::dns1123_subdomain(node);
    errors.extend(FieldError::invalid_each(&path.child("nodeName"), node, &messages));
    let (status, path) = (&object["status"], Path::new("status"));
    if size(&status["attachmentMetadata"]) > MAX_METADATA {
        errors.push(FieldError::too_long(&path.child("attachmentMetadata"), MAX_METADATA));
    }
    for field in ["attachError", "detachError"] {
        let (error, path) = (&status[field], path.child(field));
        if text(error, "message").len() > MAX_MESSAGE {
            errors.push(FieldError::too_long(&path.child("message"), MAX_MESSAGE));
        }
        if let Some(code) = error["errorCode"].as_i64().filter(|code| *code < 0) {
            let detail = "must be between 0 and 2147483647, inclusive";
            errors.push(FieldError::invalid(&path.child("errorCode"), code, detail));
        }
    }
    errors
}

fn validate_source(source: &Value, path: &Path) -> Errors {
    let inline = &source["inlineVolumeSpec"];
    match (source["persistentVolumeName"].as_str(), inline.is_null()) {
        (None, true) => vec![FieldError::required(path, ONE_SOURCE)],
        (Some(_), false) => vec![FieldError::forbidden(path, ONE_SOURCE)],
        (Some(""), true) => {
            let detail = "must specify non empty persistentVolumeName";
            vec![FieldError::required(&path.child("persistentVolumeName"), detail)]
        }
        (Some(_), true) => Errors::new(),
        (None, false) => validate_inline(inline, &path.child("inlineVolumeSpec")),
    }
}

/// The volume of a pod that comes without a PersistentVolume object: of a CSI driver, unclaimed.
fn validate_inline(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["claimRef", "capacity"] {
        if !spec[field].is_null() {
            errors.push(FieldError::forbidden(&path.child(field), INLINE));
        }
    }
    if spec["csi"].is_null() {
        let detail = "has to be specified in the context of inline volumes";
        errors.push(FieldError::required(&path.child("csi"), detail));
    }
    if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    errors
}
