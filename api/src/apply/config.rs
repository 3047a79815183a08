//! An applied configuration: whether it fits the schema, and which fields it is about.

use serde_json::{Map, Value};

use super::element::Element;
use super::place::{Content, Fields, Form, Keys, Place, key_of};
use super::set::{Entry, FieldSet};

/// The problems of a configuration, in Kubernetes' words: `.spec.nope: field not declared in
/// schema`; several on lines of their own below `errors:`.
///
/// # Errors
/// Those problems.
pub(super) fn check(place: Place<'_>, config: &Value) -> Result<(), String> {
    let mut problems = Vec::new();
    check_value(place, config, "", &mut problems);
    match problems.as_slice() {
        [] => Ok(()),
        [only] => Err(only.clone()),
        several => Err(format!("errors:\n  {}", several.join("\n  "))),
    }
}

fn check_value(place: Place<'_>, value: &Value, at: &str, problems: &mut Vec<String>) {
    let Some(content) = place.content() else {
        if let (Form::Fields(fields), Value::Object(map)) = (place.form(value), value) {
            check_fields(fields, map, at, problems);
        }
        return;
    };
    let mut unexpected = |wanted: String| problems.push(format!("{at}: {wanted}"));
    match (content, value) {
        (_, Value::Null) => {}
        (Content::Fields(fields), Value::Object(map)) => check_fields(fields, map, at, problems),
        (Content::Items(item), Value::Array(list)) => check_items(place, item, list, at, problems),
        (Content::Text, Value::String(_))
        | (Content::Number, Value::Number(_))
        | (Content::Bool, Value::Bool(_))
        | (Content::Scalar, Value::String(_) | Value::Number(_) | Value::Bool(_)) => {}
        // The forms of the value are those that Go prints.
        (Content::Fields(_), value) => {
            unexpected(format!("expected map, got &{{{}}}", bare(value)))
        }
        (Content::Items(_), value) => {
            unexpected(format!("expected list, got &{{{}}}", bare(value)))
        }
        (Content::Text, value) => {
            unexpected(format!("expected string, got &value.valueUnstructured{{Value:{value}}}"));
        }
        (Content::Number, value) => {
            unexpected(format!("expected numeric (int or float), got {}", go_type(value)));
        }
        (Content::Bool, value) => {
            unexpected(format!("expected boolean, got &{{{}}}", bare(value)));
        }
        (Content::Scalar, value) => {
            unexpected(format!("expected any scalar, got &{{{}}}", bare(value)));
        }
    }
}

fn check_fields(
    fields: Fields<'_>,
    map: &Map<String, Value>,
    at: &str,
    problems: &mut Vec<String>,
) {
    for (name, value) in map {
        let path = format!("{at}.{name}");
        match fields.place(name) {
            Some(place) => check_value(place, value, &path, problems),
            None => problems.push(format!("{path}: field not declared in schema")),
        }
    }
}

fn check_items(
    place: Place<'_>,
    item: Place<'_>,
    list: &[Value],
    at: &str,
    problems: &mut Vec<String>,
) {
    let form = place.form(&Value::Null);
    let mut seen = std::collections::BTreeSet::new();
    for (n, value) in list.iter().enumerate() {
        let element = match form {
            Form::Keyed(keys, _) => keyed(keys, item, value),
            Form::Set(_) => member(value),
            Form::Whole | Form::Fields(_) => Ok(Element::Index(i64::try_from(n).unwrap_or(0))),
        };
        match element {
            Err(problem) => return problems.push(format!("{at}: element {n}: {problem}")),
            Ok(element) => {
                check_value(item, value, &format!("{at}{element}"), problems);
                if seen.contains(&element) {
                    problems.push(format!("{at}: duplicate entries for key {element}"));
                }
                seen.insert(element);
            }
        }
    }
}

fn keyed(keys: Keys<'_>, item: Place<'_>, value: &Value) -> Result<Element, String> {
    match value {
        Value::Object(_) => key_of(keys, item, value, true),
        Value::Null => Err("associative list with keys may not have a null element".to_owned()),
        _ => Err("associative list with keys may not have non-map elements".to_owned()),
    }
}

fn member(value: &Value) -> Result<Element, String> {
    match value {
        Value::Object(_) => Err("associative list without keys has an element that's a map type"),
        Value::Array(_) => Err("not supported: associative list with lists as elements"),
        Value::Null => Err("associative list without keys has an element that's an explicit null"),
        scalar => return Ok(Element::Value(scalar.clone())),
    }
    .map_err(str::to_owned)
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Object(_) => "map[string]interface {}",
        Value::Array(_) => "[]interface {}",
        Value::Number(_) | Value::Null => "number",
    }
}

/// The fields that a (checked) configuration is about: its scalars and atomic values, its list
/// items, its map entries, and what it leaves empty on purpose.
pub(super) fn fields_of(place: Place<'_>, config: &Value) -> FieldSet {
    below(place, config).1
}

/// Whether the value itself is owned, and what is owned below it.
fn below(place: Place<'_>, value: &Value) -> (bool, FieldSet) {
    match (place.form(value), value) {
        (Form::Whole, _) => (true, FieldSet::default()),
        (Form::Fields(fields), Value::Object(map)) => {
            let mut set = FieldSet::default();
            for (name, value) in map {
                let (owned, below) = below(fields.place(name).unwrap_or(Place::Unknown), value);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                let owned = owned || empty || !fields.declares(name);
                set.push(Element::field(name), owned, below);
            }
            (false, set)
        }
        (Form::Keyed(keys, item), Value::Array(list)) => {
            let element = |value: &Value| {
                let key = key_of(keys, item, value, false);
                key.unwrap_or_else(|_| Element::Value(value.clone()))
            };
            (false, items(item, list, element))
        }
        (Form::Set(item), Value::Array(list)) => {
            (false, items(item, list, |value| Element::Value(value.clone())))
        }
        _ => (false, FieldSet::default()),
    }
}

fn items(item: Place<'_>, list: &[Value], element: impl Fn(&Value) -> Element) -> FieldSet {
    let mut entries: Vec<Entry> = Vec::with_capacity(list.len());
    for value in list {
        entries.push(Entry { element: element(value), member: true, below: below(item, value).1 });
    }
    entries.sort_by(|a, b| a.element.cmp(&b.element));
    // Of items with one key nobody owns anything but that they are there.
    entries.dedup_by(|later, first| {
        let same = later.element == first.element;
        if same {
            first.below = FieldSet::default();
        }
        same
    });
    FieldSet::from_unsorted(entries)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn configurations_are_checked() {
        let container = |change: Value| json!({"spec": {"containers": [change]}});
        let cases = [
            (json!({"spec": {"nope": 1}}), ".spec.nope: field not declared in schema"),
            (
                json!({"nope": 1, "spec": {"nope": 1}}),
                "errors:\n  .nope: field not declared in schema\n  .spec.nope: field not declared in schema",
            ),
            (
                container(json!({"name": "c", "image": 1})),
                ".spec.containers[name=\"c\"].image: expected string, got &value.valueUnstructured{Value:1}",
            ),
            (
                container(json!({"name": "c", "command": [true]})),
                ".spec.containers[name=\"c\"].command[0]: expected string, got &value.valueUnstructured{Value:true}",
            ),
            (
                container(json!({"name": "c", "stdin": "yes"})),
                ".spec.containers[name=\"c\"].stdin: expected boolean, got &{yes}",
            ),
            (
                json!({"spec": {"activeDeadlineSeconds": "5"}}),
                ".spec.activeDeadlineSeconds: expected numeric (int or float), got string",
            ),
            (json!({"spec": 1}), ".spec: expected map, got &{1}"),
            (json!({"spec": {"containers": "x"}}), ".spec.containers: expected list, got &{x}"),
            (
                container(json!({"image": "i"})),
                ".spec.containers: element 0: associative list with keys has an element that omits \
                 key field \"name\" (and doesn't have default value)",
            ),
            (
                json!({"spec": {"containers": [{"name": "c"}, {"name": "c"}]}}),
                ".spec.containers: duplicate entries for key [name=\"c\"]",
            ),
            (
                json!({"metadata": {"finalizers": [["x"]]}}),
                ".metadata.finalizers: element 0: not supported: associative list with lists as elements",
            ),
            // Atomic values are checked inside, too.
            (
                json!({"spec": {"nodeSelector": {"a": 1}}}),
                ".spec.nodeSelector.a: expected string, got &value.valueUnstructured{Value:1}",
            ),
        ];
        let pod = Place::of_type("core.v1.Pod");
        for (config, want) in cases {
            assert_eq!(check(pod, &config).expect_err("refused"), want, "{config}");
        }
        let fine = json!({"spec": {"containers": [{"name": "c", "image": null,
            "resources": {"limits": {"cpu": 1}}, "livenessProbe": {"tcpSocket": {"port": "http"}}}],
            "nodeName": null}});
        assert_eq!(check(pod, &fine), Ok(()));
    }

    #[test]
    fn configurations_own_what_they_say() {
        let config = json!({
            "metadata": {"labels": {}, "annotations": {"a": "1"}, "finalizers": ["x"]},
            "spec": {"nodeName": null, "nodeSelector": {"a": "b"}, "volumes": [],
                "containers": [{"name": "c", "env": [], "command": [], "securityContext": {}},
                    {"name": "d"}]},
        });
        let set = fields_of(Place::of_type("core.v1.Pod"), &config);
        let want = json!({
            "f:metadata": {"f:labels": {}, "f:annotations": {"f:a": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:nodeName": {}, "f:nodeSelector": {}, "f:containers": {
                "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:command": {}, "f:securityContext": {}},
                "k:{\"name\":\"d\"}": {".": {}, "f:name": {}}}},
        });
        assert_eq!(set.to_fields_v1(), want);
        let bare = fields_of(Place::Bare, &json!({"spec": {"a": {"b": 1}, "l": [1]}}));
        let want = json!({"f:spec": {".": {}, "f:a": {".": {}, "f:b": {}}, "f:l": {}}});
        assert_eq!(bare.to_fields_v1(), want);
    }
}
