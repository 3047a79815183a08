//! Merging a configuration into an object: nothing is taken away, and where both say something the
//! configuration is right.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;
use super::place::{Fields, Form, Place, key_of};

/// The object with the configuration merged into it.
pub(super) fn merge(place: Place<'_>, live: &Value, config: &Value) -> Value {
    match (place.form(config), live, config) {
        (Form::Fields(fields), Value::Object(live), Value::Object(config)) => {
            merge_fields(fields, live, config)
        }
        (Form::Keyed(keys, item), Value::Array(live), Value::Array(config)) => {
            let element = |value: &Value| {
                let key = key_of(keys, item, value, false);
                key.unwrap_or_else(|_| Element::Value(value.clone()))
            };
            merge_items(item, live, config, element)
        }
        (Form::Set(item), Value::Array(live), Value::Array(config)) => {
            merge_items(item, live, config, |value| Element::Value(value.clone()))
        }
        // To say nothing about what is in a list or map takes nothing out of it.
        (Form::Fields(_), Value::Object(map), Value::Null) if !map.is_empty() => live.clone(),
        (Form::Keyed(..) | Form::Set(_), Value::Array(list), Value::Null) if !list.is_empty() => {
            live.clone()
        }
        _ => config.clone(),
    }
}

fn merge_fields(
    fields: Fields<'_>,
    live: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Value {
    let mut merged = live.clone();
    for (name, value) in config {
        let place = fields.place(name).unwrap_or(Place::Unknown);
        let value = match live.get(name) {
            Some(live) => merge(place, live, value),
            None => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    Value::Object(merged)
}

/// Merges two lists of items that have identities. Items that both lists have come in the order of
/// the configuration; the others keep their neighbourhood.
fn merge_items(
    item: Place<'_>,
    live: &[Value],
    config: &[Value],
    element: impl Fn(&Value) -> Element,
) -> Value {
    let live_elements: Vec<Element> = live.iter().map(&element).collect();
    let config_elements: Vec<Element> = config.iter().map(&element).collect();
    let mut in_live: BTreeMap<&Element, Option<&Value>> = BTreeMap::new();
    for (element, value) in live_elements.iter().zip(live) {
        // Of several items with one key none can be merged with.
        in_live.entry(element).and_modify(|first| *first = None).or_insert(Some(value));
    }
    let in_config: BTreeMap<&Element, usize> =
        config_elements.iter().enumerate().map(|(n, element)| (element, n)).collect();
    let mut shared = config_elements.iter().filter(|element| in_live.contains_key(element));
    let mut next_shared = shared.next();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let emit_config = |out: &mut Vec<Value>, at: usize| {
        let live = in_live.get(&config_elements[at]).copied().flatten();
        out.push(live.map_or_else(|| config[at].clone(), |live| merge(item, live, &config[at])));
    };
    let (mut l, mut c) = (0, 0);
    while l < live.len() || c < config.len() {
        if let Some(element) = live_elements.get(l) {
            match in_config.get(element) {
                None => {
                    out.push(live[l].clone());
                    l += 1;
                    continue;
                }
                // Its turn comes with the configuration's.
                Some(_) if next_shared.is_some_and(|next| next != element) => {
                    l += 1;
                    continue;
                }
                // Its turn is now, or was.
                Some(at) if *at <= c => l += 1,
                Some(_) => {}
            }
        }
        if let Some(element) = config_elements.get(c) {
            emit_config(&mut out, c);
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
            c += 1;
        }
    }
    Value::Array(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_merge_by_key_in_the_order_of_the_configuration() {
        let list = |text: &str| -> Value {
            let items = text.split_whitespace().map(|item| {
                let (name, image) = item.split_once('=').unwrap_or((item, ""));
                let mut container = json!({"name": name});
                if !image.is_empty() {
                    container["image"] = image.into();
                }
                container
            });
            json!({"spec": {"containers": items.collect::<Vec<_>>()}})
        };
        let cases = [
            ("a b c", "", "a b c"),
            ("", "a b", "a b"),
            ("a=1 b=1", "b=2", "a=1 b=2"),
            ("a=1", "a", "a=1"),
            ("a b c", "c a", "b c a"),
            ("a b c d", "d b", "a c d b"),
            ("a b", "x", "a b x"),
            ("a b", "x a", "x a b"),
            ("a b c", "a x b", "a x b c"),
            ("a b c", "b x", "a b c x"),
            ("a=1 a=2 b", "a=3", "a=3 b"),
        ];
        let pod = Place::of_type("core.v1.Pod");
        for (live, config, want) in cases {
            assert_eq!(merge(pod, &list(live), &list(config)), list(want), "{live} + {config}");
        }
    }

    #[test]
    fn the_configuration_is_right() {
        let live = json!({"metadata": {"labels": {"a": "1", "b": "1"}, "finalizers": ["x"]},
            "spec": {"nodeSelector": {"a": "1"}, "nodeName": "n"}});
        let config = json!({"metadata": {"labels": {"a": "2"}, "annotations": {}, "finalizers": ["y", "x"]},
            "spec": {"nodeSelector": {"b": "1"}, "nodeName": null}});
        let want = json!({"metadata": {"labels": {"a": "2", "b": "1"}, "annotations": {}, "finalizers": ["y", "x"]},
            "spec": {"nodeSelector": {"b": "1"}, "nodeName": null}});
        let pod = Place::of_type("core.v1.Pod");
        assert_eq!(merge(pod, &live, &config), want);
        let nothing = json!({"metadata": {"labels": null, "finalizers": null}});
        assert_eq!(merge(pod, &live, &nothing), live);
        let bare = merge(
            Place::Bare,
            &json!({"spec": {"a": {"b": 1}, "l": [1]}}),
            &json!({"spec": {"a": {"c": 1}, "l": [2]}}),
        );
        assert_eq!(bare, json!({"spec": {"a": {"b": 1, "c": 1}, "l": [2]}}));
    }
}
