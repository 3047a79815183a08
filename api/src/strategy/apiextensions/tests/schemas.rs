//! What the schemas of definitions may say.

use serde_json::{Value, json};

use super::{definition, with};
use crate::strategy::tests::{changed, create, resource};

/// The messages about a schema of a whole object, without the paths that lead to it.
fn said(schema: &Value) -> Vec<String> {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    let errors = {
        let object = changed(&definition(), &with("schema", &json!({"openAPIV3Schema": schema})));
        let mut created = crate::decode::check(row, object).expect("decodes").object;
        row.strategy.default(&mut created);
        row.strategy.prepare_for_create(&mut created);
        row.strategy.validate(&created)
    };
    let base = "spec.validation.openAPIV3Schema";
    errors
        .iter()
        .map(ToString::to_string)
        .map(|text| text.strip_prefix(base).map(str::to_owned).unwrap_or(text))
        .map(|text| text.trim_start_matches('.').to_owned())
        .collect()
}

/// Those about a schema of the field `a`.
fn of_field(schema: &Value) -> Vec<String> {
    let all = said(&json!({"type": "object", "properties": {"a": schema}}));
    let short =
        |text: String| text.strip_prefix("properties[a].").map(str::to_owned).unwrap_or(text);
    all.into_iter().map(short).collect()
}

#[test]
fn schemas_are_structural() {
    for (schema, want) in [
        (json!({"type": "object", "properties": {"b": {"type": "string"}}}), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), vec![]),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), vec![]),
        (json!({}), vec!["type: Required value: must not be empty for specified object fields"]),
        (
            json!({"type": "array", "items": {}}),
            vec!["items.type: Required value: must not be empty for specified array items"],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            vec![],
        ),
        (
            json!({"x-kubernetes-int-or-string": true,
                "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "^a"}]}),
            vec![],
        ),
        (
            json!({"type": "string", "anyOf": [{"description": "x", "nullable": true, "minLength": 1}]}),
            vec![
                "anyOf[0].description: Forbidden: must be empty to be structural",
                "anyOf[0].nullable: Forbidden: must be false to be structural",
            ],
        ),
        // An integer or a string is let pass in two places and nowhere else.
        (
            json!({"x-kubernetes-int-or-string": true,
                "oneOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}),
            vec![
                "oneOf[0].anyOf[0].type: Forbidden: must be empty to be structural",
                "oneOf[0].anyOf[1].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "allOf": [{"minLength": 1},
                {"anyOf": [{"type": "integer"}, {"type": "string"}]}]}),
            vec![
                "allOf[1].anyOf[0].type: Forbidden: must be empty to be structural",
                "allOf[1].anyOf[1].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "allOf": [
                {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                {"anyOf": [{"type": "integer"}, {"type": "string"}]}]}),
            vec![
                "allOf[1].anyOf[0].type: Forbidden: must be empty to be structural",
                "allOf[1].anyOf[1].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"type": "object",
                "not": {"items": {"allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}}}),
            vec![
                "not.items.allOf[0].anyOf[0].type: Forbidden: must be empty to be structural",
                "not.items.allOf[0].anyOf[1].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"type": "object",
                "oneOf": [{"allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}]}),
            vec![
                "oneOf[0].allOf[0].anyOf[0].type: Forbidden: must be empty to be structural",
                "oneOf[0].allOf[0].anyOf[1].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "allOf": [
                {"anyOf": [{"type": "integer"}, {"type": "string"}], "not": {"type": "string"}}]}),
            vec!["allOf[0].not.type: Forbidden: must be empty to be structural"],
        ),
        (
            json!({"type": "object", "not": {"additionalProperties": false, "default": 1, "title": "x",
                "properties": {"metadata": {"x-kubernetes-preserve-unknown-fields": true}},
                "items": {"x-kubernetes-list-type": "set"}}}),
            vec![
                "not.additionalProperties: Forbidden: must be undefined to be structural",
                "not.default: Forbidden: must be undefined to be structural",
                "not.items.x-kubernetes-list-type: Forbidden: must be undefined to be structural",
                "not.properties[metadata].x-kubernetes-preserve-unknown-fields: Forbidden: must be false to be structural",
                "not.properties[metadata]: Forbidden: must not be specified in a nested context",
                "not.title: Forbidden: must be empty to be structural",
                "not.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
                "not.items.type: Required value: must be array if x-kubernetes-list-type is specified",
            ],
        ),
        // Below the root, what restrictions speak of need not be there outside of them.
        (json!({"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]}), vec![]),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            vec![
                "properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
            vec![
                "x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
            ],
        ),
    ] {
        assert_eq!(of_field(&schema), want, "{schema}");
    }
}

#[test]
fn the_root_is_an_object_with_its_own_metadata() {
    for (schema, want) in [
        (json!({"type": "object", "properties": {"metadata": {"type": "object"}}}), vec![]),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object",
                "properties": {"name": {"type": "string", "maxLength": 5}}}}}),
            vec![],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object",
                "properties": {"labels": {"type": "object"}}}}}),
            vec![
                "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ],
        ),
        (
            json!({"type": "object", "properties": {"kind": {"type": "integer"}}}),
            vec![r#"properties[kind].type: Invalid value: "integer": must be string"#],
        ),
        (
            json!({"type": "object", "properties": {"kind": {"type": "string", "default": "A"}}}),
            vec!["properties[kind].default: Forbidden: must not be set in top-level kind"],
        ),
        (
            json!({"type": "string"}),
            vec![r#"type: Invalid value: "string": must be object at the root"#],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            vec!["additionalProperties: Forbidden: must not be used at the root"],
        ),
        (
            json!({"type": "object", "nullable": true}),
            vec!["nullable: Forbidden: nullable cannot be true at the root"],
        ),
        // What restrictions speak of is there outside of them, too.
        (
            json!({"type": "object", "properties": {"b": {"type": "array", "items": {"type": "string"}}},
                "oneOf": [{"not": {"properties": {"b": {"items": {"items": {"minLength": 1}}}}}}],
                "allOf": [{"items": {"minLength": 1}}]}),
            vec![
                "items: Required value: because it is defined in spec.validation.openAPIV3Schema.allOf[0].items",
                "properties[b].items.items: Required value: because it is defined in spec.validation.openAPIV3Schema.oneOf[0].not.properties[b].items.items",
            ],
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]}),
            vec![
                "properties[b]: Required value: because it is defined in spec.validation.openAPIV3Schema.anyOf[0].properties[b]",
            ],
        ),
    ] {
        assert_eq!(said(&schema), want, "{schema}");
    }
}

#[test]
fn words_go_together() {
    let items = json!({"type": "object", "properties": {"k": {"type": "string"}}});
    let list = |more: Value| changed(&json!({"type": "array", "items": items}), &more);
    for (schema, want) in [
        (
            json!({"type": "text"}),
            vec![
                r#"type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string""#,
            ],
        ),
        (
            json!({"type": "null"}),
            vec![
                r#"type: Unsupported value: "null": supported values: "array", "boolean", "integer", "number", "object", "string""#,
                "type: Forbidden: type cannot be set to null, use nullable as an alternative",
            ],
        ),
        (
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
            vec![
                "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ],
        ),
        (json!({"type": "string", "$ref": "#/a"}), vec!["$ref: Forbidden: $ref is not supported"]),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            vec![
                "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
            ],
        ),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false}),
            vec![
                "x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
            ],
        ),
        (
            json!({"type": "string", "x-kubernetes-map-type": "loose"}),
            vec![
                r#"type: Invalid value: "string": must be object if x-kubernetes-map-type is specified"#,
                r#"x-kubernetes-map-type: Unsupported value: "loose": supported values: "atomic", "granular""#,
            ],
        ),
        (
            list(json!({"x-kubernetes-list-type": "bag"})),
            vec![
                r#"x-kubernetes-list-type: Unsupported value: "bag": supported values: "atomic", "set", "map""#,
            ],
        ),
        (
            list(json!({"x-kubernetes-list-type": "set"})),
            vec![
                "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        ),
        (
            list(json!({"x-kubernetes-list-map-keys": ["k"]})),
            vec![
                "x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty",
            ],
        ),
        (
            list(json!({"x-kubernetes-list-type": "map"})),
            vec![
                "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
            ],
        ),
        (
            list(json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]})),
            vec![
                "items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        ),
        (
            list(
                json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["x", "x"]}),
            ),
            vec![
                r#"x-kubernetes-list-map-keys: Invalid value: ["x","x"]: entries must all be names of item properties"#,
                r#"x-kubernetes-list-map-keys: Invalid value: ["x","x"]: entries must all be names of item properties"#,
                r#"x-kubernetes-list-map-keys: Invalid value: ["x","x"]: must not contain duplicate entries"#,
            ],
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "required": ["k"], "nullable": true,
                    "properties": {"k": {"type": "object", "nullable": true}}}}),
            vec![
                r#"items.properties[k].type: Invalid value: "object": must be a scalar type if parent array's x-kubernetes-list-type is map"#,
                "items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map",
                "items.properties[k].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            ],
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": " "}, {"rule": "true", "reason": "Because"}]}),
            vec![
                "x-kubernetes-validations[0].rule: Required value: rule is not specified",
                r#"x-kubernetes-validations[1].reason: Unsupported value: "Because": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired""#,
            ],
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}},
                "x-kubernetes-validations": [{"rule": "true", "fieldPath": ".b"},
                    {"rule": "true", "fieldPath": "['b']"}, {"rule": "true", "fieldPath": ".c"}]}),
            vec![
                r#"x-kubernetes-validations[2].fieldPath: Invalid value: ".c": fieldPath must be a valid path"#,
            ],
        ),
        (
            json!({"type": "string", "pattern": "(a"}),
            vec![
                r#"pattern: Invalid value: "(a": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(a`"#,
            ],
        ),
        (
            json!({"type": "string", "not": {"pattern": "a**"}}),
            vec![
                r#"not.pattern: Invalid value: "a**": must be a valid regular expression, but isn't: error parsing regexp: invalid nested repetition operator: `**`"#,
            ],
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set",
                "items": {"type": "object", "x-kubernetes-map-type": "granular"}}),
            vec![
                "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        ),
    ] {
        assert_eq!(of_field(&schema), want, "{schema}");
    }
}

#[test]
fn a_schema_that_cannot_be_read_is_not_looked_into() {
    for (schema, want) in [
        (json!({"$ref": "#/a", "type": ""}), "$ref: Forbidden: $ref is not supported"),
        (
            json!({"items": [{"type": "string"}]}),
            "items: Forbidden: items must be a schema object and not an array",
        ),
        (
            json!({"x-kubernetes-preserve-unknown-fields": false}),
            "x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ),
        (json!({"id": "a", "patternProperties": {}}), "id: Forbidden: id is not supported"),
        (
            json!({"type": "string", "$schema": "http://json-schema.org/draft-04/schema#"}),
            r#"spec.validation.openAPIV3Schema: Invalid value: "": OpenAPIV3Schema 'schema' is not supported"#,
        ),
    ] {
        let got = of_field(&schema);
        let want = want.strip_prefix("spec.validation.openAPIV3Schema").unwrap_or(want);
        assert_eq!(got, [want], "{schema}");
    }
    // What is empty is not said.
    for schema in [
        json!({"type": "string", "id": ""}),
        json!({"type": "object", "patternProperties": {}, "definitions": {}}),
    ] {
        assert_eq!(of_field(&schema), Vec::<String>::new(), "{schema}");
    }
}

#[test]
fn defaults_are_values_of_the_schema() {
    let inner = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    for (default, want) in [
        (json!({"n": 1}), vec![]),
        (
            json!({"n": 1, "x": 2}),
            vec![r#"default: Invalid value: {"n":1,"x":2}: must not have unknown fields"#],
        ),
        (
            json!({"n": "one"}),
            vec![
                r#"default.n: Invalid value: "string": n in body must be of type integer: "string""#,
            ],
        ),
        (
            json!(1),
            vec![
                r#"default: Invalid value: "integer":  in body must be of type object: "integer""#,
            ],
        ),
    ] {
        let schema = changed(&inner, &json!({"default": default}));
        assert_eq!(of_field(&schema), want, "{schema}");
    }
}

#[test]
fn defaults_of_metadata_make_metadata() {
    let embedded = |field: Value| {
        json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": field}}})
    };
    let base = "properties[metadata].properties";
    for (field, want) in [
        (json!({"name": {"type": "string", "default": "a"}}), vec![]),
        (
            json!({"name": {"type": "string", "default": "a/b"}}),
            vec![format!(
                r#"{base}[name].default: Invalid value: "a/b": must result in valid metadata: metadata.name: Invalid value: "a/b": may not contain '/'"#
            )],
        ),
        (
            json!({"name": {"type": "string", "maxLength": 1, "default": "ab"}}),
            vec![format!("{base}[name].default: Too long: may not be more than 1 bytes")],
        ),
        (
            json!({"finalizers": {"type": "array", "items": {"type": "string", "default": "a b"}}}),
            vec![format!(
                r#"{base}[finalizers].items.default: Invalid value: "a b": must result in valid metadata: metadata.finalizers[0]: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#
            )],
        ),
        (
            json!({"labels": {"type": "object", "additionalProperties": {"type": "string", "default": "x"}}}),
            vec![format!(
                "{base}[labels].additionalProperties.default: Forbidden: must not be set inside additionalProperties applying to object metadata"
            )],
        ),
    ] {
        assert_eq!(of_field(&embedded(field.clone())), want, "{field}");
    }
    // Null is no default, even where null is a value.
    let null = json!({"type": "string", "nullable": true, "default": null});
    assert_eq!(of_field(&null), Vec::<String>::new());
    // A whole object is not a default without its kind.
    let whole =
        changed(&embedded(json!({})), &json!({"default": {"metadata": {}, "apiVersion": "v1"}}));
    assert_eq!(of_field(&whole), ["default.kind: Required value: must not be empty"]);
}

#[test]
fn beside_a_status_the_root_says_little() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    let mut versions = definition()["spec"]["versions"].clone();
    versions[0]["subresources"] = json!({"status": {}});
    // What is false is not said.
    versions[0]["schema"]["openAPIV3Schema"]["nullable"] = json!(false);
    create(row, changed(&definition(), &json!({"spec": {"versions": versions}}))).expect("little");
    versions[0]["schema"]["openAPIV3Schema"]["maxProperties"] = json!(5);
    let refused = create(row, changed(&definition(), &json!({"spec": {"versions": versions}})));
    let message = refused.expect_err("maxProperties").message;
    assert!(
        message.contains("only [Description Type Format Title")
            && message.contains(
                "fields are allowed at the root of the schema if the status subresource is enabled"
            ),
        "{message}"
    );
}
