//! RuntimeClass. Source: k8s.io/kubernetes/pkg/apis/node/validation.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use super::warnings::deprecated_label;
use super::{Strategy, pod, typed};
use crate::field::{Errors, FieldError, Path};
use crate::{meta, names};

#[derive(Debug)]
pub(crate) struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let labels = object["scheduling"]["nodeSelector"].as_object().into_iter().flatten();
        let old = labels.filter_map(|(key, _)| deprecated_label(key));
        old.map(|message| format!("scheduling.nodeSelector: {message}")).collect()
    }

    fn validate(&self, object: &Value) -> Errors {
        let handler = object["handler"].as_str().unwrap_or_default();
        let path = Path::new("handler");
        let mut errors = FieldError::invalid_each(&path, handler, &names::dns1123_label(handler));
        let path = Path::new("overhead").child("limits");
        for (name, amount) in object["overhead"]["podFixed"].as_object().into_iter().flatten() {
            let amount = Quantity(amount.as_str().unwrap_or_default().to_owned());
            errors.extend(pod::validate_amount(name, &amount, &path.key(name)));
        }
        errors.extend(validate_scheduling(&object["scheduling"], &Path::new("scheduling")));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        if new["handler"] == old["handler"] {
            return Errors::new();
        }
        let handler = new["handler"].clone();
        vec![FieldError::invalid(&Path::new("handler"), handler, "field is immutable")]
    }
}

fn validate_scheduling(scheduling: &Value, path: &Path) -> Errors {
    let mut errors =
        meta::validate_labels(&scheduling["nodeSelector"], &path.child("nodeSelector"));
    if scheduling["tolerations"].is_null() {
        return errors;
    }
    let tolerations: Vec<Toleration> = match typed(&scheduling["tolerations"]) {
        Ok(tolerations) => tolerations,
        Err(more) => return more,
    };
    let path = path.child("tolerations");
    errors.extend(pod::validate_tolerations(&tolerations, &path));
    let mut seen = HashSet::new();
    for (n, toleration) in tolerations.iter().enumerate() {
        let Toleration { key, operator, value, effect, .. } = toleration;
        if !seen.insert((key, operator, value, effect)) {
            let shown = scheduling["tolerations"][n].clone();
            errors.push(FieldError::duplicate(&path.index(n), shown));
        }
    }
    errors
}
