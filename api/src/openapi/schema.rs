//! Schemas of built-in types, from the tables of [`crate::schema`].

use serde_json::{Map, Value, json};

use super::definition;
use super::form::Form;
use crate::schema::descriptions::Descriptions;
use crate::schema::{Field, ListType, Shape, Type, type_named};

/// A type's schema. Types that [`crate::schema`] does not list are those with a JSON form of their
/// own.
pub(super) fn of_type(name: &'static str, form: Form, descriptions: &Descriptions) -> Value {
    let mut schema = match type_named(name) {
        Some(of) => of_object(name, of, form, descriptions),
        None => leaf(name, form),
    };
    if let Some(description) = descriptions.of_type(name) {
        schema["description"] = description.into();
    }
    schema
}

fn of_object(name: &'static str, of: &Type, form: Form, descriptions: &Descriptions) -> Value {
    // Kubernetes requires the metadata of no kind, though it always writes it.
    let is_kind = of.fields.contains_key("kind") && of.fields.contains_key("metadata");
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (field_name, field) in &of.fields {
        let shown = of_field(name, field_name, field, form, descriptions);
        properties.insert((*field_name).to_owned(), shown);
        if field.always && !(is_kind && *field_name == "metadata") {
            required.push(*field_name);
        }
    }
    let mut schema = json!({"type": "object"});
    if !properties.is_empty() {
        schema["properties"] = Value::Object(properties);
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if of.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    schema
}

/// The types that a type's fields name.
pub(super) fn named_by(name: &str) -> Vec<&'static str> {
    let mut named = Vec::new();
    let fields = type_named(name).into_iter().flat_map(|of| &of.fields);
    for (field_name, field) in fields {
        let mut shape = &field.shape;
        while let Shape::List(inner) | Shape::Map(inner) = shape {
            shape = inner;
        }
        named.extend(referred(shape, opaque(name, field_name, field)));
    }
    named
}

fn of_field(
    type_name: &'static str,
    name: &'static str,
    field: &Field,
    form: Form,
    descriptions: &Descriptions,
) -> Value {
    let schema = of_shape(&field.shape, opaque(type_name, name, field), form);
    let mut beside = extensions(field);
    if let Some(description) = descriptions.of_field(type_name, name) {
        beside.insert("description".to_owned(), description.into());
    }
    form.extended(schema, beside)
}

fn of_shape(shape: &Shape, opaque: &'static str, form: Form) -> Value {
    if let Some(name) = referred(shape, opaque) {
        return form.reference(&definition::of_type(name));
    }
    match shape {
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Int32 => json!({"type": "integer", "format": "int32"}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Float64 => json!({"type": "number", "format": "double"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::List(item) => json!({"type": "array", "items": of_shape(item, opaque, form)}),
        Shape::Map(value) => {
            json!({"type": "object", "additionalProperties": of_shape(value, opaque, form)})
        }
        _ => json!({"type": "string"}),
    }
}

/// The type that a shape refers to; `None` for shapes that are written where they are.
fn referred(shape: &Shape, opaque: &'static str) -> Option<&'static str> {
    match shape {
        Shape::Object(name) => Some(name),
        Shape::Time => Some("meta.v1.Time"),
        Shape::MicroTime => Some("meta.v1.MicroTime"),
        Shape::Quantity => Some("api.resource.Quantity"),
        Shape::IntOrString => Some("util.intstr.IntOrString"),
        Shape::Any => Some(opaque),
        _ => None,
    }
}

/// The type of a field that holds anything. The tables say how it is written in protobuf, which
/// tells the unions of the JSON schema apart.
fn opaque(type_name: &str, name: &str, field: &Field) -> &'static str {
    let in_schema = type_name.starts_with("apiextensions.v1.");
    match field.number.split_once(':').map(|(_, form)| form) {
        Some("bool") => "apiextensions.v1.JSONSchemaPropsOrBool",
        Some("schemas") => "apiextensions.v1.JSONSchemaPropsOrArray",
        Some("strings") => "apiextensions.v1.JSONSchemaPropsOrStringArray",
        Some("empty") => "apiextensions.v1.CustomResourceSubresourceStatus",
        _ if in_schema && type_name == "apiextensions.v1.JSONSchemaProps" => {
            "apiextensions.v1.JSON"
        }
        _ if name == "fieldsV1" => "meta.v1.FieldsV1",
        _ => "runtime.RawExtension",
    }
}

/// Types with a JSON form of their own.
fn leaf(name: &str, form: Form) -> Value {
    match (name, form) {
        ("meta.v1.Time" | "meta.v1.MicroTime", _) => {
            json!({"type": "string", "format": "date-time"})
        }
        ("api.resource.Quantity", Form::V2) => json!({"type": "string"}),
        ("api.resource.Quantity", Form::V3) => {
            json!({"oneOf": [{"type": "string"}, {"type": "number"}]})
        }
        ("util.intstr.IntOrString", Form::V2) => {
            json!({"type": "string", "format": "int-or-string"})
        }
        ("util.intstr.IntOrString", Form::V3) => json!({
            "format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}],
        }),
        // Any JSON, or a schema or something else: a document cannot say more.
        _ if name.starts_with("apiextensions.v1.JSON") => json!({}),
        _ => json!({"type": "object"}),
    }
}

/// How a field merges, for server-side apply and for strategic merge patches.
fn extensions(field: &Field) -> Map<String, Value> {
    let mut extensions = Map::new();
    let mut say = |name: &str, value: Value| {
        extensions.insert(format!("x-kubernetes-{name}"), value);
    };
    match &field.list_type {
        Some(ListType::Atomic) => say("list-type", "atomic".into()),
        Some(ListType::Set) => say("list-type", "set".into()),
        Some(ListType::Map(keys)) => {
            say("list-type", "map".into());
            say("list-map-keys", json!(keys));
        }
        None => {}
    }
    if field.atomic {
        say("map-type", "atomic".into());
    }
    let patch = &field.patch;
    let strategies =
        [("merge", patch.merge), ("replace", patch.replace), ("retainKeys", patch.retain_keys)];
    let strategies: Vec<&str> =
        strategies.into_iter().filter_map(|(name, on)| on.then_some(name)).collect();
    if !strategies.is_empty() {
        say("patch-strategy", strategies.join(",").into());
    }
    if let Some(key) = patch.merge_key {
        say("patch-merge-key", key.into());
    }
    extensions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_type(name: &'static str, form: Form) -> Value {
        super::of_type(name, form, &Descriptions::read())
    }

    /// A field without its description.
    fn field(of: &Value, name: &str) -> Value {
        let mut field = of["properties"][name].clone();
        let description = field.as_object_mut().and_then(|field| field.remove("description"));
        assert!(description.is_some_and(|text| text.is_string()), "{name} has no description");
        field
    }

    #[test]
    fn fields_say_how_they_merge() {
        let spec = of_type("core.v1.PodSpec", Form::V3);
        assert_eq!(
            field(&spec, "containers"),
            json!({
                "type": "array",
                "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"},
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name",
            })
        );
        assert_eq!(spec["required"], json!(["containers"]));
        let volumes = &spec["properties"]["volumes"]["x-kubernetes-patch-strategy"];
        assert_eq!(volumes, "merge,retainKeys");
        assert_eq!(spec["properties"]["nodeSelector"]["x-kubernetes-map-type"], "atomic");
    }

    #[test]
    fn references_and_what_is_beside_them() {
        let of = |form| of_type("apps.v1.DeploymentSpec", form)["properties"]["strategy"].clone();
        let says = "How old pods are replaced by new ones.";
        let name = "io.k8s.api.apps.v1.DeploymentStrategy";
        assert_eq!(
            of(Form::V2),
            json!({"$ref": format!("#/definitions/{name}"), "description": says,
                "x-kubernetes-patch-strategy": "retainKeys"})
        );
        assert_eq!(
            of(Form::V3),
            json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}], "description": says,
                "x-kubernetes-patch-strategy": "retainKeys"})
        );
    }

    #[test]
    fn scalars_have_formats() {
        let deployment = of_type("apps.v1.DeploymentSpec", Form::V3);
        assert_eq!(field(&deployment, "replicas"), json!({"type": "integer", "format": "int32"}));
        let secret = of_type("core.v1.Secret", Form::V3);
        assert_eq!(
            field(&secret, "data"),
            json!({"type": "object", "additionalProperties": {"type": "string", "format": "byte"}})
        );
        assert_eq!(secret.get("required"), None);
        let quota = of_type("core.v1.ResourceQuotaSpec", Form::V2);
        assert_eq!(
            quota["properties"]["hard"]["additionalProperties"]["$ref"],
            "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"
        );
    }

    #[test]
    fn what_holds_anything_has_a_name() {
        for (type_name, field, want) in [
            ("meta.v1.ManagedFieldsEntry", "fieldsV1", "meta.v1.FieldsV1"),
            ("apps.v1.ControllerRevision", "data", "runtime.RawExtension"),
            ("apiextensions.v1.JSONSchemaProps", "default", "apiextensions.v1.JSON"),
            (
                "apiextensions.v1.JSONSchemaProps",
                "items",
                "apiextensions.v1.JSONSchemaPropsOrArray",
            ),
            (
                "apiextensions.v1.CustomResourceSubresources",
                "status",
                "apiextensions.v1.CustomResourceSubresourceStatus",
            ),
        ] {
            let schema = of_type(type_name, Form::V3);
            let name = definition::of_type(want);
            let reference = format!("#/components/schemas/{name}");
            let shown = &schema["properties"][field]["allOf"][0]["$ref"];
            assert_eq!(shown, &reference, "{type_name}.{field}");
            assert!(named_by(type_name).contains(&want), "{type_name}.{field}");
        }
    }
}
