//! The `scale` subresource: an `autoscaling/v1` Scale cut out of a workload and put back.
//!
//! Source: k8s.io/kubernetes/pkg/registry/core/replicationcontroller/storage.

use serde_json::{Map, Value, json};

use crate::field::{Errors, FieldError, Path};

/// The Scale of a workload whose selector is a plain label map (ReplicationController) or a
/// LabelSelector (apps workloads).
#[must_use]
pub fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut kept = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.get(field) {
            kept.insert(field.to_owned(), value.clone());
        }
    }
    let mut spec = Map::new();
    let replicas = object["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas != 0 {
        spec.insert("replicas".to_owned(), replicas.into());
    }
    let mut status = Map::new();
    status.insert("replicas".to_owned(), object["status"]["replicas"].as_i64().unwrap_or(0).into());
    let selector = crate::selector::LabelSelector::from_workload(&object["spec"]["selector"]);
    if let Some(text) = selector.map(|selector| selector.to_string()).filter(|t| !t.is_empty()) {
        status.insert("selector".to_owned(), text.into());
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": kept, "spec": spec, "status": status,
    })
}

/// The workload with the replicas (and the resourceVersion, when given) of a Scale.
#[must_use]
pub fn with_scale(mut object: Value, scale: &Value) -> Value {
    object["spec"]["replicas"] = scale["spec"]["replicas"].as_i64().unwrap_or(0).into();
    let version = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() {
        object["metadata"]["resourceVersion"] = version.into();
    }
    object
}

/// Checks a Scale that a client sent. Report with the kind `Scale.autoscaling`.
#[must_use]
pub fn validate_scale(scale: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec").child("replicas");
    match scale["spec"].get("replicas") {
        None | Some(Value::Null) => {}
        Some(value) => match value.as_i64() {
            Some(n) if n < 0 => {
                errors.push(FieldError::invalid(&path, n, "must be greater than or equal to 0"));
            }
            Some(n) if i32::try_from(n).is_ok() => {}
            _ => errors.push(FieldError::invalid(&path, value.clone(), "must be an int32")),
        },
    }
    errors
}
