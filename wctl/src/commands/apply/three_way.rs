//! The patch that makes a live object as wanted: everything wanted, and the removal of what was
//! applied last time and is wanted no more. Pure.
//!
//! What others set on the object is in neither document and so is left alone.

use api::resources::Resource;
use api::schema::{self, Field, Shape, Type};
use serde_json::{Map, Value, json};

/// A JSON merge patch (RFC 7396), for custom resources: lists are replaced.
pub(super) fn merge(last: &Value, wanted: &Value) -> Value {
    object(None, last, wanted)
}

/// A strategic merge patch for a built-in resource: lists with a merge key are merged item by item.
pub(super) fn strategic(resource: &Resource, last: &Value, wanted: &Value) -> Value {
    object(schema::type_named(&resource.schema_type), last, wanted)
}

fn object(kind: Option<&Type>, last: &Value, wanted: &Value) -> Value {
    let empty = Map::new();
    let last = last.as_object().unwrap_or(&empty);
    let wanted = wanted.as_object().unwrap_or(&empty);
    let mut patch = Map::new();
    for (name, value) in wanted {
        let field = kind.and_then(|kind| kind.fields.get(name.as_str()));
        let before = last.get(name).unwrap_or(&Value::Null);
        let (value, removed) = one(field, before, value);
        patch.insert(name.clone(), value);
        if !removed.is_empty() {
            patch.insert(format!("$deleteFromPrimitiveList/{name}"), Value::Array(removed));
        }
    }
    for name in last.keys().filter(|name| !wanted.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// The patch of one field, and the scalars to remove from a merged list of scalars.
fn one(field: Option<&Field>, last: &Value, wanted: &Value) -> (Value, Vec<Value>) {
    let replaced = field.is_some_and(|field| field.patch.replace);
    match wanted {
        Value::Object(_) if !replaced => {
            let inner = match field.map(|field| &field.shape) {
                Some(Shape::Object(name)) => schema::type_named(name),
                _ => None,
            };
            (object(inner, last, wanted), Vec::new())
        }
        Value::Array(items) => match field.filter(|field| field.patch.merge) {
            Some(field) => match field.patch.merge_key {
                Some(key) => (Value::Array(keyed_list(field, key, last, items)), Vec::new()),
                None => (wanted.clone(), gone(last, items)),
            },
            None => (wanted.clone(), Vec::new()),
        },
        _ => (wanted.clone(), Vec::new()),
    }
}

fn keyed_list(field: &Field, key: &str, last: &Value, wanted: &[Value]) -> Vec<Value> {
    let inner = match &field.shape {
        Shape::List(item) => match item.as_ref() {
            Shape::Object(name) => schema::type_named(name),
            _ => None,
        },
        _ => None,
    };
    let last = last.as_array().map(Vec::as_slice).unwrap_or_default();
    let same = |a: &Value, b: &Value| a[key] == b[key];
    let mut patch: Vec<Value> = wanted
        .iter()
        .map(|item| {
            let before = last.iter().find(|before| same(before, item)).unwrap_or(&Value::Null);
            object(inner, before, item)
        })
        .collect();
    for item in last.iter().filter(|item| !wanted.iter().any(|kept| same(kept, item))) {
        patch.push(json!({"$patch": "delete", key: item[key]}));
    }
    patch
}

fn gone(last: &Value, wanted: &[Value]) -> Vec<Value> {
    let last = last.as_array().into_iter().flatten();
    last.filter(|item| !wanted.contains(item)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the patch with the server's own code to the live object.
    fn applied(last: &Value, wanted: &Value, live: &Value) -> Value {
        let pod = api::resources::by_kind("v1", "Pod").unwrap();
        let patch = strategic(pod, last, wanted).to_string();
        api::patch::apply(pod, api::patch::PatchType::Strategic, live, patch.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_wanted_no_more_goes_and_what_others_set_stays() {
        let last = json!({"metadata": {"name": "a", "labels": {"x": "1", "y": "1"}, "finalizers": ["f/a", "f/b"]},
            "spec": {"containers": [{"name": "c", "image": "one", "env": [{"name": "A", "value": "1"}]},
                                    {"name": "d", "image": "two"}]}});
        let wanted = json!({"metadata": {"name": "a", "labels": {"x": "2"}, "finalizers": ["f/a"]},
            "spec": {"containers": [{"name": "c", "image": "three"}]}});
        let live = json!({"metadata": {"name": "a", "labels": {"x": "1", "y": "1", "z": "other"},
                                       "finalizers": ["f/a", "f/b", "f/other"]},
            "spec": {"nodeName": "n", "containers": [
                {"name": "c", "image": "one", "env": [{"name": "A", "value": "1"}], "imagePullPolicy": "Always"},
                {"name": "d", "image": "two"}, {"name": "injected", "image": "other"}]}});
        let now = applied(&last, &wanted, &live);
        assert_eq!(now["metadata"]["labels"], json!({"x": "2", "z": "other"}));
        assert_eq!(now["metadata"]["finalizers"], json!(["f/a", "f/other"]));
        assert_eq!(now["spec"]["nodeName"], "n");
        let names: Vec<&str> = now["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|container| container["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["c", "injected"]);
        assert_eq!(now["spec"]["containers"][0]["image"], "three");
        assert_eq!(now["spec"]["containers"][0]["imagePullPolicy"], "Always");
        assert!(now["spec"]["containers"][0].get("env").is_none());
    }

    #[test]
    fn nothing_new_changes_nothing() {
        let wanted = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let mut live = wanted.clone();
        live["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
        assert_eq!(applied(&wanted, &wanted, &live), live);
    }

    #[test]
    fn custom_resources_get_a_merge_patch() {
        let patch = merge(&json!({"spec": {"a": [1], "b": 1}}), &json!({"spec": {"a": [2]}}));
        assert_eq!(patch, json!({"spec": {"a": [2], "b": null}}));
    }
}
