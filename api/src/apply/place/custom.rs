//! Places in custom resources: their structural schemas say with `x-kubernetes-list-type`,
//! `x-kubernetes-list-map-keys` and `x-kubernetes-map-type` how values merge.
//!
//! Source: k8s.io/kube-openapi/pkg/schemaconv,
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#custom-resources-and-server-side-apply>.

use serde_json::Value;

use super::{Content, Fields, Form, Keys, METADATA, Place};
use crate::custom::Schema;
use crate::custom::schema::Additional;

/// A place that a structural schema describes.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Custom<'s> {
    schema: &'s Schema,
    /// Whether it is the whole object.
    root: bool,
    /// Whether the schema of a place around it keeps unknown fields, which counts for all within.
    open: bool,
}

impl<'s> Custom<'s> {
    /// The whole object.
    pub(super) fn root(schema: &'s Schema) -> Custom<'s> {
        Custom { schema, root: true, open: schema.preserve_unknown }
    }

    /// Whether it is the whole object.
    pub(super) fn is_root(self) -> bool {
        self.root
    }

    /// Whether the schema names no type.
    pub(super) fn is_untyped(self) -> bool {
        self.schema.kind.is_empty()
    }

    fn below(self, schema: &'s Schema) -> Place<'s> {
        let open = self.open || schema.preserve_unknown;
        Place::Custom(Custom { schema, root: false, open })
    }

    /// How `value` merges here. (The value matters only where the schema names no type.)
    pub(super) fn form(self, value: &Value) -> Form<'s> {
        let kind = match self.schema.kind.as_str() {
            "" if value.is_object() => "object",
            "" if value.is_array() => "array",
            kind => kind,
        };
        match kind {
            "object" if self.schema.map_type != "atomic" => Form::Fields(Fields::Custom(self)),
            "array" => match self.schema.list_type.as_str() {
                "map" => Form::Keyed(Keys::Defined(&self.schema.list_keys), self.item()),
                "set" => Form::Set(self.item()),
                _ => Form::Whole,
            },
            _ => Form::Whole,
        }
    }

    /// What may be here; `None` where anything may.
    pub(super) fn content(self) -> Option<Content<'s>> {
        match self.schema.kind.as_str() {
            "object" => Some(Content::Fields(Fields::Custom(self))),
            "array" => Some(Content::Items(self.item())),
            "string" if matches!(&*self.schema.format, "" | "byte") => Some(Content::Text),
            "string" => Some(Content::Scalar),
            "integer" | "number" => Some(Content::Number),
            "boolean" => Some(Content::Bool),
            _ => None,
        }
    }

    fn item(self) -> Place<'s> {
        self.schema.items.as_deref().map_or(Place::Unknown, |items| self.below(items))
    }

    /// The place of a field; `None` if there can be none of that name.
    pub(super) fn field(self, name: &str) -> Option<Place<'s>> {
        if self.is_whole() && name == "metadata" {
            return Some(Place::of_type(METADATA));
        }
        if let Some(field) = self.schema.properties.get(name) {
            return Some(self.below(field));
        }
        if self.is_whole() && matches!(name, "apiVersion" | "kind") {
            return Some(Place::Unknown);
        }
        match &self.schema.additional_properties {
            Some(Additional::Schema(values)) => Some(self.below(values)),
            Some(Additional::Allowed(allowed)) => allowed.then_some(Place::Unknown),
            // An object of which nothing is said may hold anything.
            None => (self.open || self.schema.properties.is_empty()).then_some(Place::Unknown),
        }
    }

    /// Whether the schema names the field (a key of a map it does not).
    pub(super) fn declares(self, name: &str) -> bool {
        self.schema.properties.contains_key(name)
            || (self.is_whole() && matches!(name, "apiVersion" | "kind" | "metadata"))
    }

    /// The default of a field of the object here.
    pub(super) fn default_of(self, name: &str) -> Option<&'s Value> {
        self.schema.properties.get(name)?.default.as_ref()
    }

    /// Whether it is an object with a kind and metadata.
    fn is_whole(self) -> bool {
        self.root || self.schema.embedded
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::apply::element::Element;

    /// `merge: what may be there` of the place that a path leads to; `*` is an item.
    fn shown(schema: &Value, path: &str) -> String {
        let schema = Schema::read(schema).expect("a schema");
        let place = path.split('.').filter(|name| !name.is_empty()).try_fold(
            Place::root(&schema),
            |place, name| match (name, place.form(&json!([]))) {
                ("*", Form::Keyed(_, item) | Form::Set(item)) => Some(item),
                _ => place.below(&Element::field(name)),
            },
        );
        let Some(place) = place else { return "nothing".to_owned() };
        let merges = match place.form(&Value::Object(Map::new())) {
            Form::Whole => "whole".to_owned(),
            Form::Fields(_) => "fields".to_owned(),
            Form::Set(_) => "set".to_owned(),
            Form::Keyed(keys, _) => {
                format!("keyed {}", keys.names().collect::<Vec<_>>().join(","))
            }
        };
        let content = match place.content() {
            None => "anything",
            Some(Content::Fields(_)) => "object",
            Some(Content::Items(_)) => "list",
            Some(Content::Text) => "text",
            Some(Content::Number) => "number",
            Some(Content::Bool) => "bool",
            Some(Content::Scalar) => "scalar",
        };
        format!("{merges}: {content}")
    }

    #[test]
    fn the_definition_says_how_values_merge() {
        let item = json!({"type": "object", "properties": {"k": {"type": "string"}, "n": {"type": "integer"}}});
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "n": {"type": "integer"}, "text": {"type": "string"}, "when": {"type": "string", "format": "date-time"},
            "either": {"x-kubernetes-int-or-string": true},
            "list": {"type": "array", "items": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object"},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"strict": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": true,
                "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        }}}});
        for (path, want) in [
            ("", "fields: object"),
            ("metadata.finalizers", "set: list"),
            ("apiVersion", "fields: anything"),
            ("spec", "fields: object"),
            ("nothing", "nothing"),
            ("spec.nothing", "nothing"),
            ("spec.n", "whole: number"),
            ("spec.text", "whole: text"),
            ("spec.when", "whole: scalar"),
            ("spec.either", "fields: anything"),
            ("spec.list", "whole: list"),
            ("spec.set", "set: list"),
            ("spec.set.*", "whole: text"),
            ("spec.map", "keyed k: list"),
            ("spec.map.*", "fields: object"),
            ("spec.map.*.n", "whole: number"),
            ("spec.whole", "whole: object"),
            ("spec.labels", "fields: object"),
            ("spec.labels.any", "whole: text"),
            ("spec.free.any", "fields: anything"),
            ("spec.open.any", "fields: anything"),
            ("spec.open.strict.any", "fields: anything"),
            ("spec.pod.metadata.labels.any", "whole: text"),
            ("spec.pod.spec.any", "nothing"),
            ("spec.pod.any", "nothing"),
        ] {
            assert_eq!(shown(&schema, path), want, "{path:?}");
        }
    }

    #[test]
    fn keys_have_the_defaults_of_the_definition() {
        let schema = Schema::read(&json!({"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {"type": "object", "properties": {
                "port": {"type": "integer"}, "protocol": {"type": "string", "default": "UDP"}}}}))
        .expect("a schema");
        let Form::Keyed(keys, item) = Place::root(&schema).form(&json!([])) else {
            panic!("keyed")
        };
        let key = |value: Value| super::super::key_of(keys, item, &value, true);
        let found = key(json!({"port": 1})).map(|element| element.key());
        assert_eq!(found.as_deref(), Ok("k:{\"port\":1,\"protocol\":\"UDP\"}"));
        let missing = key(json!({"protocol": "TCP"})).expect_err("no port");
        assert!(missing.contains("omits key field \"port\""), "{missing}");
    }
}
