//! Storage classes, storage drivers and what they report.

mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod storage_class;
#[cfg(test)]
mod tests;
mod volume_attachment;
mod volume_attributes_class;

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;

pub(crate) use csi_driver::CsiDriver;
pub(crate) use csi_node::CsiNode;
pub(crate) use csi_storage_capacity::CsiStorageCapacity;
pub(crate) use storage_class::StorageClass;
pub(crate) use volume_attachment::VolumeAttachment;
pub(crate) use volume_attributes_class::VolumeAttributesClass;

const IMMUTABLE: &str = "field is immutable";
/// Parameters of a class: how many, and the bytes of all keys and values.
const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETER_BYTES: usize = 256 * 1024;

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

/// The bytes of all keys and values of a map of strings.
fn size(map: &Value) -> usize {
    let entries = map.as_object().into_iter().flatten();
    entries.map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len()).sum()
}

/// The name of what provides volumes.
fn validate_provisioner(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let lower = name.to_lowercase();
    FieldError::invalid_each(path, &lower, &names::qualified_name(&lower))
}

fn validate_parameters(parameters: &Value, path: &Path) -> Errors {
    let entries = parameters.as_object().map_or(0, serde_json::Map::len);
    if entries > MAX_PARAMETERS {
        return vec![FieldError::too_long(path, MAX_PARAMETERS)];
    }
    let mut errors = Errors::new();
    if parameters.get("").is_some() {
        errors.push(FieldError::invalid(path, "", "field can not be empty."));
    }
    if size(parameters) > MAX_PARAMETER_BYTES {
        errors.push(FieldError::too_long(path, MAX_PARAMETER_BYTES));
    }
    errors
}

/// The name of a CSI driver: a subdomain of at most 63 characters, lower or upper case.
pub(super) fn validate_driver_name(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Errors::new();
    if name.len() > 63 {
        errors.push(FieldError::too_long(path, 63));
    }
    let lower = name.to_lowercase();
    errors.extend(FieldError::invalid_each(path, name, &names::dns1123_subdomain(&lower)));
    errors
}
