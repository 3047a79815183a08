//! Taking fields out of an object.

use serde_json::{Map, Value};

use super::element::Element;
use super::place::{Form, Place, key_of};
use super::set::{Entry, FieldSet};

/// The object without the members of the set. A list or map that loses the last thing in it goes
/// as well; the object itself stays.
pub(super) fn remove(place: Place<'_>, object: &Value, gone: &FieldSet) -> Value {
    let empty = || Value::Object(Map::new());
    if gone.is_empty() {
        object.clone()
    } else {
        without(place, object, gone).unwrap_or_else(empty)
    }
}

fn without(place: Place<'_>, value: &Value, gone: &FieldSet) -> Option<Value> {
    match (place.form(value), value) {
        (Form::Fields(fields), Value::Object(map)) if !map.is_empty() => {
            let mut kept = Map::new();
            for (name, value) in map {
                let place = fields.place(name).unwrap_or(Place::Unknown);
                let value = item_without(place, &Element::field(name), value, gone);
                kept.extend(value.map(|value| (name.clone(), value)));
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Form::Keyed(keys, item), Value::Array(list)) if !list.is_empty() => {
            let element = |value: &Value| {
                let key = key_of(keys, item, value, false);
                key.unwrap_or_else(|_| Element::Value(value.clone()))
            };
            items_without(item, list, gone, element)
        }
        (Form::Set(item), Value::Array(list)) if !list.is_empty() => {
            items_without(item, list, gone, |value| Element::Value(value.clone()))
        }
        _ => Some(value.clone()),
    }
}

fn items_without(
    item: Place<'_>,
    list: &[Value],
    gone: &FieldSet,
    element: impl Fn(&Value) -> Element,
) -> Option<Value> {
    let items = list.iter().filter_map(|value| item_without(item, &element(value), value, gone));
    let kept: Vec<Value> = items.collect();
    (!kept.is_empty()).then_some(Value::Array(kept))
}

fn item_without(
    place: Place<'_>,
    element: &Element,
    value: &Value,
    gone: &FieldSet,
) -> Option<Value> {
    match gone.entry(element) {
        None => Some(value.clone()),
        Some(entry) if entry.member => None,
        Some(entry) => without(place, value, &entry.below),
    }
}

/// The set with every field that the schema names and that leads to a member made a member itself.
///
/// Configurations do not own such fields, because being there is nothing one can say about them
/// apart from what is in them; but when the last thing in them goes, they go.
pub(super) fn with_parents(place: Place<'_>, set: &FieldSet) -> FieldSet {
    let entries = set.entries().iter().map(|entry| {
        let below = place.below(&entry.element);
        Entry {
            element: entry.element.clone(),
            member: entry.member || (!entry.below.is_empty() && declared(place, &entry.element)),
            below: with_parents(below.unwrap_or(Place::Unknown), &entry.below),
        }
    });
    FieldSet::from_unsorted(entries.collect())
}

fn declared(place: Place<'_>, element: &Element) -> bool {
    let Element::Field(name) = element else { return false };
    match place.form(&Value::Object(Map::new())) {
        Form::Fields(fields) => fields.declares(name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_go_and_take_what_they_leave_empty() {
        let object = json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x", "y"]},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}, {"name": "d"}]}});
        let fields = json!({
            "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:nodeName": {}, "f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}},
                "k:{\"name\":\"d\"}": {}, "k:{\"name\":\"e\"}": {}}},
        });
        let set = FieldSet::from_fields_v1(&fields).expect("readable");
        let pod = Place::of_type("core.v1.Pod");
        let want = json!({"metadata": {"finalizers": ["y"]},
            "spec": {"containers": [{"name": "c"}]}});
        assert_eq!(remove(pod, &object, &set), want);
        assert_eq!(remove(pod, &object, &FieldSet::default()), object);
    }

    #[test]
    fn structs_are_parents_and_maps_are_not() {
        let fields = json!({"f:metadata": {"f:labels": {"f:a": {}}}});
        let set = FieldSet::from_fields_v1(&fields).expect("readable");
        let parents = with_parents(Place::of_type("core.v1.Pod"), &set);
        let want = json!({"f:metadata": {".": {}, "f:labels": {".": {}, "f:a": {}}}});
        assert_eq!(parents.to_fields_v1(), want);
        let deep = json!({"f:spec": {"f:a": {"f:b": {}}}});
        let set = FieldSet::from_fields_v1(&deep).expect("readable");
        assert_eq!(with_parents(Place::Bare, &set), set, "nothing is declared");
    }
}
