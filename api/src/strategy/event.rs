//! Event (`v1`), also the form in which events of both groups are stored.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/validation (events.go). It looks at events in one form,
//! whichever version they come in, and names the fields as that form does.

use serde_json::{Value, json};

use super::{Strategy, bounds, set_default};
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// The longest message, in bytes; and the longest of the other texts.
const MAX_MESSAGE: usize = 1024;
const MAX_TEXT: usize = 128;

/// What stays as it was made: all but the series.
const FIXED: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

#[derive(Debug)]
pub(crate) struct Event;

impl Strategy for Event {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "source", json!({}));
        set_default(object, "involvedObject", json!({}));
        for field in ["reportingComponent", "reportingInstance"] {
            set_default(object, field, "");
        }
        // Kubernetes writes these three even when empty.
        for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
            set_default(object, field, Value::Null);
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let timed = !text("eventTime").is_empty();
        let mut errors = Errors::from_iter(validate_namespace(object, timed));
        if !timed {
            return errors;
        }
        let (controller, path) = (text("reportingComponent"), Path::new("reportingController"));
        if controller.is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        let messages = names::qualified_name(controller);
        errors.extend(FieldError::invalid_each(&path, controller, &messages));
        for field in ["reportingInstance", "action", "reason"] {
            if text(field).is_empty() {
                errors.push(FieldError::required(&Path::new(field), ""));
            }
            errors.extend(at_most(text(field), MAX_TEXT, field));
        }
        errors.extend(at_most(text("message"), MAX_MESSAGE, "message"));
        errors
    }
}

fn at_most(text: &str, limit: usize, field: &str) -> Option<FieldError> {
    let detail = format!("can have at most {limit} characters");
    (text.len() > limit).then(|| FieldError::invalid(&Path::new(field), "", &detail))
}

/// An event is beside what it is about; events about what is in no namespace are in `default`. Those
/// that say when they happened (`timed`) may be elsewhere.
fn validate_namespace(event: &Value, timed: bool) -> Option<FieldError> {
    let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default();
    let involved = event["involvedObject"]["namespace"].as_str().unwrap_or_default();
    let fits = match (involved.is_empty(), timed) {
        (true, true) => matches!(namespace, "default" | "kube-system"),
        (true, false) => matches!(namespace, "" | "default"),
        (false, true) => true,
        (false, false) => involved == namespace,
    };
    let path = Path::new("involvedObject").child("namespace");
    (!fits).then(|| FieldError::invalid(&path, involved, "does not match event.namespace"))
}

/// What `events.k8s.io` asks of a new event, beyond what `v1` does.
pub(super) fn validate_new(event: &Value) -> Errors {
    let mut errors = validate_series(&event["series"]);
    if is_unset(&event["eventTime"]) {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    let kind = event["type"].as_str().unwrap_or_default();
    if !matches!(kind, "Normal" | "Warning") {
        let detail = format!("has invalid value: {kind}");
        errors.push(FieldError::invalid(&Path::new("type"), "", &detail));
    }
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if !is_unset(&event[field]) {
            errors.push(FieldError::invalid(&Path::new(field), "", "needs to be unset"));
        }
    }
    errors
}

/// What `events.k8s.io` asks of a change: that it is one of the series.
pub(super) fn validate_change(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if new["series"] != old["series"] {
        errors.extend(validate_series(&new["series"]));
    }
    for field in FIXED {
        let (has, had) = (&new[field], &old[field]);
        if !(is_unset(has) && is_unset(had)) {
            // The component is a controller to Kubernetes.
            let shown = if field == "reportingComponent" { "reportingController" } else { field };
            errors.extend(bounds::immutable(has, had, &Path::new(shown)));
        }
    }
    errors
}

fn validate_series(series: &Value) -> Errors {
    let mut errors = Errors::new();
    if series.is_null() {
        return errors;
    }
    if series["count"].as_i64().unwrap_or(0) < 2 {
        let path = Path::new("series").child("count");
        errors.push(FieldError::invalid(&path, "", "should be at least 2"));
    }
    if is_unset(&series["lastObservedTime"]) {
        errors.push(FieldError::required(&Path::new("series").child("lastObservedTime"), ""));
    }
    errors
}

/// Whether a field says nothing: to Kubernetes what is absent, 0 and an empty text are one.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.values().all(is_unset),
        other => other.as_i64() == Some(0),
    }
}
