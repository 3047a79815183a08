//! Schemas of custom resources, from what their definitions say (`openAPIV3Schema`).
//!
//! Definitions leave out what all objects have, so `apiVersion`, `kind` and `metadata` are added.
//! OpenAPI 2.0 knows fewer words than version 3, and kubectl refuses fields beside those it is
//! told of: schemas for it lose what it cannot read, and name no fields where any are allowed.

use serde_json::{Map, Value, json};

use super::definition;
use super::form::Form;
use crate::schema::descriptions::{API_VERSION, KIND, METADATA};

/// The words for combined schemas: unknown to version 2, and of no use for the shape of objects.
const COMBINED: [&str; 4] = ["allOf", "anyOf", "oneOf", "not"];
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

/// The published schema of a kind. `None` is a version without a schema.
pub(super) fn of_kind(schema: Option<Value>, form: Form) -> Value {
    let Some(Value::Object(schema)) = schema else { return json!({"type": "object"}) };
    if form == Form::V2 && schema.get(PRESERVE) == Some(&Value::Bool(true)) {
        return json!({"type": "object"});
    }
    let mut schema = converted(schema, form);
    add_type_and_metadata(&mut schema, form);
    Value::Object(schema)
}

fn converted(mut schema: Map<String, Value>, form: Form) -> Map<String, Value> {
    let says = |schema: &Map<String, Value>, word| schema.get(word) == Some(&Value::Bool(true));
    let preserves = says(&schema, PRESERVE);
    if form == Form::V2 {
        for word in COMBINED {
            schema.remove(word);
        }
        let nullable = says(&schema, "nullable");
        schema.remove("nullable");
        if nullable {
            schema.remove("type");
        }
        if nullable || preserves {
            schema.remove("items");
            schema.remove("properties");
        }
        if !schema.contains_key("items") && schema.get("type") == Some(&"array".into()) {
            schema.remove("type");
        }
        without_nullable(&mut schema);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(|property| convert(property, form));
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(word) {
            convert(inner, form);
        }
    }
    if says(&schema, "x-kubernetes-embedded-resource") && !(form == Form::V2 && preserves) {
        add_type_and_metadata(&mut schema, form);
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(required) = required {
            for name in ["apiVersion", "kind"] {
                if !required.contains(&name.into()) {
                    required.push(name.into());
                }
            }
        }
    }
    schema
}

fn convert(schema: &mut Value, form: Form) {
    if let Value::Object(fields) = schema {
        *fields = converted(std::mem::take(fields), form);
    }
}

/// kubectl takes null for absent, so what may be null cannot be required.
fn without_nullable(schema: &mut Map<String, Value>) {
    let nullable = |schema: &Value| schema["nullable"] == true;
    if schema.get("additionalProperties").is_some_and(nullable) {
        schema.remove("required");
    }
    let Some(Value::Array(mut required)) = schema.remove("required") else { return };
    let properties = schema.get("properties");
    required.retain(|name| {
        let property = name.as_str().and_then(|name| properties?.get(name));
        !property.is_some_and(nullable)
    });
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
}

fn add_type_and_metadata(schema: &mut Map<String, Value>, form: Form) {
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    properties["apiVersion"] = json!({"type": "string", "description": API_VERSION});
    properties["kind"] = json!({"type": "string", "description": KIND});
    let metadata = form.reference(&definition::of_type("meta.v1.ObjectMeta"));
    properties["metadata"] = form.described(metadata, METADATA);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(schema: Value, form: Form) -> Value {
        let whole = json!({"type": "object", "properties": {"spec": schema}});
        of_kind(Some(whole), form)["properties"]["spec"].clone()
    }

    #[test]
    fn what_every_object_has_is_added() {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object"}, "metadata": {"type": "object"},
        }});
        assert_eq!(
            of_kind(Some(schema), Form::V3)["properties"],
            json!({
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                "metadata": {"description": METADATA, "allOf": [{"$ref":
                    "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]},
                "spec": {"type": "object"},
            })
        );
        for form in [Form::V2, Form::V3] {
            assert_eq!(of_kind(None, form), json!({"type": "object"}));
        }
        let open = json!({"type": "object", PRESERVE: true});
        assert_eq!(of_kind(Some(open.clone()), Form::V2), json!({"type": "object"}));
        assert!(of_kind(Some(open), Form::V3)["properties"]["kind"].is_object());
    }

    #[test]
    fn version_2_knows_fewer_words() {
        for (schema, want) in [
            (
                json!({"type": "object", "oneOf": [{"required": ["a"]}], "not": {}, "minLength": 1}),
                json!({"type": "object", "minLength": 1}),
            ),
            (
                json!({"type": "object", "nullable": true, "properties": {"a": {"type": "string"}}}),
                json!({}),
            ),
            (
                json!({"type": "array", PRESERVE: true, "items": {"type": "string"}}),
                json!({PRESERVE: true}),
            ),
            (
                json!({"type": "object", "required": ["a", "b"], "properties": {
                    "a": {"type": "string", "nullable": true}, "b": {"type": "string"}}}),
                json!({"type": "object", "required": ["b"], "properties": {
                    "a": {}, "b": {"type": "string"}}}),
            ),
            (
                json!({"type": "array", "items": {"anyOf": [], "type": "string"}}),
                json!({"type": "array", "items": {"type": "string"}}),
            ),
        ] {
            assert_eq!(spec(schema.clone(), Form::V3), schema);
            assert_eq!(spec(schema.clone(), Form::V2), want, "{schema}");
        }
    }

    #[test]
    fn embedded_objects_have_kinds_too() {
        let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true});
        let shown = spec(embedded.clone(), Form::V3);
        assert!(shown["properties"]["metadata"]["allOf"][0]["$ref"].is_string());
        assert_eq!(shown["required"], json!(["apiVersion", "kind"]));
        let mut open = embedded;
        open[PRESERVE] = true.into();
        assert_eq!(spec(open.clone(), Form::V2), open);
    }
}
