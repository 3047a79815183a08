//! CSIStorageCapacity. Source: k8s.io/kubernetes/pkg/apis/storage/validation.

use serde_json::Value;

use super::{IMMUTABLE, text};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::Quantity;
use crate::strategy::{Strategy, selector, warnings};

#[derive(Debug)]
pub(crate) struct CsiStorageCapacity;

impl Strategy for CsiStorageCapacity {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        warnings::of_selector(&object["nodeTopology"], &Path::new("nodeTopology"))
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors =
            selector::validate_value(&object["nodeTopology"], &Path::new("nodeTopology"));
        let class = text(object, "storageClassName");
        let path = Path::new("storageClassName");
        errors.extend(FieldError::invalid_each(&path, class, &names::dns1123_subdomain(class)));
        for field in ["capacity", "maximumVolumeSize"] {
            let amount = text(object, field);
            if amount.parse::<Quantity>().is_ok_and(Quantity::is_negative) {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(&Path::new(field), amount, detail));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let fields = ["nodeTopology", "storageClassName"];
        let changed = fields.iter().filter(|field| new[**field] != old[**field]);
        changed
            .map(|field| FieldError::invalid(&Path::new(field), new[*field].clone(), IMMUTABLE))
            .collect()
    }
}
