mod columns;
mod objects;
mod type_meta;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::validate::validate;
use super::*;
use crate::decode;
use crate::field::Path;
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
fn values_are_refused_in_kubernetes_words() {
    for (rules, value, want) in [
        (
            json!({"type": "integer"}),
            json!("string"),
            r#"spec.a: Invalid value: "string": spec.a in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "string"}),
            json!(null),
            r#"spec.a: Invalid value: "null": spec.a in body must be of type string: "null""#,
        ),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            "spec.a: Invalid value: 1: spec.a in body should be greater than 1",
        ),
        (
            json!({"type": "number", "maximum": 1.5}),
            json!(2),
            "spec.a: Invalid value: 2: spec.a in body should be less than or equal to 1.5",
        ),
        (
            json!({"type": "number", "maximum": 1_000_000}),
            json!(2_000_000),
            "spec.a: Invalid value: 2000000: spec.a in body should be less than or equal to 1e+06",
        ),
        (
            json!({"type": "integer", "multipleOf": 2}),
            json!(3),
            "spec.a: Invalid value: 3: spec.a in body should be a multiple of 2",
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            r#"spec.a: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("äöü"),
            "spec.a: Too long: may not be more than 2 bytes",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("a"),
            r#"spec.a: Invalid value: "a": spec.a in body should be at least 2 chars long"#,
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            r#"spec.a: Invalid value: "b": spec.a in body should match '^a+$'"#,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("noon"),
            r#"spec.a: Invalid value: "noon": spec.a in body must be of type date-time: "noon""#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec.a: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            "spec.a: Invalid value: 0: spec.a in body should have at least 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!([1]),
            r#"spec.a[0]: Invalid value: "integer": spec.a[0] in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "number", "maximum": 5, "exclusiveMaximum": true}),
            json!(5),
            "spec.a: Invalid value: 5: spec.a in body should be less than 5",
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            r#"spec.a: Unsupported value: 3: supported values: "1", "2""#,
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}),
            json!({"b": "1", "c": "2"}),
            "spec.a: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}),
            json!({}),
            "spec.a: Invalid value: 0: spec.a in body should have at least 1 properties",
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}),
            json!({}),
            "spec.a.b: Required value",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"k": true}),
            r#"spec.a.k: Invalid value: "boolean": spec.a.k in body must be of type integer: "boolean""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!({}),
            r#"spec.a: Invalid value: "object": spec.a in body must be of type integer,string: "object""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(1.5),
            r#"spec.a: Invalid value: "number": spec.a in body must be of type integer,string: "number""#,
        ),
        (
            json!({"type": "string", "format": "k8s-short-name"}),
            json!("A_b"),
            r#"spec.a: Invalid value: "A_b": spec.a in body must be of type k8s-short-name: "A_b""#,
        ),
        (
            json!({"type": "integer", "oneOf": [{"minimum": 5}, {"minimum": 6}]}),
            json!(7),
            r#"spec.a: Invalid value: "": "spec.a" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
        ),
        (
            json!({"type": "integer", "not": {"minimum": 5}}),
            json!(7),
            r#"spec.a: Invalid value: "": "spec.a" must not validate the schema (not)"#,
        ),
    ] {
        let errors = validate(&schema(&rules), &value, &Path::new("spec").child("a"));
        let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said, [want], "{rules} {value}");
    }
}

#[test]
fn values_are_accepted() {
    for (rules, value) in [
        (json!({"type": "integer"}), json!(1.0)),
        (json!({"type": "number"}), json!(1)),
        (json!({"type": "string", "nullable": true}), json!(null)),
        (json!({"x-kubernetes-int-or-string": true}), json!("50%")),
        (json!({"x-kubernetes-int-or-string": true}), json!(50)),
        (json!({"x-kubernetes-int-or-string": true}), json!(50.0)),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), json!([1, {"a": "b"}])),
        (json!({"type": "string", "format": "unheard-of"}), json!("x")),
        (json!({"type": "string", "format": "ipv4"}), json!("10.0.0.1")),
        (json!({"type": "string", "format": "duration"}), json!("1h30m")),
        (json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}), json!(7)),
    ] {
        let errors = validate(&schema(&rules), &value, &Path::new("a"));
        assert!(errors.is_empty(), "{rules} {value}: {errors:?}");
    }
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
    assert!(!super::rows(&definition)[0].allows(crate::resources::Verb::Create));
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
