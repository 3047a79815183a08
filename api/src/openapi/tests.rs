//! Whole documents.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::resources::{Verb, table};

const BUILT_IN: Source<'static> = Source { rows: &[], custom: &|_| None };

fn source() -> Source<'static> {
    Source { rows: table(), ..BUILT_IN }
}

fn v3(group: &str, version: &str) -> Value {
    let mut bytes = Vec::new();
    source().write_v3(group, version, &mut bytes).expect("memory takes it");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn v2() -> Value {
    let mut bytes = Vec::new();
    source().write_v2(&mut bytes).expect("memory takes it");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Visits every object in a document.
fn walk<'a>(value: &'a Value, visit: &mut dyn FnMut(&'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|value| walk(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

fn documents() -> Vec<(String, Value)> {
    let groups = source().group_versions().into_iter();
    let mut all: Vec<_> = groups
        .map(|(group, version)| (document_path(group, version), v3(group, version)))
        .collect();
    all.push(("v2".to_owned(), v2()));
    all
}

#[test]
fn every_reference_resolves_and_every_operation_has_its_own_name() {
    for (name, document) in documents() {
        let mut ids = BTreeSet::new();
        let mut references = 0;
        walk(&document, &mut |fields| {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("a reference within");
                assert!(document.pointer(pointer).is_some(), "{name}: {reference}");
                references += 1;
            }
            if let Some(Value::String(id)) = fields.get("operationId") {
                assert!(ids.insert(id.clone()), "{name}: {id} is there twice");
            }
        });
        assert!(references > 0 && !ids.is_empty(), "{name}");
    }
}

#[test]
fn every_verb_of_every_row_has_an_operation() {
    let v2 = v2();
    let action = |verb: &Verb| match verb {
        Verb::Create => "post",
        Verb::Update => "put",
        other => other.as_str(),
    };
    for row in table() {
        let v3 = v3(&row.group, &row.version);
        let root = format!("/{}", document_path(&row.group, &row.version));
        let scope = if row.namespaced() { "/namespaces/{namespace}" } else { "" };
        let path = format!("{root}{scope}/{}", row.plural);
        let mut wanted: Vec<(String, &[Verb])> = vec![(path.clone(), row.verbs)];
        for sub in &row.subresources {
            wanted.push((format!("{path}/{{name}}/{}", sub.name), sub.verbs));
        }
        for paths in [&v3["paths"], &v2["paths"]] {
            for (path, verbs) in &wanted {
                let object = format!("{path}/{{name}}");
                let found: BTreeSet<&str> = [&paths[path], &paths[&object]]
                    .into_iter()
                    .flat_map(|item| item.as_object().into_iter().flatten())
                    .filter_map(|(_, operation)| operation["x-kubernetes-action"].as_str())
                    .collect();
                // Watches are lists with a parameter.
                for verb in verbs.iter().filter(|verb| **verb != Verb::Watch) {
                    let found = found.contains(action(verb)) || found.contains("connect");
                    assert!(found, "{path}: {}", verb.as_str());
                }
            }
        }
    }
}

#[test]
fn every_kind_has_a_definition_with_its_name() {
    let v2 = v2();
    for row in table() {
        let kind = json!({"group": row.group, "version": row.version, "kind": row.kind});
        let v3 = v3(&row.group, &row.version);
        let name = definition::of_row(row);
        for schema in [&v2["definitions"][&name], &v3["components"]["schemas"][&name]] {
            assert!(schema["description"].is_string(), "{name}");
            let kinds = schema["x-kubernetes-group-version-kind"].as_array().expect("kinds");
            assert!(kinds.contains(&kind), "{name}");
            assert_eq!(schema["properties"]["kind"]["type"], "string", "{name}");
        }
    }
    let list = &v2["definitions"]["io.k8s.api.core.v1.PodList"];
    assert_eq!(
        list["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "PodList"}])
    );
    assert_eq!(
        list["properties"]["items"]["items"]["$ref"],
        "#/definitions/io.k8s.api.core.v1.Pod"
    );
}

#[test]
fn custom_resources_are_documented_like_others() {
    let pods = table().iter().find(|row| row.plural == "pods").expect("served");
    let row = Resource {
        group: "stable.example.com".into(),
        version: "v1".into(),
        kind: "CronTab".into(),
        plural: "crontabs".into(),
        singular: "crontab".into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: crate::resources::Scope::Namespaced,
        verbs: pods.verbs,
        subresources: Vec::new(),
        selectable_fields: Vec::new(),
        stored_as: crate::resources::GroupResource::new("stable.example.com", "crontabs"),
        stored_version: "v1".into(),
        storage_version_hash: "".into(),
        schema_type: "".into(),
        deprecation: "".into(),
        strategy: Arc::clone(&pods.strategy),
        printer: crate::table::NAME_AND_AGE,
    };
    let rows = [Arc::new(row)];
    let schema = json!({"type": "object", "properties":
        {"spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}});
    let custom = |_: &Resource| Some(schema.clone());
    let source = Source { rows: &rows, custom: &custom };
    let mut bytes = Vec::new();
    source.write_v3("stable.example.com", "v1", &mut bytes).expect("memory takes it");
    let document: Value = serde_json::from_slice(&bytes).expect("JSON");
    let shown = &document["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert_eq!(shown["properties"]["spec"], schema["properties"]["spec"]);
    assert_eq!(shown["x-kubernetes-group-version-kind"][0]["kind"], "CronTab");
    let path = "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}";
    let patch = &document["paths"][path]["patch"]["requestBody"]["content"];
    let types: Vec<_> = patch.as_object().expect("types").keys().collect();
    assert_eq!(
        types,
        [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json"
        ]
    );
    walk(&document, &mut |fields| {
        if let Some(Value::String(reference)) = fields.get("$ref") {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    });
}

#[test]
fn the_protobuf_form_has_all_paths_and_definitions() {
    use crate::protobuf::wire::{LENGTH, Reader};

    fn fields(bytes: &[u8], wanted: u32) -> Vec<&[u8]> {
        let mut reader = Reader::new(bytes);
        let mut found = Vec::new();
        while let Some((number, wire)) = reader.tag().expect("a tag") {
            if number == wanted && wire == LENGTH {
                found.push(reader.bytes().expect("a length"));
            } else {
                reader.skip(wire).expect("a value");
            }
        }
        found
    }
    let names = |parent: &[u8], number| -> BTreeSet<String> {
        fields(parent, number)
            .into_iter()
            .map(|named| String::from_utf8(fields(named, 1)[0].to_vec()).expect("text"))
            .collect()
    };
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let document = source().v2_protobuf();
    let json = v2();
    assert_eq!(fields(&document, 1), [b"2.0"]);
    assert_eq!(names(fields(&document, 8)[0], 2), keys(&json["paths"]));
    let definitions = fields(&document, 9)[0];
    assert_eq!(names(definitions, 1), keys(&json["definitions"]));
    let pod = fields(definitions, 1)
        .into_iter()
        .find(|named| fields(named, 1) == [b"io.k8s.api.core.v1.PodSpec"])
        .expect("there");
    let pod = fields(pod, 2)[0];
    assert_eq!(fields(pod, 19), [b"containers"]);
    let properties = &json["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"];
    assert_eq!(names(fields(pod, 25)[0], 1), keys(properties));
}

#[test]
fn everything_says_what_it_is_for() {
    for (name, document) in documents() {
        let definitions = match document.get("definitions") {
            Some(definitions) => definitions,
            None => &document["components"]["schemas"],
        };
        for (definition, schema) in definitions.as_object().expect("definitions") {
            assert!(schema["description"].is_string(), "{name}: {definition}");
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                assert!(schema["description"].is_string(), "{name}: {definition}.{field}");
                // OpenAPI 3.0 ignores what stands beside a reference.
                let alone = name == "v2" || schema.get("$ref").is_none();
                assert!(alone, "{name}: {definition}.{field}");
            }
        }
    }
}
