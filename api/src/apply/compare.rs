//! What differs between two objects, as sets of fields.

use std::cmp::Ordering;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::element::{Element, equal};
use super::place::{Fields, Form, Place, key_of};
use super::set::FieldSet;

/// The differences between an object and a later one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// What the later one has and the earlier did not, or had with another value.
    pub(super) written: FieldSet,
    /// What only the earlier one has.
    pub(super) removed: FieldSet,
}

impl Changes {
    /// Whether the objects are the same.
    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }
}

/// Compares two objects at a place; null is an object with nothing in it.
pub(super) fn compare(place: Place<'_>, old: &Value, new: &Value) -> Changes {
    static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
    let object = |value| if Value::is_null(value) { Some(&*EMPTY) } else { Some(value) };
    walk(place, object(old), object(new)).below
}

/// What happened to one field.
#[derive(Default)]
struct Difference {
    /// The field itself was added or has another value as a whole.
    written: bool,
    /// The field itself is gone.
    removed: bool,
    below: Changes,
}

impl Difference {
    /// As it is for a field that is compared as a whole.
    fn whole(old: Option<&Value>, new: Option<&Value>) -> Self {
        let written = match (old, new) {
            (Some(old), Some(new)) => !equal(old, new),
            (None, new) => new.is_some(),
            (Some(_), None) => false,
        };
        Self { written, removed: new.is_none(), below: Changes::default() }
    }

    /// As it is for a field with things in it: there or not.
    fn parent(old: Option<&Value>, new: Option<&Value>, below: Changes) -> Self {
        Self { written: old.is_none(), removed: new.is_none(), below }
    }
}

fn walk(place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let Some(sample) = new.or(old) else { return Difference::default() };
    match place.form(sample) {
        Form::Whole => match (old, new) {
            // Where nothing is known a map may have become something else.
            (Some(before @ Value::Object(map)), Some(after))
                if place.is_untyped() && !after.is_object() && !map.is_empty() =>
            {
                let gone = walk(place, Some(before), None).below;
                Difference { below: gone, ..Difference::whole(old, new) }
            }
            _ => Difference::whole(old, new),
        },
        Form::Fields(fields) => {
            let before = old.and_then(Value::as_object);
            let after = new.and_then(Value::as_object);
            let empty = |side: Option<&Map<String, Value>>| side.is_none_or(Map::is_empty);
            if empty(before) && empty(after) {
                return Difference::whole(old, new);
            }
            Difference::parent(old, new, compare_fields(fields, before, after))
        }
        Form::Keyed(keys, item) => {
            let element = |value: &Value| {
                let key = key_of(keys, item, value, false);
                key.unwrap_or_else(|_| Element::Value(value.clone()))
            };
            compare_items(item, old, new, element)
        }
        Form::Set(item) => compare_items(item, old, new, |value| Element::Value(value.clone())),
    }
}

fn compare_fields(
    fields: Fields<'_>,
    before: Option<&Map<String, Value>>,
    after: Option<&Map<String, Value>>,
) -> Changes {
    let mut changes = Changes::default();
    let (mut left, mut right) =
        (before.into_iter().flatten().peekable(), after.into_iter().flatten().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let old = if order.is_le() { left.next() } else { None };
        let new = if order.is_ge() { right.next() } else { None };
        let Some((name, _)) = old.or(new) else { return changes };
        let (old, new) = (old.map(|(_, value)| value), new.map(|(_, value)| value));
        if old == new {
            continue;
        }
        // Where the struct is there, so are the fields that it always has.
        let (old, new) = (
            old.or_else(|| before.and_then(|_| fields.implied(name, new))),
            new.or_else(|| after.and_then(|_| fields.implied(name, old))),
        );
        let place = fields.place(name).unwrap_or(Place::Unknown);
        let found = walk(place, old, new);
        note(&mut changes, Element::field(name), found);
    }
}

fn note(changes: &mut Changes, element: Element, found: Difference) {
    let (written, removed) = (found.below.written, found.below.removed);
    if found.removed || !removed.is_empty() {
        changes.removed.push(element.clone(), found.removed, removed);
    }
    changes.written.push(element, found.written, written);
}

fn compare_items(
    item: Place<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    element: impl Fn(&Value) -> Element,
) -> Difference {
    let (before, after) = (sorted(old, &element), sorted(new, &element));
    if before.is_empty() && after.is_empty() {
        return Difference::whole(old, new);
    }
    let mut changes = Changes::default();
    let (mut before, mut after) = (groups(&before), groups(&after));
    let (mut left, mut right) = (before.next(), after.next());
    while left.is_some() || right.is_some() {
        let order = match (left, right) {
            (Some(a), Some(b)) => a[0].0.cmp(&b[0].0),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let old = if order.is_le() { std::mem::replace(&mut left, before.next()) } else { None };
        let new = if order.is_ge() { std::mem::replace(&mut right, after.next()) } else { None };
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        let Some((element, _)) = old.first().or(new.first()) else { break };
        note(&mut changes, element.clone(), compare_group(item, old, new));
    }
    Difference::parent(old, new, changes)
}

/// The items of a list with their elements, sorted by element and then by place in the list.
fn sorted(list: Option<&Value>, element: impl Fn(&Value) -> Element) -> Vec<(Element, &Value)> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    let mut items: Vec<_> = items.map(|value| (element(value), value)).collect();
    items.sort_by(|(a, _), (b, _)| a.cmp(b));
    items
}

/// The items that have the same key.
fn groups<'a, 'v>(
    items: &'a [(Element, &'v Value)],
) -> impl Iterator<Item = &'a [(Element, &'v Value)]> {
    items.chunk_by(|(a, _), (b, _)| a == b)
}

/// An item; or several with one key, which nobody can own one by one.
fn compare_group<'v>(
    item: Place<'_>,
    old: &[(Element, &'v Value)],
    new: &[(Element, &'v Value)],
) -> Difference {
    let first = |side: &[(Element, &'v Value)]| side.first().map(|(_, value)| *value);
    match (old.len(), new.len()) {
        (0 | 1, 0 | 1) => walk(item, first(old), first(new)),
        (0 | 1, _) => {
            let gone = first(old).map(|old| walk(item, Some(old), None).below);
            let below = gone.unwrap_or_default();
            Difference { written: true, removed: !old.is_empty(), below }
        }
        (_, 0 | 1) => {
            let added = first(new).map(|new| walk(item, None, Some(new)).below);
            let below = added.unwrap_or_default();
            Difference { written: !new.is_empty(), removed: true, below }
        }
        _ => {
            let same = old.len() == new.len()
                && old.iter().zip(new).all(|((_, old), (_, new))| equal(old, new));
            Difference { written: !same, ..Difference::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(set: &FieldSet) -> String {
        set.to_string().lines().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn differences_by_kind_of_field() {
        let containers = |list: Value| json!({"spec": {"containers": list}});
        let cases = [
            // A struct that is always there is not written; what is in it is.
            (
                json!({}),
                json!({"spec": {"nodeName": "n", "securityContext": {}}}),
                ".spec.nodeName .spec.securityContext",
                "",
            ),
            (
                json!({}),
                json!({"spec": {"securityContext": {"runAsUser": 1}}}),
                ".spec.securityContext .spec.securityContext.runAsUser",
                "",
            ),
            (
                json!({"metadata": {"labels": {"a": "1", "b": "1"}}}),
                json!({"metadata": {"labels": {"a": "2", "c": "1"}}}),
                ".metadata.labels.a .metadata.labels.c",
                ".metadata.labels.b",
            ),
            (
                json!({"metadata": {"labels": {"a": "1"}}}),
                json!({"metadata": {}}),
                "",
                ".metadata.labels .metadata.labels.a",
            ),
            // As a whole.
            (
                json!({"spec": {"nodeSelector": {"a": "1"}}}),
                json!({"spec": {"nodeSelector": {"a": "1", "b": "1"}}}),
                ".spec.nodeSelector",
                "",
            ),
            // Order is no change; items are found by key.
            (
                containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])),
                containers(json!([{"name": "b", "image": "1"}, {"name": "a", "image": "2"}])),
                ".spec.containers[name=\"a\"].image",
                "",
            ),
            (
                containers(json!([{"name": "a", "image": "1"}])),
                containers(json!([{"name": "b"}])),
                ".spec.containers[name=\"b\"] .spec.containers[name=\"b\"].name",
                ".spec.containers[name=\"a\"] .spec.containers[name=\"a\"].image \
                 .spec.containers[name=\"a\"].name",
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"finalizers": ["c", "b"]}}),
                ".metadata.finalizers[=\"c\"]",
                ".metadata.finalizers[=\"a\"]",
            ),
            // Items with one key are one thing.
            (
                containers(json!([{"name": "a", "image": "1"}])),
                containers(json!([{"name": "a", "image": "1"}, {"name": "a", "image": "2"}])),
                ".spec.containers[name=\"a\"]",
                ".spec.containers[name=\"a\"] .spec.containers[name=\"a\"].image \
                 .spec.containers[name=\"a\"].name",
            ),
            (
                containers(json!([{"name": "a", "image": "1"}, {"name": "a", "image": "2"}])),
                containers(json!([{"name": "a", "image": "1"}, {"name": "a", "image": "3"}])),
                ".spec.containers[name=\"a\"]",
                "",
            ),
        ];
        for (old, new, written, removed) in cases {
            let changes = compare(Place::of_type("core.v1.Pod"), &old, &new);
            assert_eq!(paths(&changes.written), written, "{old} {new}");
            assert_eq!(paths(&changes.removed), removed, "{old} {new}");
        }
    }

    #[test]
    fn without_a_schema() {
        let (old, new) = (
            json!({"spec": {"a": {"b": 1}, "l": [1], "n": 1}}),
            json!({"spec": {"a": 1, "l": [2], "n": 1.0}}),
        );
        let changes = compare(Place::Bare, &old, &new);
        assert_eq!(paths(&changes.written), ".spec.a .spec.l");
        assert_eq!(paths(&changes.removed), ".spec.a.b");
        assert!(compare(Place::Bare, &old, &old).is_empty());
    }
}
