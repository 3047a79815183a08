//! The `scale` subresource of a custom resource: an `autoscaling/v1` Scale whose parts are where
//! the definition says.

use serde_json::{Map, Value};

use super::json_path::JsonPath;
use crate::strategy;

/// Where an object keeps what its Scale shows.
#[derive(Debug)]
pub(super) struct Scale {
    spec: JsonPath,
    status: JsonPath,
    selector: Option<JsonPath>,
}

impl Scale {
    /// Reads a version's `subresources.scale`.
    pub(super) fn read(scale: &Value) -> Option<Scale> {
        let path = |field: &str| JsonPath::parse(scale[field].as_str()?).ok();
        Some(Scale {
            spec: path("specReplicasPath")?,
            status: path("statusReplicasPath")?,
            selector: path("labelSelectorPath"),
        })
    }

    /// The Scale of an object.
    pub(super) fn of(&self, object: &Value) -> Value {
        let count =
            |path: &JsonPath| path.find(object).first().and_then(|n| n.as_i64()).unwrap_or(0);
        let mut workload = Map::new();
        workload.insert("metadata".to_owned(), object["metadata"].clone());
        let mut scale = strategy::scale_of(&Value::Object(workload));
        if count(&self.spec) != 0 {
            scale["spec"]["replicas"] = count(&self.spec).into();
        }
        scale["status"]["replicas"] = count(&self.status).into();
        let selector = self.selector.as_ref().and_then(|path| path.find(object).first()?.as_str());
        if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
            scale["status"]["selector"] = selector.into();
        }
        scale
    }

    /// The object with the replicas (and the resourceVersion, when given) of a Scale.
    pub(super) fn put(&self, mut object: Value, scale: &Value) -> Value {
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        let mut at = &mut object;
        for field in self.spec.fields().unwrap_or_default() {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at = &mut at[field];
        }
        *at = replicas.into();
        let version = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() {
            object["metadata"]["resourceVersion"] = version.into();
        }
        object
    }
}
