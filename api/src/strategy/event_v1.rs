//! Event (`events.k8s.io/v1`): another view of the stored `v1` events.

use serde_json::{Map, Value, json};

use super::{Strategy, set_default};
use crate::field::{Errors, FieldError, Path};
use crate::names;

#[derive(Debug)]
pub(crate) struct EventV1;

/// Names of the same fields: here, and in `v1`.
const RENAMED: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn rename(mut object: Value, to_stored: bool) -> Value {
    let Some(map) = object.as_object_mut() else { return object };
    let mut moved = Map::new();
    for (ours, stored) in RENAMED {
        let (from, to) = if to_stored { (ours, stored) } else { (stored, ours) };
        if let Some(value) = map.remove(*from) {
            moved.insert((*to).to_owned(), value);
        }
    }
    map.extend(moved);
    let version = if to_stored { "v1" } else { "events.k8s.io/v1" };
    map.insert("apiVersion".to_owned(), version.into());
    object
}

impl Strategy for EventV1 {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "deprecatedSource", json!({}));
        for field in ["deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"] {
            set_default(object, field, Value::Null);
        }
    }

    /// Events made through this group must say who acted and what was done.
    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        if text("eventTime").is_empty() {
            errors.push(FieldError::required(&Path::new("eventTime"), ""));
        }
        let kind = text("type");
        if kind != "Normal" && kind != "Warning" {
            let detail = format!("has invalid value: {kind}");
            errors.push(FieldError::invalid(&Path::new("type"), "", &detail));
        }
        let controller = text("reportingController");
        if controller.is_empty() {
            errors.push(FieldError::required(&Path::new("reportingController"), ""));
        }
        for message in names::qualified_name(controller) {
            errors.push(FieldError::invalid(
                &Path::new("reportingController"),
                controller,
                &message,
            ));
        }
        for (field, limit) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
            if text(field).is_empty() {
                errors.push(FieldError::required(&Path::new(field), ""));
            } else if text(field).len() > limit {
                let detail = format!("can have at most {limit} characters");
                errors.push(FieldError::invalid(&Path::new(field), text(field), &detail));
            }
        }
        if text("note").len() > 1024 {
            errors.push(FieldError::invalid(
                &Path::new("note"),
                "",
                "can have at most 1024 characters",
            ));
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let regarding = object["regarding"]["namespace"].as_str().unwrap_or_default();
        let fits = if regarding.is_empty() {
            matches!(namespace, "" | "default" | "kube-system")
        } else {
            regarding == namespace
        };
        if !fits {
            let path = Path::new("regarding").child("namespace");
            errors.push(FieldError::invalid(&path, regarding, "does not match event.namespace"));
        }
        errors
    }

    fn validate_update(&self, _new: &Value, _old: &Value) -> Errors {
        // Events that came through v1 may lack what a new one must have.
        Errors::new()
    }

    fn to_stored(&self, object: Value) -> Value {
        rename(object, true)
    }

    fn from_stored(&self, stored: Value) -> Value {
        rename(stored, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_views_hold_the_same() {
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "n", "regarding": {"name": "x"},
            "reportingController": "c", "deprecatedSource": {}, "deprecatedFirstTimestamp": null});
        let stored = EventV1.to_stored(event.clone());
        assert_eq!(stored["involvedObject"]["name"], "x");
        assert_eq!(stored["message"], "n");
        assert_eq!(stored["apiVersion"], "v1");
        assert!(stored.get("note").is_none());
        assert_eq!(EventV1.from_stored(stored), event);
    }
}
