//! Schemas of definitions, and objects of them.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{bodies, checks};

const NAMES: &[&str] =
    &["a", "b", "spec", "status", "metadata", "apiVersion", "kind", "$ref", "x/y"];

/// What may be said about any field, right or wrong.
fn words() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let word = prop_oneof![
        any::<bool>().prop_map(|yes| ("nullable", yes.into())),
        Just(("x-kubernetes-preserve-unknown-fields", true.into())),
        Just(("x-kubernetes-int-or-string", true.into())),
        Just(("x-kubernetes-embedded-resource", true.into())),
        "(atomic|set|map)".prop_map(|kind| ("x-kubernetes-list-type", kind.into())),
        Just(("x-kubernetes-list-map-keys", json!(["a"]))),
        "(atomic|granular)".prop_map(|kind| ("x-kubernetes-map-type", kind.into())),
        (0..5_i64).prop_map(|least| ("minimum", least.into())),
        (0..5_i64).prop_map(|most| ("maxLength", most.into())),
        (0..3_i64).prop_map(|most| ("maxItems", most.into())),
        "(\\[a-z\\]\\+|\\(|\\^a)".prop_map(|pattern| ("pattern", pattern.into())),
        "(date-time|int32|int64|byte|ipv4|x)".prop_map(|format| ("format", format.into())),
        Just(("required", json!(["a"]))),
        bodies::value().prop_map(|default| ("default", default)),
        bodies::value().prop_map(|value| ("enum", json!([value, "a", 1]))),
        bodies::value().prop_map(|value| ("example", value)),
        Just(("anyOf", json!([{"required": ["a"]}, {"properties": {"a": {"minimum": 1}}}]))),
        Just(("not", json!({"required": ["b"]}))),
        Just(("description", "what it is".into())),
    ];
    prop::collection::vec(word, 0..3)
}

/// A schema that is structural, or nearly.
fn schema() -> impl Strategy<Value = Value> {
    let with = |mut schema: Value, words: Vec<(&'static str, Value)>| {
        for (word, value) in words {
            schema[word] = value;
        }
        schema
    };
    let leaf = ("(string|integer|number|boolean|object|array|)", words()).prop_map(
        move |(kind, words)| {
            let schema = if kind.is_empty() { json!({}) } else { json!({"type": kind}) };
            with(schema, words)
        },
    );
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let fields = prop::collection::vec((prop::sample::select(NAMES), inner.clone()), 0..4);
        prop_oneof![
            (fields, words()).prop_map(move |(fields, words)| {
                let fields = fields.into_iter().map(|(name, field)| (name.to_owned(), field));
                let fields: Map<_, _> = fields.collect();
                with(json!({"type": "object", "properties": fields}), words)
            }),
            (inner.clone(), words()).prop_map(move |(items, words)| with(
                json!({"type": "array", "items": items}),
                words
            )),
            (inner, words()).prop_map(move |(values, words)| {
                with(json!({"type": "object", "additionalProperties": values}), words)
            }),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    let field = (prop::sample::select(NAMES), bodies::value());
    prop::collection::vec(field, 0..4).prop_map(|fields| {
        let mut object = json!({});
        for (name, value) in fields {
            object[name] = value;
        }
        object["metadata"] = json!({"name": "f"});
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn definitions(spec in schema(), status in schema(), object in object()) {
        let root = json!({"type": "object", "properties": {"spec": spec, "status": status}});
        checks::schema(&root, object.to_string().as_bytes());
    }

    #[test]
    fn any_schema(root in prop_oneof![schema(), bodies::value()], object in object()) {
        checks::schema(&root, object.to_string().as_bytes());
    }
}
