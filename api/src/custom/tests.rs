mod columns;
mod objects;
mod type_meta;
mod values;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::decode;
use crate::resources::Resource;

fn at() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().expect("a time")
}

fn definition(schema: &Value, more: &Value) -> Value {
    let mut version = json!({"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": schema, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}});
    for (field, value) in more.as_object().expect("fields") {
        version[field] = value.clone();
    }
    json!({"metadata": {"name": "foos.gold.io"}, "spec": {"group": "gold.io", "scope": "Namespaced",
        "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
        "versions": [version]}})
}

fn row(schema: &Value, more: &Value) -> Resource {
    rows(&definition(schema, more)).pop().expect("a served version")
}

fn schema(schema: &Value) -> Schema {
    Schema::read(schema).expect("a schema")
}

#[test]
fn unknown_fields_go_and_absent_ones_come() {
    let spec = json!({"type": "object", "properties": {
        "n": {"type": "integer", "default": 3},
        "deep": {"type": "object", "default": {}, "properties": {"on": {"type": "boolean", "default": true}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"strict": {"type": "object", "properties": {}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}}},
        "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
        "null": {"type": "string", "nullable": true},
    }});
    let row = row(&spec, &json!({}));
    let body = json!({"apiVersion": "gold.io/v1", "kind": "Foo", "metadata": {"name": "a", "zzz": 1}, "other": 1,
        "spec": {"zzz": 1, "n": null, "null": null,
            "free": {"any": {"thing": 1}, "strict": {"thing": 1}},
            "map": {"k": {"a": "1", "b": "2"}}, "list": [{"b": 1}],
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}, "x": 1}}});
    let decoded = decode::decode(&row, body.to_string().as_bytes()).expect("an object");
    let mut object = decoded.object;
    row.strategy.default(&mut object);
    assert_eq!(
        object,
        json!({"apiVersion": "gold.io/v1", "kind": "Foo", "metadata": {"name": "a"},
            "spec": {"n": 3, "deep": {"on": true}, "null": null,
                "free": {"any": {"thing": 1}, "strict": {}},
                "map": {"k": {"a": "1"}}, "list": [{"a": "x"}],
                "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}}})
    );
    let mut problems = decoded.problems;
    problems.sort();
    let want = [
        "metadata.zzz",
        "other",
        "spec.free.strict.thing",
        "spec.list[0].b",
        "spec.map.k.b",
        "spec.pod.x",
        "spec.zzz",
    ];
    assert_eq!(problems, want.map(|field| format!("unknown field \"{field}\"")));
    let wrong =
        json!({"apiVersion": "gold.io/v1", "kind": "Foo", "metadata": {"labels": {"a": 1}}});
    let status =
        decode::decode(&row, wrong.to_string().as_bytes()).expect_err("a label is a string");
    assert_eq!(status.code, 400, "{status}");
}

#[test]
fn of_what_may_be_anything_little_is_known() {
    let free = json!({"type": "object", "additionalProperties": true});
    let none = json!({"type": "object", "additionalProperties": false});
    let list = json!({"type": "array", "x-kubernetes-preserve-unknown-fields": true,
        "items": {"type": "object", "properties": {"strict": {"type": "object"}}}});
    let schema = schema(&json!({"type": "object", "properties": {
        "free": free, "none": none, "list": list}}));
    let mut value = json!({
        "free": {"a": 1, "b": {"c": 1, "d": [{"e": 1}]}, "f": [{"g": 1}]},
        "none": {"a": {"b": 1}},
        "list": [{"kept": {"a": 1}, "strict": {"a": 1}}],
    });
    let mut problems = Vec::new();
    prune::part(&schema, &mut value, &mut problems);
    assert_eq!(
        value,
        json!({"free": {"a": 1, "b": {}, "f": [{}]}, "none": {"a": {}},
            "list": [{"kept": {"a": 1}, "strict": {}}]})
    );
    problems.sort();
    let want = ["free.b.c", "free.b.d", "free.f[0].g", "list[0].strict.a", "none.a.b"];
    assert_eq!(problems, want.map(|field| format!("unknown field \"{field}\"")));
}

#[test]
fn finalizers_need_no_domain() {
    let row = row(&json!({"type": "object"}), &json!({}));
    let old = json!({"apiVersion": "gold.io/v1", "kind": "Foo",
        "metadata": {"name": "a", "namespace": "d", "finalizers": ["mine"]}});
    crate::lifecycle::before_update(&row, &mut old.clone(), &old).expect("an update");
}

#[test]
fn nulls_are_values_defaults_or_nothing() {
    let schema = schema(&json!({"type": "object", "properties": {
        "bare": {"type": "string"}, "null": {"type": "string", "nullable": true, "default": "x"},
        "given": {"type": "string", "default": "x"},
        "list": {"type": "array", "items": {"type": "string", "default": "i"}},
        "plain": {"type": "array", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}}}}));
    let mut value = json!({"bare": null, "null": null, "given": null, "list": [null, "a"],
        "plain": [null], "map": {"a": null, "b": "c"}});
    defaults::default(&schema, &mut value);
    assert_eq!(
        value,
        json!({"null": null, "given": "x", "list": ["i", "a"], "plain": [null], "map": {"b": "c"}})
    );
}

#[test]
fn one_row_per_served_version() {
    let mut definition = definition(&json!({"type": "object"}), &json!({}));
    let version = |name: &str, served: bool| {
        json!({"name": name, "served": served, "storage": false, "deprecated": name == "v1beta1",
            "schema": {"openAPIV3Schema": {"type": "object"}}})
    };
    let versions = definition["spec"]["versions"].as_array_mut().expect("versions");
    versions.extend([
        version("v1beta1", true),
        version("v2", true),
        version("v3", false),
        version("x", true),
    ]);
    let rows = rows(&definition);
    let names: Vec<_> = rows.iter().map(|row| &*row.version).collect();
    assert_eq!(names, ["v2", "v1", "v1beta1", "x"]);
    assert!(rows.iter().all(|row| row.is_custom() && row.stored_version == "v1"));
    assert_eq!(rows[2].deprecation, "gold.io/v1beta1 Foo is deprecated; use gold.io/v2 Foo");
    let stored = rows[0].strategy.to_stored(json!({"apiVersion": "gold.io/v2", "kind": "Foo"}));
    assert_eq!(stored["apiVersion"], "gold.io/v1");
    assert_eq!(rows[2].strategy.from_stored(stored)["apiVersion"], "gold.io/v1beta1");
    definition["metadata"]["deletionTimestamp"] = json!("2026-11-21T10:00:00Z");
    let verbs = super::rows(&definition)[0].verbs.iter().map(|verb| verb.as_str());
    assert_eq!(verbs.collect::<Vec<_>>(), ["delete", "deletecollection", "get", "list", "watch"]);
}

#[test]
fn status_is_a_subresource_if_the_version_says_so() {
    let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let with = row(&spec, &json!({"subresources": {"status": {}}}));
    let without = row(&spec, &json!({}));
    let old = json!({"metadata": {"name": "a", "namespace": "d", "generation": 1}, "spec": {}, "status": {"a": 1}});
    let sent = json!({"metadata": {"name": "a", "namespace": "d"}, "spec": {}, "status": {"a": 2}});
    for (row, status, generation) in [(&with, 1, 1), (&without, 2, 2)] {
        let mut new = sent.clone();
        crate::lifecycle::before_update(row, &mut new, &old).expect("an update");
        assert_eq!(new["status"]["a"], status);
        assert_eq!(new["metadata"]["generation"], generation);
    }
    assert!(with.subresource("status").is_some() && without.subresource("status").is_none());
    let mut new = sent;
    with.strategy.prepare_for_create(&mut new);
    assert!(new.get("status").is_none());
}

#[test]
fn scales_are_where_the_version_says() {
    let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let row = row(
        &spec,
        &json!({"subresources": {"scale": {"specReplicasPath": ".spec.size.n",
        "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.selector"}}}),
    );
    let object = json!({"metadata": {"name": "a", "uid": "u", "labels": {"x": "y"}},
        "spec": {"size": {"n": 3}, "replicas": 9}, "status": {"n": 2, "selector": "a=b"}});
    let scale = row.strategy.scale_of(&object);
    assert_eq!(scale["metadata"], json!({"name": "a", "uid": "u"}));
    assert_eq!(
        (&scale["spec"], &scale["status"]),
        (&json!({"replicas": 3}), &json!({"replicas": 2, "selector": "a=b"}))
    );
    let scaled =
        row.strategy.with_scale(json!({"metadata": {}}), &json!({"spec": {"replicas": 5}}));
    assert_eq!(scaled["spec"], json!({"size": {"n": 5}}));
}
