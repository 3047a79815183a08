//! Whole objects: what is checked beside the values, and what an update lets pass.

use serde_json::{Value, json};

use super::*;
use crate::lifecycle::{before_status_update, before_update};

/// An object of a version with this schema of its spec, as it is stored.
fn stored(spec: Value) -> Value {
    json!({"apiVersion": "gold.io/v1", "kind": "Foo",
        "metadata": {"name": "a", "namespace": "d", "uid": "u", "generation": 1}, "spec": spec})
}

fn said(errors: &crate::field::Errors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn lists_hold_nothing_twice() {
    let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}}});
    let row = row(&json!({"type": "object", "properties": {"list": keyed}}), &json!({}));
    let twice = json!({"list": [{"k": "x"}, {"k": "y", "tags": ["a", "b", "a"]}, {"k": "x"}]});
    assert_eq!(
        said(&row.strategy.validate(&stored(twice.clone()))),
        [
            r#"spec.list[2]: Duplicate value: {"k":"x"}"#,
            r#"spec.list[1].tags[2]: Duplicate value: "a""#,
        ]
    );
    // What is no object is no item, and is told of by its type.
    let odd = json!({"list": [1, {"k": "x"}, {"k": "x"}]});
    assert_eq!(
        said(&row.strategy.validate(&stored(odd))),
        [
            r#"spec.list[0]: Invalid value: "integer": spec.list[0] in body must be of type object: "integer""#,
            r#"spec.list[2]: Duplicate value: {"k":"x"}"#,
        ]
    );
    // What was wrong before may stay so.
    let mut new = stored(twice.clone());
    new["metadata"]["labels"] = json!({"a": "b"});
    assert!(row.strategy.validate_update(&new, &stored(twice)).is_empty());
    assert!(!row.strategy.validate_update(&new, &stored(json!({}))).is_empty());
}

#[test]
fn all_keys_of_an_item_tell_it_apart() {
    let number = json!({"type": "integer", "maximum": 5});
    let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"],
        "items": {"type": "object", "properties": {
            "k": {"type": "string"}, "p": {"type": "integer"}, "n": number}}});
    let row = row(&json!({"type": "object", "properties": {"list": keyed}}), &json!({}));
    let apart = json!({"list": [{"k": "x", "p": 1, "n": 9}, {"k": "x", "p": 2}, {"k": "x"}]});
    // What an item says besides its keys may have been wrong before, with the same keys.
    let mut new = apart.clone();
    new["list"][1]["n"] = json!(1);
    assert!(row.strategy.validate_update(&stored(new.clone()), &stored(apart.clone())).is_empty());
    new["list"][1]["n"] = json!(9);
    assert_eq!(
        said(&row.strategy.validate_update(&stored(new), &stored(apart.clone()))),
        [
            "spec.list[1].n: Invalid value: 9: spec.list[1].n in body should be less than or equal to 5"
        ]
    );
    let mut twice = apart;
    twice["list"][2]["p"] = json!(2);
    twice["list"][0]["n"] = json!(1);
    assert_eq!(
        said(&row.strategy.validate(&stored(twice))),
        [r#"spec.list[2]: Duplicate value: {"k":"x","p":2}"#]
    );
}

#[test]
fn what_has_not_changed_passes() {
    let item = json!({"type": "object", "properties": {
        "k": {"type": "string"}, "n": {"type": "integer", "maximum": 5}}});
    let schema = json!({"type": "object", "properties": {
        "n": {"type": "integer", "maximum": 5}, "text": {"type": "string", "maxLength": 3},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item},
        "list": {"type": "array", "items": {"type": "integer", "maximum": 5}},
    }});
    let row = row(&schema, &json!({}));
    let old = json!({"n": 9, "map": [{"k": "a", "n": 9}, {"k": "b", "n": 1}], "list": [9]});
    for (spec, want) in [
        // Another field changes.
        (json!({"n": 9, "text": "abc", "map": old["map"], "list": [9]}), ""),
        // Another item of a map changes, wherever it is.
        (json!({"n": 9, "map": [{"k": "b", "n": 2}, {"k": "a", "n": 9}], "list": [9]}), ""),
        (json!({"n": 8}), "spec.n"),
        (json!({"map": [{"k": "a", "n": 8}]}), "spec.map[0].n"),
        (json!({"map": [{"k": "c", "n": 9}]}), "spec.map[0].n"),
        // Items of other lists cannot be told apart.
        (json!({"list": [9, 1]}), "spec.list[0]"),
    ] {
        let errors = row.strategy.validate_update(&stored(spec.clone()), &stored(old.clone()));
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields.join(" "), want, "{spec}");
    }
}

#[test]
fn objects_within_objects_are_objects() {
    let pod = json!({"type": "object", "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true});
    let row = row(&json!({"type": "object", "properties": {"pod": pod}}), &json!({}));
    for (pod, want) in [
        (json!({"apiVersion": "v1", "kind": "Pod"}), vec![]),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}}}), vec![]),
        (
            json!({}),
            vec![
                "spec.pod.apiVersion: Required value: must not be empty",
                "spec.pod.kind: Required value: must not be empty",
            ],
        ),
        (
            json!({"apiVersion": "a/b/c", "kind": ""}),
            vec![
                r#"spec.pod.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
                r#"spec.pod.kind: Invalid value: "": must not be empty"#,
            ],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}}),
            vec![r#"spec.pod.metadata.name: Invalid value: "a/b": may not contain '/'"#],
        ),
    ] {
        let errors = row.strategy.validate(&stored(json!({"pod": pod})));
        assert_eq!(said(&errors), want, "{pod}");
    }
    let body = stored(
        json!({"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"a": 1, "name": "p"}, "x": 1}}),
    );
    let decoded = decode::decode(&row, body.to_string().as_bytes()).expect("an object");
    assert_eq!(decoded.problems, [r#"unknown field "spec.pod.metadata.a""#]);
    assert_eq!(decoded.object["spec"]["pod"]["metadata"], json!({"name": "p"}));
    assert_eq!(decoded.object["spec"]["pod"]["x"], 1);
}

#[test]
fn replicas_can_be_counted() {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let row = row(
        &open,
        &json!({"subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n",
            "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.selector"}}}),
    );
    for (spec, status, want) in [
        (json!({"n": 3}), json!({"n": 2, "selector": "a=b"}), ""),
        (
            json!({"n": -1}),
            json!({}),
            ".spec.n: Invalid value: -1: should be a non-negative integer",
        ),
        (
            json!({"n": 2_147_483_648_i64}),
            json!({}),
            ".spec.n: Invalid value: 2147483648: should be less than or equal to 2147483647",
        ),
        (
            json!({}),
            json!({"n": -2}),
            ".status.n: Invalid value: -2: should be a non-negative integer",
        ),
        (json!({}), json!({"selector": "a in b"}), ".status.selector: Invalid value: \"a in b\": "),
    ] {
        let mut object = stored(spec);
        object["status"] = status;
        let errors = said(&row.strategy.validate(&object)).join(" ");
        assert!(errors.starts_with(want) && errors.is_empty() == want.is_empty(), "{errors}");
    }
}

#[test]
fn an_update_of_the_status_is_about_the_status() {
    let definition_of = |status: Value| {
        let mut definition = definition(
            &json!({"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}}),
            &json!({"subresources": {"status": {}}}),
        );
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] =
            status;
        definition
    };
    let status = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let row = rows(&definition_of(status)).pop().expect("a row");
    let old = stored(json!({"n": 9}));
    let mut new = stored(json!({"n": 8}));
    new["metadata"]["labels"] = json!({"a": "b"});
    new["status"] = json!({"n": 1});
    before_status_update(&row, &mut new, &old).expect("the spec is not looked at");
    assert_eq!(new["spec"], old["spec"]);
    assert!(new["metadata"].get("labels").is_none(), "nor is the metadata");
    assert_eq!(new["status"], json!({"n": 1}));
    new["status"] = json!({"n": "x"});
    let refused = before_status_update(&row, &mut new, &old).expect_err("no number");
    assert_eq!(
        refused.message,
        "Foo.gold.io \"a\" is invalid: status.n: Invalid value: \"string\": n in body must be of type integer: \"string\""
    );
    // Where it is no subresource, it is a part of the object.
    let mut changed = stored(json!({"n": 1}));
    changed["status"] = json!({"n": 1});
    before_update(&row, &mut changed, &old).expect("an update");
    assert!(changed.get("status").is_none());
}

#[test]
fn names_are_those_that_were_accepted() {
    let mut definition = definition(&json!({"type": "object"}), &json!({}));
    definition["spec"]["names"]["listKind"] = json!("Foos");
    definition["spec"]["names"]["shortNames"] = json!(["taken"]);
    assert_eq!(rows(&definition)[0].list_kind(), "Foos");
    assert_eq!(rows(&definition)[0].short_names, ["taken"]);
    definition["status"]["acceptedNames"] =
        json!({"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"});
    assert_eq!(rows(&definition)[0].list_kind(), "FooList");
    assert!(rows(&definition)[0].short_names.is_empty());
}
