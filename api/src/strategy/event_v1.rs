//! Event (`events.k8s.io/v1`): another view of the stored `v1` events.

use serde_json::{Map, Value, json};

use super::event::{self, Event};
use super::{Strategy, set_default};
use crate::field::Errors;

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
        let stored = rename(object.clone(), true);
        let mut errors = Event.validate(&stored);
        errors.extend(event::validate_new(&stored));
        errors
    }

    /// Events that came through `v1` may lack what a new one must have.
    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let (new, old) = (rename(new.clone(), true), rename(old.clone(), true));
        let mut errors = Event.validate(&new);
        errors.extend(event::validate_change(&new, &old));
        errors
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

    fn told(errors: &Errors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn event(more: &Value) -> Value {
        let mut event = json!({"metadata": {"name": "e", "namespace": "default"},
            "eventTime": "2024-01-01T00:00:00.000000Z", "reportingController": "x.io/y",
            "reportingInstance": "i", "action": "A", "reason": "R", "type": "Normal",
            "regarding": {"namespace": "elsewhere"}});
        EventV1.default(&mut event);
        for (field, value) in more.as_object().expect("fields") {
            event[field] = value.clone();
        }
        event
    }

    #[test]
    fn new_events_say_when_they_happened_and_nothing_of_old() {
        let time = "2024-01-01T00:00:00Z";
        let (long, longer) = ("x".repeat(129), "x".repeat(1025));
        for (more, want) in [
            (json!({}), vec![]),
            (json!({"eventTime": null, "regarding": {}}), vec!["eventTime: Required value"]),
            (json!({"type": "Loud"}), vec!["type: Invalid value: \"\": has invalid value: Loud"]),
            (json!({"type": null}), vec!["type: Invalid value: \"\": has invalid value: "]),
            (
                json!({"reportingInstance": long, "note": longer}),
                vec![
                    "reportingInstance: Invalid value: \"\": can have at most 128 characters",
                    "message: Invalid value: \"\": can have at most 1024 characters",
                ],
            ),
            (
                json!({"reportingInstance": "", "action": null}),
                vec!["reportingInstance: Required value", "action: Required value"],
            ),
            (
                json!({"series": {"count": 1}}),
                vec![
                    "series.count: Invalid value: \"\": should be at least 2",
                    "series.lastObservedTime: Required value",
                ],
            ),
            (json!({"series": {"count": 2, "lastObservedTime": time}}), vec![]),
            (json!({"deprecatedCount": 0, "deprecatedSource": {"component": ""}}), vec![]),
            (
                json!({"deprecatedFirstTimestamp": time, "deprecatedLastTimestamp": time,
                    "deprecatedCount": 1, "deprecatedSource": {"host": "h"}}),
                vec![
                    "firstTimestamp: Invalid value: \"\": needs to be unset",
                    "lastTimestamp: Invalid value: \"\": needs to be unset",
                    "count: Invalid value: \"\": needs to be unset",
                    "source: Invalid value: \"\": needs to be unset",
                ],
            ),
        ] {
            assert_eq!(told(&EventV1.validate(&event(&more))), want, "{more}");
        }
    }

    #[test]
    fn only_the_series_of_an_event_goes_on() {
        let old = event(&json!({}));
        let time = "2024-01-01T00:00:00Z";
        for (more, want) in [
            (json!({}), vec![]),
            (json!({"series": {"count": 2, "lastObservedTime": time}}), vec![]),
            (
                json!({"series": {"count": 1, "lastObservedTime": time}}),
                vec!["series.count: Invalid value: \"\": should be at least 2"],
            ),
            (json!({"deprecatedCount": 0}), vec![]),
            (json!({"note": "n"}), vec!["message: Invalid value: \"n\": field is immutable"]),
            (
                json!({"reportingController": "x.io/z", "reason": "S"}),
                vec![
                    "reason: Invalid value: \"S\": field is immutable",
                    "reportingController: Invalid value: \"x.io/z\": field is immutable",
                ],
            ),
        ] {
            let new = event(&more);
            assert_eq!(told(&EventV1.validate_update(&new, &old)), want, "{more}");
            assert!(Event.validate(&rename(new, true)).is_empty(), "v1 lets it pass: {more}");
        }
        let mut bare = json!({"metadata": {"namespace": "default"}});
        EventV1.default(&mut bare);
        assert!(EventV1.validate_update(&bare, &bare).is_empty(), "made through v1");
    }
}
