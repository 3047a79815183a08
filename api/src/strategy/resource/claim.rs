//! ResourceClaim and ResourceClaimTemplate.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{allocation, list, request};
use crate::field::{Errors, Path};
use crate::meta;
use crate::strategy::bounds::immutable;
use crate::strategy::{Strategy, keep_all_but_status_alone, set_default};

#[derive(Debug)]
pub(crate) struct ResourceClaim;

/// Claims that are made for the pods that name the template.
#[derive(Debug)]
pub(crate) struct ResourceClaimTemplate;

impl Strategy for ResourceClaim {
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        request::default(&mut object["spec"]);
        set_default(object, "status", json!({}));
    }

    fn first_status(&self) -> Option<Value> {
        Some(json!({}))
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        keep_all_but_status_alone(new, old);
        forget_deallocated(&mut new["status"], &old["status"]);
    }

    fn validate(&self, object: &Value) -> Errors {
        request::validate(&object["spec"], &Path::new("spec"))
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        immutable(&new["spec"], &old["spec"], &Path::new("spec")).into_iter().collect()
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        allocation::validate(new, old)
    }
}

impl Strategy for ResourceClaimTemplate {
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(&mut object["spec"], "metadata", json!({}));
        set_default(&mut object["spec"], "spec", json!({}));
        request::default(&mut object["spec"]["spec"]);
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let (metadata, at) = (&spec["metadata"], path.child("metadata"));
        let mut errors = meta::validate_labels(&metadata["labels"], &at.child("labels"));
        let annotations = &metadata["annotations"];
        errors.extend(meta::validate_annotations(annotations, &at.child("annotations")));
        errors.extend(request::validate(&spec["spec"], &path.child("spec")));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        immutable(&new["spec"], &old["spec"], &Path::new("spec")).into_iter().collect()
    }
}

/// What drivers said about a device goes when the device is no longer allocated to the claim.
fn forget_deallocated(new: &mut Value, old: &Value) {
    let devices = |status: &Value| -> HashSet<[String; 3]> {
        let results = list(&status["allocation"]["devices"], "results");
        results.iter().map(allocation::device_of).collect()
    };
    let gone: HashSet<_> = devices(old).difference(&devices(new)).cloned().collect();
    let Some(told) = new.get_mut("devices").and_then(Value::as_array_mut) else { return };
    told.retain(|device| !gone.contains(&allocation::device_of(device)));
    if told.is_empty() {
        meta::remove(new, "devices");
    }
}
